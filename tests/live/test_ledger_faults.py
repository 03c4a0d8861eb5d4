"""A ledger that is broken, newer, moved away or tampered with, and sinks that somebody edits: said, with what to do."""

import sqlite3
from pathlib import Path

import pytest

from hostd.pipeline.faults import RECOVER
from hostd.pipeline.ledger import SCHEMA_VERSION

from .harness import Daemon, Home, plugin

pytestmark = pytest.mark.slow

EXIT_LEDGER = 4


def with_lines(home: Home, count: int) -> Daemon:
    """Return a daemon that has committed so many lines."""
    home.drop("lines.py", plugin())
    home.append("a.log", *map(str, range(count)))
    daemon = home.start()
    daemon.wait_records("lines", count)
    daemon.wait_all_read()
    return daemon


def assert_refused(home: Home, reason: str, remedy: str) -> None:
    """The daemon does not start: one event says why, and it ends with the code for it."""
    daemon = home.start(ready=False)
    assert daemon.wait_exit() == EXIT_LEDGER
    [refused] = daemon.seen("ledger.refused")
    assert (refused["path"], refused["reason"]) == (str(home.state / "ledger.db"), reason)
    assert refused["remedy"] == remedy
    assert [event for event in daemon.events if event["level"] == "error"] == [refused]
    assert daemon.noise == []
    home.daemons.remove(daemon)


def spoil(path: Path, start: int, length: int) -> None:
    """Write nonsense over a part of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def test_a_broken_ledger_is_refused_at_start(home: Home) -> None:
    """Whether its header is gone or a page of a table; nothing is read, nothing is written."""
    with_lines(home, 10).term()
    ledger = home.state / "ledger.db"
    good = ledger.read_bytes()
    output = home.raw("lines")
    spoil(ledger, 0, 100)
    assert_refused(home, "the ledger is broken: file is not a database", RECOVER)
    ledger.write_bytes(good)
    spoil(ledger, root_page(ledger, "sources") * 4096 - 4096, 4096)
    broken = home.start(ready=False)
    assert broken.wait_exit() == EXIT_LEDGER
    [refused] = broken.seen("ledger.refused")
    assert refused["reason"].startswith("the ledger is broken: ")
    assert refused["remedy"] == RECOVER
    home.daemons.remove(broken)
    assert home.raw("lines") == output
    ledger.write_bytes(good)
    home.append("a.log", "10")
    home.start().wait_records("lines", 11)


def root_page(ledger: Path, table: str) -> int:
    with sqlite3.connect(ledger) as db:
        page: int = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    db.close()
    return page


def test_a_ledger_of_a_newer_hostd_is_refused_at_start(home: Home) -> None:
    """An older hostd does not write what it does not understand."""
    with_lines(home, 1).term()
    with sqlite3.connect(home.state / "ledger.db") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    assert_refused(
        home,
        f"the ledger is of version {SCHEMA_VERSION + 1}, and this hostd knows {SCHEMA_VERSION}",
        "run the newer hostd that wrote it",
    )


def test_a_ledger_found_broken_while_running_ends_the_daemon(home: Home) -> None:
    """To go on would be to account for nothing: it stops, with one event; the lines wait in their file."""
    daemon = with_lines(home, 3)
    with sqlite3.connect(home.state / "ledger.db") as db:
        db.execute("DROP TABLE provenance")
    db.close()
    home.append("a.log", "3")
    refused = daemon.wait_event("ledger.refused")
    assert refused["reason"] == "the ledger is broken: no such table: provenance"
    assert refused["remedy"] == RECOVER
    assert daemon.wait_exit() == EXIT_LEDGER
    assert len(daemon.seen("ledger.refused")) == 1
    assert not daemon.noise
    home.daemons.remove(daemon)


def test_a_ledger_that_is_moved_away_while_running_is_waited_for(home: Home) -> None:
    """What would be written to it is lost with a restart: nothing is committed until it is put back."""
    daemon = with_lines(home, 3)
    ledger = home.state / "ledger.db"
    aside = ledger.rename(home.path / "aside.db")
    home.append("a.log", "3")
    failed = daemon.wait_event("sink.failed")
    assert failed["reason"] == (
        f"[Errno 116] It was moved away while hostd had it open: '{ledger}'; put it back, with the files beside it, "
        "and it goes on; restarted without it, all is read again"
    )
    aside.rename(ledger)
    daemon.wait_event("sink.recovered")
    daemon.wait_records("lines", 4)
    daemon.wait_all_read()
    daemon.kill9()
    home.append("a.log", "4")
    home.start().wait_records("lines", 5)


def edit(home: Home, content: bytes) -> None:
    """Have a sink's file hold something else, under the same inode."""
    (home.out / "lines.ndjson").write_bytes(content)


@pytest.mark.parametrize("when", ["running", "stopped"])
@pytest.mark.parametrize("how", ["shorter", "in a line", "appended", "edited", "replaced", "removed"])
def test_a_sink_file_that_somebody_edits_is_said_and_gone_on_with(home: Home, how: str, when: str) -> None:
    """What they left stays, what comes is whole lines after it, and no line of the source comes twice."""
    daemon = with_lines(home, 3)
    if when == "stopped":
        daemon.term()
    path = home.out / "lines.ndjson"
    was = path.read_bytes()
    lines = was.splitlines(keepends=True)
    left = {
        "shorter": lines[0],
        "in a line": was[: len(lines[0]) + 5],
        "appended": was + b'{"by": "hand"}',
        "edited": b'{"inserted": true}\n' + was,
        "replaced": lines[1],
        "removed": b"",
    }[how]
    if how in ("replaced", "removed"):
        path.unlink()
    if how != "removed":
        edit(home, left)
    if when == "stopped":
        daemon = home.start()
    home.append("a.log", "3")
    daemon.wait("the new record is out", lambda: b'"line":"3"' in home.raw("lines"))
    daemon.wait_all_read()
    if when == "stopped" and how == "appended":
        left = was  # what is past the ledger is cut off at start: it cannot be told from what was never committed
        assert daemon.wait_event("sink.trimmed")["cut"] == len(b'{"by": "hand"}')
    elif how not in ("replaced", "removed"):
        diverged = daemon.wait_event("sink.diverged")
        assert (diverged["path"], diverged["length"], diverged["expected"]) == (str(path), len(left), len(was))
        assert diverged["reason"].endswith("edit a copy")
        assert len(daemon.seen("sink.diverged")) == 1
    end = b"" if not left or left.endswith(b"\n") else b"\n"
    new = b'{"line":"3","by":"1.0.0","@source":"logs/a.log"}\n'
    assert path.read_bytes() == left + end + new
