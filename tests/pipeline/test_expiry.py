"""What the ledger forgets: by age, and only of files that are gone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd import clock
from hostd.pipeline.keeper import Keeper
from hostd.pipeline.ledger.places import DAY_MS
from tests.pipeline.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Have the clock go forward."""
    now = clock.epoch_ms()
    monkeypatch.setattr(clock, "epoch_ms", lambda: now + days * DAY_MS)


def forget(world: World, open_files: frozenset[tuple[int, int]] = frozenset()) -> list[dict[str, Any]]:
    with capture_logs() as logged:
        Keeper(world.ledger, world.committer, lambda: open_files).forget()
    return [event for event in logged if event["event"] in ("source.forgotten", "provenance.dropped")]  # type: ignore[misc]


def sources(world: World) -> list[int]:
    return sorted(row.id for row in world.ledger.sources())


def test_only_sources_that_are_gone_for_long_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lies there under another name, or is open, would be read anew; a number is never given twice."""
    for source in range(5):
        world.append(source, "a")
        world.commit(world.results(source, 1))
    gone, renamed, opened, _, last = (Path(source.path) for source in world.sources)
    for path in (gone, opened, last):
        path.unlink()
    renamed.rename(renamed.with_name("renamed"))
    status = os.fstat(world.sources[2].fd)
    keep = frozenset({(status.st_dev, status.st_ino)})
    assert forget(world, keep) == []
    later(monkeypatch, 89)
    assert forget(world, keep) == []
    later(monkeypatch, 2)
    dropped, forgotten = forget(world, keep)
    assert (dropped["event"], dropped["reaches_back_to"]) == ("provenance.dropped", None)
    assert (forgotten["event"], forgotten["source"], forgotten["path"]) == ("source.forgotten", "0.log", str(gone))
    assert sources(world) == [2, 3, 4, 5]
    assert world.ledger._db.execute("SELECT DISTINCT source FROM provenance ORDER BY source").fetchall() == [
        (2,),
        (3,),
        (4,),
        (5,),
    ]


def test_what_is_committed_later_keeps_its_source(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day of the last commit counts; and files that are not written any more are forgotten once empty."""
    world.append(0, "aaa")
    world.append(1, "a")
    world.commit(world.results(0, 1))
    world.commit(world.results(1, 1))
    later(monkeypatch, 60)
    world.rotate()
    world.commit(world.results(0, 1))
    Path(world.sources[0].path).unlink()
    later(monkeypatch, 60)
    assert [event["event"] for event in forget(world)] == ["provenance.dropped"]
    assert sources(world) == [1, 2]
    explained = world.explain(world.output, 1)
    assert (explained.source is not None, explained.begin) == (True, 5)
    rows = world.ledger._db.execute("SELECT inode FROM sink_files").fetchall()
    assert rows == [(world.output.stat().st_ino,)]


def test_a_ledger_from_before_days_were_noted_begins_now(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten for want of a date."""
    for source in (0, 1):
        world.append(source, "a")
        world.commit(world.results(source, 1))
        Path(world.sources[source].path).unlink()
    world.ledger._db.execute("DELETE FROM source_days")
    later(monkeypatch, 1000)
    forget(world)
    assert sources(world) == [1, 2]
    later(monkeypatch, 91)
    forget(world)
    assert sources(world) == [2]
