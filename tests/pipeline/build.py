"""Sources, results and rows for the tests of the pipeline."""

import os
from pathlib import Path

from hostd.pipeline.ledger import Checkpoint, Result, SourceRow
from hostd.pipeline.sources.file import FileSource
from hostd.workers.batch import DeadLetter


def open_source(path: Path, number: int = 1) -> FileSource:
    """Open a file as the finder does."""
    fd = os.open(path, os.O_RDONLY)
    status = os.fstat(fd)
    return FileSource(number, path.name, str(path), fd, status.st_dev, status.st_ino)


def row(number: int = 1, offset: int = 0) -> SourceRow:
    """Return what a ledger knows of a source that was read up to `offset`."""
    return SourceRow(number, f"{number}.log", f"/logs/{number}.log", 1, number, Checkpoint(offset, 1, b"f", 1, b"m"))


def result(
    start: int,
    end: int,
    *,
    source: int = 1,
    plugin: str = "demo",
    generation: int = 1,
    lines: bytes = b"",
    dead: tuple[DeadLetter, ...] = (),
) -> Result:
    """Return what became of bytes `start` to `end` of a source."""
    return Result(row(source, end), start, plugin, generation, lines.count(b"\n"), lines, dead)
