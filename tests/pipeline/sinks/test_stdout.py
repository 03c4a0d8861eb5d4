"""JSON lines on standard output."""

import os
import threading

from hostd.pipeline.sinks.stdout import StdoutSink


def test_lines_are_written_whole_whatever_the_pipe_takes() -> None:
    """More than a pipe holds, in its order, with nothing for the ledger to know."""
    read_fd, write_fd = os.pipe()
    sink = StdoutSink(fd=write_fd)
    chunks = [b"first\n", bytearray(b"x" * 300_000 + b"\n"), b"", b"last\n"]

    def write() -> None:
        sink.recover()
        sink.write("demo", chunks)
        sink.accept()
        sink.close()
        os.close(write_fd)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_fd, "rb") as reader:
        content = reader.read()
    writer.join()
    assert content == b"".join(chunks)
    assert sink.sync() == []


def test_takes_is_by_globs() -> None:
    """All of them by default."""
    assert StdoutSink().takes("anything")
    assert [name for name in ("a", "b") if StdoutSink(("a",)).takes(name)] == ["a"]
