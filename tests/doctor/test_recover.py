"""A broken ledger: what is saved is what was there, and what cannot be known is said."""

import functools
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hostd.config import Config, FileSource, NdjsonSink, Plugins, Sandbox, State
from hostd.doctor.finding import Finding, Level
from hostd.doctor.ledger import check_ledger
from hostd.doctor.recover import BUILDING, recover
from hostd.doctor.salvage import known_tables, salvage
from hostd.errors import LedgerError
from hostd.past import Past
from hostd.pipeline.ledger import Ledger, SinkMark, StreamState
from hostd.pipeline.ledger.ledger import RECOVERED
from hostd.state import StateFolder
from hostd.workers.batch import DeadLetter
from tests.pipeline.build import open_source, result

PAGE = 4096
SOURCES = 150


def fill(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Make a ledger of many pages; return its rows by table."""
    ledger = Ledger(path)
    for number in range(1, SOURCES + 1):
        dead = (DeadLetter(number, b"x" * (number * 97 % 9000), "no", ""),) if number % 3 == 0 else ()
        made = result(0, number * 10, source=number, plugin=f"p{number % 7}", lines=b"1\n", dead=dead)
        if number % 5 == 0:
            made = replace(made, stream=StreamState(made.plugin, 1, number * 10, b"state", False, 0, None))
        ledger.commit([made], [])
    for number in range(40):
        ledger.put_sink_mark(SinkMark("/out", f"p{number}", number, 1, number))
        ledger.book.put_generations([Past(f"p{number}", 1, "1", "d", "k", "a.py", "kept", "now")])
    ledger.close()
    return rows(path)


def rows(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return {name: set(db.execute(f"SELECT * FROM {name}")) for name in known_tables()}


def spoil(path: Path, pages: set[int], content: bytes = b"\xa5" * PAGE) -> None:
    """Write nonsense over some pages."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(content)


@functools.cache
def original() -> tuple[bytes, dict[str, set[tuple[Any, ...]]]]:
    """Return a ledger's bytes, and its rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        held = fill(path)
        return path.read_bytes(), held


@settings(max_examples=40, deadline=None)
@given(pages=st.sets(st.integers(1, 60), min_size=1, max_size=6), content=st.sampled_from([b"\xa5", b"\0", b"\xff"]))
def test_what_is_saved_is_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, pages: set[int], content: bytes
) -> None:
    """Whichever pages are broken: no row is made up, and a table that counts as whole is whole."""
    good, held = original()
    path = tmp_path_factory.mktemp("broken") / "ledger.db"
    path.write_bytes(good)
    spoil(path, {page for page in pages if page * PAGE <= len(good)}, content * PAGE)
    saved = salvage(path)
    for name, table in saved.items():
        # The bytes of a dead letter can lie on pages of their own, and nothing tells whether those are as they were.
        width = 4 if name == "dead_letters" else None
        found = {row[:width] for row in table.rows.values()}
        there = {row[:width] for row in held[name]}
        made_up, missing = len(found - there), len(there - found)
        assert not made_up, name
        assert not table.is_whole or not missing, name


def test_with_the_schema_gone_all_rows_are_saved_by_their_pages(tmp_path: Path) -> None:
    """The first page holds the header and the schema; the rows are elsewhere."""
    good, held = original()
    path = tmp_path / "ledger.db"
    path.write_bytes(good)
    spoil(path, {1})
    assert {name: set(table.rows.values()) for name, table in salvage(path).items()} == held


class Place:
    """A state folder with a ledger, and a source of which 4 of 6 bytes were read."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "a.log"
        self.log.parent.mkdir()
        self.log.write_bytes(b"1\n2\n3\n")
        self.state = StateFolder(folder / "state")
        self.state.make()
        self.settings = Config(
            plugins=Plugins(folder=folder / "plugins.d", sandbox=Sandbox(mode="off")),
            sources=(FileSource(paths=(f"{folder}/logs/*",)),),
            sinks=(NdjsonSink(folder=folder / "out"),),
            state=State(folder=self.state.path),
        )
        source = open_source(self.log)
        source.advance(4, b"")
        self.row = source.row()
        source.close()
        ledger = Ledger(self.state.ledger)
        made = result(0, 4)
        ledger.commit([type(made)(self.row, 0, "demo", 1, 2, b"", ())], [])
        ledger.close()

    def recover(self, unknown: Any = None) -> list[Finding]:
        return recover(self.settings, self.state, unknown)

    def offsets(self) -> list[int]:
        ledger = Ledger(self.state.ledger)
        try:
            return [row.checkpoint.offset for row in ledger.sources()]
        finally:
            ledger.close()

    def root(self, table: str) -> int:
        with closing(sqlite3.connect(self.state.ledger)) as db:
            query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
            return int(db.execute(query, (table,)).fetchone()[0])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def problems(findings: list[Finding]) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in findings if finding.level is Level.PROBLEM]


def test_a_whole_ledger_is_left_alone(place: Place) -> None:
    """And so is none."""
    before = place.state.ledger.read_bytes()
    assert place.recover()[-1].what == "nothing is to be recovered; nothing was changed"
    assert place.state.ledger.read_bytes() == before


@pytest.mark.parametrize(("at", "byte"), [(7, b"x"), (3, b"\xb5")], ids=["another name", "no text"])
def test_a_schema_that_is_damaged_is_a_problem_and_the_rows_are_saved(place: Place, at: int, byte: bytes) -> None:
    """The daemon refuses such a ledger; what it is told to run is of use then."""
    content = bytearray(place.state.ledger.read_bytes())
    column = content.find(b"rejected", content.find(b"CREATE TABLE generations"))
    content[column + at : column + at + 1] = byte
    place.state.ledger.write_bytes(content)
    found = list(check_ledger(place.state.ledger))
    assert [each.remedy for each in found if each.level is Level.PROBLEM and "broken" in each.what], found
    place.recover()
    assert problems(list(check_ledger(place.state.ledger))) == []
    assert place.offsets() == [4]


def test_a_broken_table_that_nothing_depends_on_costs_no_checkpoint(place: Place) -> None:
    """The provenance is lost; what was read of which source is not. The broken ledger is kept."""
    spoil(place.state.ledger, {place.root("provenance")})
    broken = place.state.ledger.read_bytes()
    found = place.recover()
    assert problems(found) == []
    assert ("provenance", "0 rows were saved; others may be lost") in [(f.where, f.what) for f in found]
    assert place.offsets() == [4]
    [kept] = place.state.path.glob("ledger.db.broken-*")
    assert kept.read_bytes() == broken
    assert sorted(path.name for path in place.state.path.glob("ledger*")) == ["ledger.db", kept.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_what_root_recovers_belongs_to_the_daemons_user(place: Place) -> None:
    """It could not write to its ledger otherwise, and would end with exit code 4."""
    spoil(place.state.ledger, {place.root("provenance")})
    os.chown(place.state.path, 4711, 4712)
    place.recover()
    status = place.state.ledger.stat()
    assert (status.st_uid, status.st_gid) == (4711, 4712)


def test_a_lost_checkpoint_is_for_the_operator_to_decide(place: Place) -> None:
    """Nothing is changed until that is said; `again` forgets the file, `skip` goes on at its present end."""
    spoil(place.state.ledger, {place.root("sources")})
    broken = place.state.ledger.read_bytes()
    found = place.recover()
    assert problems(found) == [
        f"{place.log}: its checkpoint is lost, or it was never read: that cannot be told",
        "nothing was changed: it cannot be known how far 1 files were read",
    ]
    assert ("sources", "the checkpoint of source 1 is lost") in [(f.where, f.what) for f in found]
    assert place.state.ledger.read_bytes() == broken
    assert "--unknown again" in found[-1].remedy
    assert "--unknown skip" in found[-1].remedy
    place.recover("again")
    assert place.offsets() == []


def test_a_lost_checkpoint_can_be_skipped(place: Place) -> None:
    """The row that is made is one that a daemon goes on from: fingerprint and marker are the file's."""
    spoil(place.state.ledger, {place.root("sources")})
    place.recover("skip")
    assert place.offsets() == [6]
    ledger = Ledger(place.state.ledger)
    [row] = ledger.sources()
    ledger.close()
    assert row.checkpoint.fingerprint == open_row(place.log, 6).checkpoint.fingerprint
    assert (row.device, row.inode) == (place.row.device, place.row.inode)


def open_row(path: Path, end: int) -> Any:
    source = open_source(path)
    source.advance(end, b"")
    row = source.row()
    source.close()
    return row


def test_a_checkpoint_behind_what_was_parsed_is_moved_up(place: Place) -> None:
    """As when an old page came back: what was parsed up to there is not parsed again."""
    with closing(sqlite3.connect(place.state.ledger)) as db, db:
        db.execute("UPDATE provenance SET end = 6")
    found = place.recover()
    assert ("a.log", "its checkpoint was moved from byte 4 to 6") in [(f.where, f.what) for f in found]
    assert place.offsets() == [6]


@pytest.mark.parametrize("step", ["building", "saved", "linked", "moved"])
def test_a_recovery_that_was_cut_short_is_finished_by_the_next(place: Place, step: str) -> None:
    """At any step: a daemon does not start on the half of it, and the next recovery leaves the same."""
    spoil(place.state.ledger, {place.root("provenance")})
    broken = place.state.ledger.read_bytes()
    Path(f"{place.state.ledger}-wal").write_bytes(b"")
    if step == "building":
        place.state.ledger.with_name(BUILDING).write_bytes(b"half of it")
    else:
        place.recover()
        [aside] = place.state.path.glob("ledger.db.broken-*-*[0-9]")
        place.state.ledger.rename(place.state.path / RECOVERED)
        aside.rename(place.state.ledger)
        if step == "linked":
            aside.hardlink_to(place.state.ledger)
        with pytest.raises(LedgerError, match="finish it: hostd doctor --recover"):
            Ledger(place.state.ledger)
    assert problems(place.recover()) == []
    assert place.offsets() == [4]
    assert not (place.state.path / RECOVERED).exists()
    kept = [path.read_bytes() for path in place.state.path.glob("ledger.db.broken-*") if path.stat().st_size]
    assert broken in kept


def test_a_ledger_of_a_newer_hostd_is_not_touched(place: Place) -> None:
    """It is not broken."""
    with closing(sqlite3.connect(place.state.ledger)) as db:
        db.execute("PRAGMA user_version = 999")
    before = place.state.ledger.read_bytes()
    assert problems(place.recover())
    assert place.state.ledger.read_bytes() == before
