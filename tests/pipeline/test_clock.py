"""A clock that jumps back: what is durable is told by offsets and lengths, and nothing by times."""

import time
from pathlib import Path

import pytest

from hostd import clock
from hostd.pipeline.ledger import Ledger, SinkMark
from hostd.workers.batch import DeadLetter
from tests.pipeline.build import open_source, result


def test_commits_are_in_their_order_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is dated by the clock as it is, and each moves the account on."""
    times = ["2026-01-02T00:00:00.000Z", "2026-01-01T00:00:00.000Z"]
    ledger = Ledger(tmp_path / "ledger.db")
    for number, at in enumerate(times):
        monkeypatch.setattr(clock, "timestamp", lambda at=at: at)
        dead = (DeadLetter(number, b"x", f"reason {number}", ""),)
        ledger.commit([result(number, number + 1, dead=dead)], [SinkMark("/out", "demo", number + 1, 1, 1)])
    assert [row.checkpoint.offset for row in ledger.sources()] == [2]
    assert ledger._db.execute("SELECT at FROM dead_letters ORDER BY id").fetchall() == [(at,) for at in times]
    mark = ledger.sink_mark("/out", "demo")
    assert mark is not None
    assert mark.length == 2
    ledger.close()


def test_a_file_of_the_future_has_not_ended_until_the_clock_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read as it grows meanwhile; only what waits for a while without a write waits for longer."""
    path = tmp_path / "a.log"
    path.write_bytes(b"1\n")
    source = open_source(path)
    source.moved_away = True
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert source.idle_for_s() < 0
    assert not source.has_ended()
    assert source.read(0, 10) == b"1\n"
    monkeypatch.setattr(time, "time", lambda: now + 3)
    assert source.has_ended()
    source.close()
