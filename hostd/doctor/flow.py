"""Sinks against the marks, and sources against the checkpoints, that the ledger has of them."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hostd.config import Config, NdjsonSink
from hostd.doctor.finding import Finding, note, ok, problem
from hostd.doctor.folders import check_room
from hostd.doctor.reading import reading
from hostd.pipeline.ledger import Checkpoint, SinkMark, SourceRow
from hostd.pipeline.sources.file import is_continued_by
from hostd.pipeline.sources.memory import find_in
from hostd.pipeline.sources.spool import is_spooled, spooled_to

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


def check_sinks(settings: Config, ledger: Path) -> Iterator[Finding]:
    """Yield how the sinks' files compare with what was committed."""
    for sink in settings.sinks:
        if isinstance(sink, NdjsonSink) and sink.folder.exists():
            yield from check_room("sinks", sink.folder)
        elif isinstance(sink, NdjsonSink):
            yield note("sinks", sink.folder, "there is no such folder; it is made with the first record")
    for mark in _marks(ledger):
        yield _compare_sink(mark)


def _compare_sink(mark: SinkMark) -> Finding:
    path = Path(mark.folder, f"{mark.processor}.ndjson")
    found = find_in(Path(mark.folder), (mark.device, mark.inode))
    if found is None:
        if path.exists():
            return note(
                "sinks",
                path,
                "it is another file than the one that was committed to: it is appended to as it is",
                "nothing, if it was rotated or replaced on purpose",
            )
        return note("sinks", path, "it is gone; a new one is begun", "nothing, if it was rotated or removed on purpose")
    size = found.stat().st_size
    if size < mark.length:
        return problem(
            "sinks",
            found,
            f"{mark.length} bytes were committed to it, and {size} are left: somebody cut it",
            "restore it if you need what was cut; hostd appends to it as it is",
        )
    if not _ends_a_line(found, mark.length):
        return problem(
            "sinks",
            found,
            f"the {mark.length} bytes that were committed do not end a line: somebody edited it",
            "restore it if you need it as it was; hostd keeps it whole, and appends to it",
        )
    if size > mark.length:
        return note(
            "sinks",
            found,
            f"{size - mark.length} bytes past the {mark.length} that were committed",
            "nothing: the next start cuts them off and parses their input again; save them first if they are yours",
        )
    return ok("sinks", found, f"{size} bytes, as committed")


def _ends_a_line(path: Path, length: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, length - 1))
        return length == 0 or file.read(1) == b"\n"


def check_sources(settings: Config, ledger: Path) -> Iterator[Finding]:
    """Yield how the sources compare with how far they were read."""
    rows = list(_rows(ledger))
    known = {(row.device, row.inode): row for row in rows}
    gone = 0
    for row in known.values():
        if is_spooled(row):
            yield _look_at_spool(row)
            continue
        finding = _compare_source(row)
        gone += finding is None
        if finding is not None:
            yield finding
    if gone:
        yield note("sources", "all", f"{gone} files that were read are gone, as rotated ones go")
    for path in named_files(settings):
        try:
            status = os.stat(path)
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            yield problem("sources", path, f"it cannot be read: {error.strerror}", "let the daemon's user read it")
            continue
        if (status.st_dev, status.st_ino) not in known:
            yield note("sources", path, f"it was not read yet: {status.st_size} bytes")
    for source in settings.files:
        for pattern in source.paths:
            if next(glob.iglob(pattern, recursive=True), None) is None:
                yield note("sources", pattern, "no file has such a name", "check the glob, if there should be one")


def named_files(settings: Config) -> list[str]:
    """Return the regular files that the globs name, each under one name."""
    named = {
        os.path.realpath(path): path
        for source in settings.files
        for pattern in source.paths
        for path in sorted(glob.iglob(pattern, recursive=True), reverse=True)
        if Path(path).is_file()
    }
    folders = [sink.folder for sink in settings.sinks if isinstance(sink, NdjsonSink)]
    own = tuple(f"{folder}{os.sep}" for folder in (settings.state.folder, *folders))
    return sorted(path for real, path in named.items() if not real.startswith(own))


def _compare_source(row: SourceRow) -> Finding | None:
    """Compare a file with its row; None when it is gone."""
    found = find_in(Path(row.path).parent, (row.device, row.inode))
    if found is None or str(found).endswith(COMPRESSED):
        return None
    try:
        fd = os.open(found, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None  # said where the globs are looked at
    try:
        size = os.fstat(fd).st_size
        if row.checkpoint.offset and not is_continued_by(row.checkpoint, fd, size):
            return note(
                "sources",
                found,
                f"it does not hold any more what was read of it, up to byte {row.checkpoint.offset}",
                "nothing, if it was truncated or rewritten: it is read from its start",
            )
    finally:
        os.close(fd)
    left = size - row.checkpoint.offset
    return ok("sources", found, f"{left} bytes are not parsed yet" if left else "parsed to its end")


def _look_at_spool(row: SourceRow) -> Finding:
    """Say how much of what was received waits."""
    left = max(0, spooled_to(Path(row.path)) - row.checkpoint.offset)
    return ok(
        "sources", row.name, f"{left} bytes were received and are not parsed yet" if left else "parsed to its end"
    )


def _rows(ledger: Path) -> Iterable[SourceRow]:
    for row in _select(ledger, "SELECT * FROM sources ORDER BY id"):
        yield SourceRow(row[0], row[1], row[2], row[3], row[4], Checkpoint(*row[5:10]))


def _marks(ledger: Path) -> Iterable[SinkMark]:
    for row in _select(ledger, "SELECT * FROM sinks ORDER BY folder, processor"):
        yield SinkMark(*row[:5])


def _select(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    """Return rows of the ledger. Raises sqlite3.Error."""
    if not ledger.exists():
        return []
    with reading(ledger) as db:
        return db.execute(query).fetchall()
