"""A new ledger of what a broken one still holds; the broken one is kept beside it, as it is.

What is saved lies under a name of its own, made durable, before anything of the broken ledger is moved. A daemon does
not start while it lies there, and a recovery that was cut short is finished by the next one.
"""

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from hostd.config import Config
from hostd.doctor.finding import Finding, Level, note, ok, problem
from hostd.doctor.flow import named_files
from hostd.doctor.ledger import check_ledger
from hostd.doctor.pages import Value
from hostd.doctor.salvage import Table, build, salvage
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.ledger.ledger import RECOVERED
from hostd.pipeline.ledger.rows import as_row, stored
from hostd.pipeline.sources.content import Plain
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.memory import find_in
from hostd.pipeline.sources.original import holding
from hostd.state import StateFolder

CHECK = "recover"
BUILDING = "ledger.db.building"
BESIDE = ("-wal", "-shm")
Unknown = Literal["again", "skip"]


def recover(settings: Config, state: StateFolder, unknown: Unknown | None) -> list[Finding]:
    """Save what can be saved, unless the ledger is whole. The caller holds the state folder's lock. Raises OSError."""
    saved = state.ledger.with_name(RECOVERED)
    if saved.exists():
        return [_take_over(state.ledger, saved)]
    before = list(check_ledger(state.ledger))
    if not any(finding.level is Level.PROBLEM for finding in before):
        return [*before, note(CHECK, state.ledger, "nothing is to be recovered; nothing was changed")]
    if "newer hostd" in " ".join(finding.remedy for finding in before):
        return before
    tables = salvage(state.ledger)
    found = list(_mend_checkpoints(tables))
    found += _say_what_is_lost(tables)
    lost = list(_without_checkpoint(settings, tables["sources"]))
    if lost and not tables["sources"].is_whole:
        if unknown is None:
            return [*found, *_ask(lost)]
        found += [_decide(path, tables["sources"], unknown) for path in lost]
    building = state.ledger.with_name(BUILDING)
    building.unlink(missing_ok=True)
    refused = build(building, tables.values())
    found += [
        note(
            CHECK,
            f"{state.ledger}: {name}",
            f"{rows} rows did not keep the table's rules, and are not in the new ledger",
        )
        for name, rows in refused.items()
    ]
    if os.geteuid() == 0:  # whoever recovers it, the daemon's user is to go on with it
        owner = state.path.stat()
        os.chown(building, owner.st_uid, owner.st_gid)
    _sync(building)
    building.rename(saved)
    _sync(state.path)
    return [*found, _take_over(state.ledger, saved)]


def _take_over(ledger: Path, saved: Path) -> Finding:
    """Put what was saved in the place of the broken ledger, step by step, each of which may have been done already."""
    aside = _aside(ledger)
    if ledger.exists() and not aside.exists():
        os.link(ledger, aside)
    for suffix in BESIDE:
        beside = Path(f"{ledger}{suffix}")
        if beside.exists():  # a log left beside the new ledger would be played into it
            beside.rename(f"{aside}{suffix}")
    _sync(ledger.parent)
    saved.replace(ledger)
    _sync(ledger.parent)
    return ok(CHECK, ledger, f"the new ledger is in place; the broken one is kept as {aside.name}")


def _aside(ledger: Path) -> Path:
    """Return where the broken ledger is kept: where it is already, or a name with the time that nothing has yet."""
    kept = sorted(ledger.parent.glob(f"{ledger.name}.broken-*[0-9]"))
    if kept and (not ledger.exists() or kept[-1].samefile(ledger)):
        return kept[-1]
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    names = (ledger.with_name(f"{ledger.name}.broken-{stamp}-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _mend_checkpoints(tables: dict[str, Table]) -> Iterator[Finding]:
    """Move a checkpoint up to where its source was parsed to, as far as the file is there to tell it by."""
    ends: dict[object, int] = {}
    for row in tables["provenance"].named():
        source, end = row.get("source"), row.get("end")
        if isinstance(end, int):
            ends[source] = max(end, ends.get(source, 0))
    for source in list(_source_rows(tables["sources"])):
        end = ends.get(source.id, 0)
        if end <= source.checkpoint.offset:
            continue
        moved = _move_up(source, end)
        if moved is None:
            yield problem(
                CHECK,
                source.name,
                f"it was parsed up to byte {end}, its checkpoint is {source.checkpoint.offset}, and the file is gone",
                "should it come back, what lies between comes again",
            )
        else:
            tables["sources"].rows[source.id] = _values(moved)
            yield note(CHECK, source.name, f"its checkpoint was moved from byte {source.checkpoint.offset} to {end}")


def _source_rows(table: Table) -> Iterator[SourceRow]:
    for values in table.rows.values():
        number, name, path, device, inode, *checkpoint = values[:10]
        yield SourceRow(number, name, path, device, inode, Checkpoint(*checkpoint))


def _move_up(row: SourceRow, end: int) -> SourceRow | None:
    found = find_in(Path(row.path).parent, (row.device, row.inode))
    if found is None:
        return None
    fd = os.open(found, os.O_RDONLY | os.O_NONBLOCK)
    try:
        content = holding(fd, row.checkpoint) if row.checkpoint.offset else Plain(fd)
        if content is None or not content.read(end - 1, 1):
            return None
        return replace(row, checkpoint=content.checkpoint(end, b""))
    finally:
        os.close(fd)


def _values(row: SourceRow) -> tuple[Value, ...]:
    return row.id, row.name, stored(row.path), row.device, row.inode, *as_row(row.checkpoint)


def _say_what_is_lost(tables: dict[str, Table]) -> Iterator[Finding]:
    sources = set(tables["sources"].rows)
    for table in tables.values():
        if table.is_whole:
            yield ok(CHECK, table.name, f"{len(table.rows)} rows, all there are")
        else:
            yield note(
                CHECK, table.name, f"{len(table.rows)} rows were saved; others may be lost", _MEANS.get(table.name, "")
            )
    names = {row["source"]: row["name"] for row in tables["dead_letters"].named() if row["source"] not in sources}
    spoken_of = {row.get("source") for row in tables["provenance"].named()} | set(names)
    for source in sorted(spoken_of - sources, key=str):
        called = f"{names[source]}, " if source in names else ""
        yield note(CHECK, "sources", f"the checkpoint of {called}source {source} is lost")


_MEANS = {
    "sinks": "a file whose mark is lost is appended to as it is: what hostd, if it was killed, wrote last comes again",
    "provenance": "of some ranges it is not known any more which generation parsed them",
    "dead_letters": "what is lost of them is not parsed again when its plugin is mended",
    "generations": "a plugin without any is live as generation 1 again",
    "holds": "a plugin that was pinned or rolled back may follow its file again",
    "recent": "a next version is tried on less input",
}


def _without_checkpoint(settings: Config, sources: Table) -> Iterator[str]:
    """Yield the files that the settings name and no row knows; and which hold something."""
    known = {(row.device, row.inode) for row in _source_rows(sources)}
    for path in named_files(settings):
        status = os.stat(path)
        if status.st_size and (status.st_dev, status.st_ino) not in known:
            yield path


def _ask(lost: list[str]) -> Iterator[Finding]:
    for path in lost:
        yield problem(
            CHECK, path, "its checkpoint is lost, or it was never read: that cannot be told", "decide, as below"
        )
    yield problem(
        CHECK,
        "nothing was changed",
        f"it cannot be known how far {len(lost)} files were read",
        "run it with --unknown again, to read them from their start: nothing is lost, and records may come twice; or "
        "with --unknown skip, to read them from their present end: nothing comes twice, and lines may be missed",
    )


def _decide(path: str, sources: Table, unknown: Unknown) -> Finding:
    if unknown == "again":
        return note(CHECK, path, "it is read from its start; records of it may come twice")
    number = max(sources.rows, default=0) + 1
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    status = os.fstat(fd)
    source = FileSource(number, path, path, fd, status.st_dev, status.st_ino)
    try:
        source.advance(status.st_size, b"")
        sources.rows[number] = _values(source.row())
    finally:
        source.close()
    return note(CHECK, path, f"it is read from byte {status.st_size}, its present end; lines before that may be missed")
