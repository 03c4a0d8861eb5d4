"""What every durable sink keeps, whatever its kind: what was committed is read once, in order, and nothing else is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.harness import eventually
from tests.pipeline.sinks.kinds import KINDS, Kind, Record, World


@pytest.fixture(params=KINDS, ids=str)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(request.param, tmp_path)
    yield world
    world.stop()


def numbered(*numbers: int) -> list[Record]:
    return [{"n": number, "word": f"w{number}"} for number in numbers]


def test_commits_are_read_in_their_order_each_processor_by_itself(world: World) -> None:
    """Across restarts too."""
    sink = world.start()
    world.commit(sink, "demo", *numbered(1, 2))
    world.commit(sink, "other", *numbered(7))
    world.commit(sink, "demo", *numbered(3))
    assert world.read() == numbered(1, 2, 3)
    world.commit(world.start(), "demo", *numbered(4))
    assert world.read() == numbered(1, 2, 3, 4)
    assert world.read("other") == numbered(7)


def test_one_commit_of_several_processors_has_a_mark_of_each(world: World) -> None:
    """And a sync without a write has none."""
    sink = world.start()
    sink.write("one", world.kind.chunks(*numbered(1)))
    sink.write("two", world.kind.chunks(*numbered(2, 3)))
    marks = sink.sync()
    assert sorted(mark.processor for mark in marks) == ["one", "two"]
    world.ledger.commit([], marks)
    sink.accept()
    assert sink.sync() == []
    assert (world.read("one"), world.read("two")) == (numbered(1), numbered(2, 3))


@pytest.mark.parametrize("before", [0, 2])
def test_what_the_ledger_does_not_know_is_gone_after_a_start(world: World, before: int) -> None:
    """A kill between sink and ledger, of a first commit and of a later one: its input is parsed, and written, again."""
    sink = world.start()
    if before:
        world.commit(sink, "demo", *numbered(*range(before)))
    sink.write("demo", world.kind.chunks(*numbered(8, 9)))
    assert sink.sync()
    sink = world.start()
    assert world.read() == numbered(*range(before))
    world.commit(sink, "demo", *numbered(8, 9))
    assert world.read() == numbered(*range(before), 8, 9)


def test_what_was_not_made_durable_is_gone_after_a_start(world: World) -> None:
    sink = world.start()
    world.commit(sink, "demo", *numbered(1))
    sink.write("demo", world.kind.chunks(*numbered(2)))
    world.start()
    assert world.read() == numbered(1)


@pytest.mark.parametrize("synced", [False, True])
def test_a_write_takes_the_place_of_one_that_was_not_accepted(world: World, synced: bool) -> None:
    """The commit failed, in another sink or in the ledger, and is tried again: longer, shorter, by other processors."""
    sink = world.start()
    world.commit(sink, "demo", *numbered(1))
    for tried in (numbered(2), numbered(2, 3, 4), numbered(2, 3)):
        sink.write("demo", world.kind.chunks(*tried))
        sink.write("other", world.kind.chunks(*tried))
        if synced:
            sink.sync()
    sink.write("demo", world.kind.chunks(*numbered(2, 3)))
    sink.write("other", world.kind.chunks(*numbered(7)))
    world.ledger.commit([], sink.sync())
    sink.accept()
    world.commit(sink, "demo", *numbered(4))
    assert world.read() == numbered(1, 2, 3, 4)
    assert world.read("other") == numbered(7)


def test_the_place_is_where_the_next_record_goes(world: World) -> None:
    """Counted as the sink says, from what was accepted; or there is none."""
    sink = world.start()
    world.commit(sink, "demo", *numbered(1, 2, 3))
    place = sink.place("demo")
    if place is None:
        return
    sink.write("demo", world.kind.chunks(*numbered(4)))
    assert sink.place("demo") == place
    [mark] = sink.sync()
    assert (mark.folder, mark.device, mark.inode) == (place.folder, place.device, place.inode)
    assert mark.length - place.length == (
        1 if sink.unit == "records" else len(b"".join(world.kind.chunks(*numbered(4))))
    )


def test_takes_is_by_globs_on_the_processors_name(world: World) -> None:
    sink = world.start("csv", "x_*")
    assert [name for name in ("csv", "x_1", "csv2", "x") if sink.takes(name)] == ["csv", "x_1"]


def test_another_sink_of_the_same_settings_goes_on(world: World) -> None:
    """As when the settings are read again: it is recovered while the one before still has commits to come."""
    old = world.start()
    world.commit(old, "demo", *numbered(1))
    coming = world.another()
    coming.recover()
    world.commit(old, "demo", *numbered(2))
    old.leave()
    world.opened[-1] = coming, world.ledger
    world.commit(coming, "demo", *numbered(3))
    assert world.read() == numbered(1, 2, 3)
    eventually("the one before has left", lambda: not old.leave())
    old.close()


def test_it_can_be_interrupted_and_closed_at_any_time(world: World) -> None:
    """By another thread; what was not accepted is not there later."""
    sink = world.start()
    world.commit(sink, "demo", *numbered(1))
    sink.write("demo", world.kind.chunks(*numbered(2)))
    sink.interrupt()
    sink.close()
    world.start()
    assert world.read() == numbered(1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "retry", "kill before sync", "kill before ledger", "kill before accept", "restart"]),
        st.sampled_from(["demo", "other"]),
        st.integers(1, 5),
    ),
    max_size=12,
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_what_was_committed_is_read_once(kind: Kind, steps: list[tuple[str, str, int]]) -> None:
    """Any history of commits that succeed, fail and are tried again, and of kills at each of their steps."""
    with tempfile.TemporaryDirectory() as name:
        world = World(kind, Path(name))
        sink = world.start()
        expected: dict[str, list[Record]] = {"demo": [], "other": []}
        number = 0
        for step, processor, count in steps:
            records = numbered(*range(number, number + count))
            number += count
            if step == "restart":
                sink = world.start()
                continue
            sink.write(processor, world.kind.chunks(*records))
            if step == "retry":
                sink.sync()
                sink.write(processor, world.kind.chunks(*records))
            if step != "kill before sync":
                marks = sink.sync()
                if step != "kill before ledger":
                    world.ledger.commit([], marks)
                    expected[processor] += records
            if step.startswith("kill"):
                sink = world.start()
            else:
                sink.accept()
        world.stop()
        assert {processor: world.read(processor) for processor in expected} == expected
