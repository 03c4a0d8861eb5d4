"""JSON lines on standard output."""

import errno
import os
import select
import threading
from pathlib import Path

import pytest

from hostd.pipeline.sinks import stdout
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


@pytest.mark.parametrize("knows", [True, False], ids=["uncached", "unknown"])
def test_a_large_file_is_written_past_the_cache_where_the_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    """Appended, as a shell may ask, whole and in order, whether that call is known or not."""
    if not knows:

        def refuse(*_: object) -> int:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "pwritev", refuse)
    monkeypatch.setattr(stdout, "CACHED_BYTES", 1 << 20)
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    sink = StdoutSink(fd=fd)
    chunks = [b"%d\n" % number * 1000 for number in range(1500)]
    for start in range(0, len(chunks), 100):
        sink.write("demo", [b"", *chunks[start : start + 100]])
        sink.accept()
    sink.close()
    os.close(fd)
    assert path.read_bytes() == b"before\n" + b"".join(chunks)


def test_takes_is_by_globs() -> None:
    """All of them by default."""
    assert StdoutSink().takes("anything")
    assert [name for name in ("a", "b") if StdoutSink(("a",)).takes(name)] == ["a"]


def test_a_commit_that_is_tried_again_prints_nothing_twice() -> None:
    """Its lines are the same; what was printed of them, of each processor, stays printed."""
    read_fd, write_fd = os.pipe()
    sink = StdoutSink(fd=write_fd)
    sink.write("a", [b"1\n", b"2\n"])
    sink.sync()
    sink.write("a", [b"1\n", b"2\n"])
    sink.write("b", [b"3\n"])
    sink.accept()
    sink.write("a", [b"1\n"])
    sink.accept()
    sink.close()
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as reader:
        assert reader.read() == b"1\n2\n3\n1\n"


def test_a_write_that_waits_for_its_reader_can_be_interrupted_and_gone_on_with() -> None:
    """By another thread; only whole lines were printed until then."""
    read_fd, write_fd = os.pipe()
    sink = StdoutSink(fd=write_fd)
    line = b"x" * 99 + b"\n"
    failed: list[OSError] = []

    def write() -> None:
        try:
            sink.write("demo", [line * 10_000])
        except OSError as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    select.select([read_fd], [], [])
    sink.interrupt()
    writer.join(20)
    assert [str(error) for error in failed] == ["[Errno 125] hostd stops before all was printed: 'stdout'"]
    sink.close()
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as reader:
        content = reader.read()
    assert content
    assert content == line * (len(content) // len(line))
