"""Sources against the checkpoints that the ledger has of them."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hostd.config import Config
from hostd.doctor.finding import Finding, note, ok, problem
from hostd.doctor.reading import reading
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.sources.content import Plain
from hostd.pipeline.sources.kinds import MissingLibraryError
from hostd.pipeline.sources.memory import find_in
from hostd.pipeline.sources.original import holding
from hostd.pipeline.sources.spool import is_spooled, spooled_to


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
    written = [path for sink in settings.sinks for path in sink.own]
    own = tuple(f"{path}{os.sep}" for path in (settings.state.folder, *written))
    return sorted(path for real, path in named.items() if not f"{real}{os.sep}".startswith(own))


def _compare_source(row: SourceRow) -> Finding | None:
    """Compare a file with its row; None when it is gone."""
    found = find_in(Path(row.path).parent, (row.device, row.inode))
    if found is None:
        return None
    try:
        fd = os.open(found, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None  # said where the globs are looked at
    try:
        content = holding(fd, row.checkpoint) if row.checkpoint.offset else Plain(fd)
        if content is None and found.name != Path(row.path).name:
            return None  # its inode is another file's by now
        if content is None:
            return note(
                "sources",
                found,
                f"it does not hold any more what was read of it, up to byte {row.checkpoint.offset}",
                "nothing, if it was truncated or rewritten: it is read from its start",
            )
        if not isinstance(content, Plain):
            return ok("sources", found, f"parsed up to byte {row.checkpoint.offset} of what it unpacks to")
        left = content.size() - row.checkpoint.offset
    except MissingLibraryError as error:
        return note("sources", found, f"it cannot be unpacked, and not compared: {error}")
    finally:
        os.close(fd)
    return ok("sources", found, f"{left} bytes are not parsed yet" if left else "parsed to its end")


def _look_at_spool(row: SourceRow) -> Finding:
    """Say how much of what was received waits."""
    left = max(0, spooled_to(Path(row.path)) - row.checkpoint.offset)
    return ok(
        "sources", row.name, f"{left} bytes were received and are not parsed yet" if left else "parsed to its end"
    )


def _rows(ledger: Path) -> Iterable[SourceRow]:
    for row in select(ledger, "SELECT * FROM sources ORDER BY id"):
        yield SourceRow(row[0], row[1], row[2], row[3], row[4], Checkpoint(*row[5:10]))


def select(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    """Return rows of the ledger. Raises sqlite3.Error."""
    if not ledger.exists():
        return []
    with reading(ledger) as db:
        return db.execute(query).fetchall()
