"""A folder of files of JSON lines, as the tests of what is in them take it."""

import os
from pathlib import Path

from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks.ndjson import NdjsonSink


class Disk:
    """A sink folder and its ledger; `start` is what a daemon does when it starts."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.path = folder / "ledger.db"
        self.opened: list[tuple[NdjsonSink, Ledger]] = []

    def start(self, processors: tuple[str, ...] = ("*",)) -> NdjsonSink:
        self.stop()
        ledger = Ledger(self.path)
        sink = NdjsonSink(self.out, processors, ledger)
        self.opened.append((sink, ledger))
        sink.recover()
        return sink

    def stop(self) -> None:
        for sink, ledger in self.opened:
            sink.close()
            ledger.close()
        self.opened.clear()

    def commit(self, sink: NdjsonSink, *chunks: bytes, processor: str = "demo") -> None:
        sink.write(processor, chunks)
        self.opened[-1][1].commit([], sink.sync())
        sink.accept()

    def content(self, name: str = "demo.ndjson") -> bytes:
        return (self.out / name).read_bytes()


def is_cached(path: Path, offset: int) -> bool:
    """Tell whether the system has a byte of a file in its cache."""
    with path.open("rb", buffering=0) as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False
