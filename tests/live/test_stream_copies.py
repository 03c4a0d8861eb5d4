"""Copies of streams that a rotation makes, and kills before any of them is committed: the snapshot goes with them."""

import gzip
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .harness import Daemon, Home, stopped
from .tracing import dead_letters, expected, trace, version

DATA = trace(60, damaged=None)
NEXT = trace(12, damaged=None)
HALF = 444
"""In the middle of a block."""


def held(home: Home) -> tuple[str, Path]:
    """Return a version that waits wherever it is fed while the file is there, which is returned too."""
    home.configure(sandbox="off")  # the plugin looks for a file
    gate = home.path / "closed"
    mark = "        data = self._rest + data\n"
    source = version(
        "1.0.0",
        (mark, f"        while os.path.exists({str(gate)!r}):\n            time.sleep(0.005)\n{mark}"),
        ("import json\n", "import json\nimport os\nimport time\n"),
        ('framing = "stream"', 'framing = "stream"\n# limits = { time_s = 60 }'),
    )
    return source, gate


def copytruncate(home: Home, rest: bytes, following: bytes) -> None:
    """Write the rest of a trace, and have it rotated before anybody reads that: copied, truncated, written to anew."""
    path = home.append("a.trc", rest)
    (home.logs / "a.trc.1").write_bytes(path.read_bytes())
    path.write_bytes(following)


def all_once(home: Home, *traces: bytes) -> None:
    """Check that each record of each trace is there once, with its name and its time."""
    found = [{key: record[key] for key in ("timestamp", "event", "number")} for record in home.records("trace")]
    wanted = [record for data in traces for record in expected(data)]
    order = ("number", "timestamp", "event")
    assert sorted(found, key=lambda r: [r[k] for k in order]) == sorted(wanted, key=lambda r: [r[k] for k in order])


def known_copy(daemon: Daemon, offset: int) -> None:
    """Wait until the copy is known for what it is, and the ledger has that."""
    daemon.wait_event("source.known", source="logs/a.trc.1", original="logs/a.trc", offset=offset)

    def is_in_ledger() -> bool:
        with closing(sqlite3.connect(daemon.home.state / "ledger.db")) as db:
            return bool(db.execute("SELECT 1 FROM sources WHERE name = 'logs/a.trc.1'").fetchall())

    daemon.wait("the ledger knows the copy", is_in_ledger)


def test_a_copy_that_no_plugin_takes_yet_keeps_its_snapshot_through_a_restart(home: Home) -> None:
    """The plugin is not there when the log is copied and truncated, nor before the restart."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:HALF])
    daemon = home.start()
    daemon.wait_all_read()
    (home.plugins / "trace.py").unlink()
    daemon.wait_event("generation.retired", plugin="trace")
    with stopped(daemon):
        copytruncate(home, DATA[HALF:], NEXT)
    known_copy(daemon, offset=HALF)
    assert daemon.term() == 0
    home.drop("trace.py", version("1.0.0"))
    daemon = home.start()
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    all_once(home, DATA, NEXT)
    assert daemon.term() == 0


def test_a_kill_while_the_first_piece_of_a_copy_is_fed_loses_no_snapshot(home: Home) -> None:
    """Nothing of the copy is committed but that it is one."""
    source, gate = held(home)
    home.drop("trace.py", source)
    home.append("a.trc", DATA[:HALF])
    daemon = home.start()
    daemon.wait_all_read()
    gate.touch()
    with stopped(daemon):
        copytruncate(home, DATA[HALF:], NEXT)
    known_copy(daemon, offset=HALF)
    daemon.kill9()
    gate.unlink()
    daemon = home.start()
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    all_once(home, DATA, NEXT)
    assert daemon.term() == 0


def test_a_log_that_is_copied_and_truncated_while_nobody_reads_goes_on_in_the_copy(home: Home) -> None:
    """Killed before, started after; and once more before the copy is old enough to be read."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:HALF])
    daemon = home.start()
    daemon.wait_all_read()
    daemon.kill9()
    copytruncate(home, DATA[HALF:], NEXT)
    daemon = home.start()
    most = len(home.records("trace")) + 12

    def all_but_the_copy_is_read() -> bool:
        os.utime(home.logs / "a.trc.1")  # somebody writes it still, however long the rest takes
        return len(home.records("trace")) >= most

    daemon.wait("all but the copy is read", all_but_the_copy_is_read)
    assert not daemon.seen("source.known")
    daemon.kill9()
    daemon = home.start()
    known_copy(daemon, offset=HALF)
    daemon.wait("the copy is read", lambda: daemon.source("logs/a.trc.1"))
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    all_once(home, DATA, NEXT)
    assert daemon.term() == 0


def test_what_is_held_back_of_a_log_is_told_its_end_when_the_copy_ends(home: Home) -> None:
    """Half a block at the end of what was copied: a dead letter once the copy is removed, also after a restart."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:-2])
    daemon = home.start()
    daemon.wait_all_read()
    with stopped(daemon):
        copytruncate(home, b"", NEXT)
    known_copy(daemon, offset=len(DATA) - 2)
    daemon.wait_records("trace", 59 + 12)
    daemon.kill9()
    daemon = home.start()
    daemon.wait("the copy is open", lambda: daemon.source("logs/a.trc.1"))
    (home.logs / "a.trc.1").unlink()
    daemon.wait_event("stream.ended", source="logs/a.trc.1", offset=len(DATA) - 2)
    rejected = daemon.wait_event("record.rejected", source="logs/a.trc.1")
    assert rejected["reason"] == "the trace ends inside this block"
    daemon.wait_event("source.ended", source="logs/a.trc.1")
    assert daemon.term() == 0
    [(offset, raw)] = dead_letters(home)
    assert DATA[offset:-2] == raw
    all_once(home, DATA[:-2], NEXT)


@pytest.mark.parametrize("runs", [True, False], ids=["while it is read", "while hostd is stopped"])
def test_half_a_block_at_the_end_of_a_log_that_is_packed_is_one_dead_letter(home: Home, runs: bool) -> None:
    """The log has an end, and its archive has the same: it is told once."""
    home.drop("trace.py", version("1.0.0"))
    path = home.append("a.trc", DATA[:-2])
    daemon = home.start()
    daemon.wait_records("trace", 59)
    daemon.wait_all_read()
    if not runs:
        daemon.kill9()
    (home.logs / "a.trc.1.gz").write_bytes(gzip.compress(DATA[:-2]))
    path.unlink()
    daemon = daemon if runs else home.start()
    known = daemon.wait_event("source.known", source="logs/a.trc.1.gz", original="logs/a.trc")
    assert known["offset"] == len(DATA) - 2
    if runs:
        daemon.wait_event("source.ended", source="logs/a.trc")
    daemon.wait_event("record.rejected", reason="the trace ends inside this block")
    daemon.wait("the archive is read", lambda: daemon.source("logs/a.trc.1.gz"))
    daemon.wait_all_read()
    assert daemon.term() == 0
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    [(offset, raw)] = dead_letters(home)
    assert DATA[offset:-2] == raw
    all_once(home, DATA[:-2])
