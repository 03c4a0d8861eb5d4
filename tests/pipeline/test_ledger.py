"""The account of what was read and written: one transaction moves all of it, and nothing is forgotten."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hostd.errors import StateError
from hostd.past import Hold, Past
from hostd.pipeline.ledger import (
    MAX_DEAD_BYTES,
    SCHEMA_VERSION,
    Ledger,
    Result,
    SinkMark,
    StreamState,
    dead_counts,
)
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.ledger.schema import SCHEMAS
from hostd.workers.batch import DeadLetter
from tests.pipeline.build import result, row


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def provenance(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Return who parsed which range."""
    return ledger._db.execute("SELECT source, start, end, plugin, generation FROM provenance ORDER BY id").fetchall()


steps = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 50), st.sampled_from(["a", "b"]), st.integers(1, 2), st.integers(0, 2)),
    max_size=15,
)


@settings(max_examples=30, deadline=None)
@given(steps=steps, cuts=st.lists(st.integers(1, 4), min_size=15, max_size=15), reopen=st.integers(0, 15))
def test_any_groups_of_results_leave_the_same_account(
    steps: list[tuple[int, int, str, int, int]], cuts: list[int], reopen: int
) -> None:
    """Checkpoints are the last, ranges partition what was read and are coalesced, dead letters are all there."""
    offsets, results = {1: 0, 2: 0}, list[Result]()
    for source, size, plugin, generation, dead in steps:
        start = offsets[source]
        offsets[source] += size
        letters = tuple(DeadLetter(start + at, b"raw", f"why {at}", "trace") for at in range(dead))
        results.append(
            result(start, offsets[source], source=source, plugin=plugin, generation=generation, dead=letters)
        )
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        waiting = list(results)
        for number, size in enumerate(cuts):
            group, waiting = waiting[:size], waiting[size:]
            if group:
                ledger.commit(group, [])
            if number == reopen:
                ledger.close()
                ledger = Ledger(Path(folder) / "ledger.db")
        ledger.commit(waiting, [])
        assert {found.id: found.checkpoint.offset for found in ledger.sources()} == {
            source: offset for source, offset in offsets.items() if offset
        }
        for source in (1, 2):
            covered: list[tuple[str, int]] = []
            position = 0
            for _, start, end, plugin, generation in (r for r in provenance(ledger) if r[0] == source):
                assert start == position, "a range is missing, doubled, or out of order"
                covered += [(plugin, generation)] * (end - start)
                position = end
            mine = [each for each in results if each.source.id == source]
            assert covered == [
                (each.plugin, each.generation)
                for each in mine
                for _ in range(each.source.checkpoint.offset - each.start)
            ]
            assert ledger.dead.of_source(source) == [letter for each in mine for letter in each.dead]
        counts = dead_counts(ledger.path)
        assert counts == {p: n for p in "ab" if (n := sum(len(r.dead) for r in results if r.plugin == p))}
        ledger.close()


def test_ranges_of_one_generation_are_one_row(ledger: Ledger) -> None:
    """A source that is read for a year by one generation is one line of provenance, across sources and groups."""
    ledger.commit([result(0, 5), result(0, 9, source=2), result(5, 7)], [])
    ledger.commit([result(7, 10), result(10, 12, generation=2)], [])
    ledger.commit([result(12, 20), result(25, 30)], [])
    assert provenance(ledger) == [
        (1, 0, 10, "demo", 1),
        (2, 0, 9, "demo", 1),
        (1, 10, 12, "demo", 2),
        (1, 12, 20, "demo", 1),
        (1, 25, 30, "demo", 1),
    ]


def test_a_commit_is_all_or_nothing(ledger: Ledger) -> None:
    """A failure in the middle leaves every table, and what is remembered of it, as it was."""
    ledger.commit([result(0, 5)], [])
    broken = result(5, 9, dead=(DeadLetter(2**64, b"raw", "no ledger can hold its offset", ""),))
    mark = SinkMark("out", "demo", 7, 1, 2)
    with pytest.raises(OverflowError):
        ledger.commit([broken], [mark])
    assert [found.checkpoint.offset for found in ledger.sources()] == [5]
    assert ledger.sink_mark("out", "demo") is None
    assert provenance(ledger) == [(1, 0, 5, "demo", 1)]
    ledger.commit([result(5, 9)], [mark])
    assert provenance(ledger) == [(1, 0, 9, "demo", 1)]
    assert ledger.sink_mark("out", "demo") == mark


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """Sources, marks and generations come back as they were put."""
    path = tmp_path / "ledger.db"
    first = Ledger(path)
    mark = SinkMark("out", "demo", 7, 1, 2**40)
    generation = Past("demo", 2, "1.0", "abc", "abc:{}", "demo.py", "kept", "now")
    first.book.put_generations([replace(generation, number=1), generation])
    first.commit([result(0, 5, generation=2, lines=b"{}\n{}\n", dead=(DeadLetter(3, b"x", "why", ""),))], [mark])
    first.close()
    second = Ledger(path)
    assert second.sources() == [row(1, 5)]
    assert second.sink_mark("out", "demo") == mark
    assert second.sink_mark("out", "other") is None
    assert second.sink_processors("out") == ["demo"]
    counted = replace(generation, records=2, rejected=1)
    assert second.book.generations(1) == [counted]
    second.book.put_generations([replace(generation, since="later", permanent=True)])
    assert second.book.generations(1) == [replace(counted, since="later", permanent=True)]
    second.book.put_generations([replace(generation, since="now")])
    assert second.book.generations(1) == [replace(counted, permanent=True)], "what was proven stays so"
    second.close()


def test_the_last_generations_and_the_last_proven_one_are_remembered(ledger: Ledger) -> None:
    """The rest of a long history is not needed to go back, or to start."""
    for number in range(1, 10):
        permanent = number in (2, 3)
        ledger.book.put_generations(
            [Past("demo", number, "1", "abc", "abc:{}", "demo.py", "kept", "now", permanent=permanent)]
        )
    ledger.book.put_generations([Past("other", 1, "1", "abc", "abc:{}", "other.py", "kept", "now")])
    found = sorted((row.plugin, row.number) for row in ledger.book.generations(2))
    assert found == [("demo", 3), ("demo", 8), ("demo", 9), ("other", 1)]


def test_holds_and_recent_input_survive(tmp_path: Path) -> None:
    """One of each for a plugin; the last counts."""
    path = tmp_path / "ledger.db"
    first = Ledger(path)
    hold = Hold("demo", "pinned", "demo.py", "abc", 2, "why")
    first.book.put_hold(replace(hold, plugin="other"))
    first.book.put_hold(hold)
    first.book.put_hold(replace(hold, generation=3))
    first.book.drop_hold("other")
    first.book.put_recent({"demo": "[1]", "other": "[2]"})
    first.book.put_recent({"demo": "[3]"})
    first.close()
    second = Ledger(path)
    assert second.book.holds() == [replace(hold, generation=3)]
    assert second.book.recent() == {"demo": "[3]", "other": "[2]"}
    second.close()


def test_a_ledger_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """What it holds stays; its generations count as proven."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as db:
        db.executescript(f"{SCHEMAS[0]} PRAGMA user_version = 1;")
        db.execute("INSERT INTO generations VALUES ('demo', 4, '1', 'abc', 'abc:{}', 'demo.py', 'kept', 'now', 7, 1)")
    db.close()
    ledger = Ledger(path)
    assert ledger.book.generations(1) == [
        Past("demo", 4, "1", "abc", "abc:{}", "demo.py", "kept", "now", 7, 1, permanent=True)
    ]
    assert ledger.book.holds() == []
    ledger.close()


def test_a_huge_dead_letter_is_kept_in_part_with_its_length(ledger: Ledger) -> None:
    """The rest is in the source, at its offset."""
    ledger.commit([result(0, 5, dead=(DeadLetter(0, b"x" * (MAX_DEAD_BYTES + 1), "long", ""),))], [])
    [letter] = ledger.dead.of_source(1)
    assert len(letter.raw) == MAX_DEAD_BYTES
    assert letter.length == MAX_DEAD_BYTES + 1


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    """An older hostd must not write what it does not understand."""
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StateError) as caught:
        Ledger(path)
    assert str(caught.value) == (
        f"{path}: the ledger is of version {SCHEMA_VERSION + 1}, and this hostd knows {SCHEMA_VERSION};"
        " run the newer hostd that wrote it"
    )


def test_a_corrupt_ledger_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """It is never silently begun anew."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StateError) as caught:
        Ledger(path)
    assert str(caught.value) == (
        f"{path}: the ledger is broken: file is not a database; see what is left with hostd doctor, and save it with "
        "hostd doctor --recover; or restore it from a backup, together with the sinks' folders; moved away, every "
        "source is read again from its start"
    )
    assert path.read_bytes().startswith(b"this is no database")


def stream(offset: int, *, ended: bool = False, generation: int = 1) -> StreamState:
    """Return the state of a stream."""
    return StreamState("demo", generation, offset, b"\x00state %d" % offset, ended, 0, None)


def test_the_state_of_a_stream_is_written_with_the_checkpoint(ledger: Ledger) -> None:
    """Of several in one group the last; with a commit that fails neither is written."""
    first = replace(result(0, 10), stream=stream(10))
    second = replace(result(10, 20, generation=2), stream=stream(20, generation=2))
    ledger.commit([first, second], [])
    assert ledger.streams.of(1) == stream(20, generation=2)
    assert ledger.streams.of(2) is None
    assert ledger.streams.unended() == {1}
    broken = replace(result(20, 30), stream=replace(stream(30), state="text"))  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        ledger.commit([broken], [])
    assert ledger.streams.of(1) == stream(20, generation=2)
    assert [known.checkpoint.offset for known in ledger.sources()] == [20]
    ledger.commit([replace(result(20, 20), stream=stream(20, ended=True))], [])
    assert ledger.streams.unended() == set()
    assert provenance(ledger) == [(1, 0, 10, "demo", 1), (1, 10, 20, "demo", 2)], "its end is no range of bytes"


def test_a_rewritten_file_and_a_copy_end_the_stream_before(ledger: Ledger) -> None:
    """What the same file held before does not go on, nor what another one goes on with."""
    ledger.commit([replace(result(0, 10), stream=stream(10))], [])
    again = result(0, 5, source=2)
    same_file = replace(again, source=replace(again.source, inode=1), stream=stream(5))
    ledger.commit([same_file], [])
    assert ledger.streams.unended() == {2}
    ledger.commit([replace(result(5, 6, source=3), stream=stream(6), taken_over=2)], [])
    assert ledger.streams.unended() == {3}
    assert ledger.streams.of(2) == stream(5, ended=True)


@pytest.mark.parametrize("is_left", [True, False])
def test_a_copy_gets_the_snapshot_of_the_log_that_it_is_of(ledger: Ledger, is_left: bool) -> None:
    """With where it was read to; it is told its end instead of a log that is left, and not beside one that goes on."""
    ledger.commit([replace(result(0, 10), stream=stream(10))], [])
    ledger.note(result(0, 10, source=2).source, None, Copy(1, is_left))
    assert [row.id for row in ledger.sources()] == [1, 2]
    assert ledger.streams.of(2) == stream(10, ended=not is_left)
    assert ledger.streams.of(1) == stream(10, ended=is_left)
    assert ledger.streams.unended() == ({2} if is_left else {1})
    assert [number for number in (1, 2) if ledger.streams.is_unended(number)] == ([2] if is_left else [1])


def test_a_copy_gets_no_snapshot_of_another_place_and_none_in_place_of_its_own(ledger: Ledger) -> None:
    """The log may have been read on, and the copy, before it is written that it is one."""
    ledger.commit([replace(result(0, 10), stream=stream(10))], [])
    ledger.note(result(0, 7, source=2).source, None, Copy(1, is_left=True))
    assert ledger.streams.of(2) is None
    ledger.commit([replace(result(10, 15, source=3), stream=stream(15), taken_over=1)], [])
    ledger.note(result(0, 10, source=3).source, None, Copy(1, is_left=True))
    assert ledger.streams.of(3) == stream(15)
    assert next(row for row in ledger.sources() if row.id == 3).checkpoint.offset == 15


def test_of_several_pieces_of_a_copy_in_one_commit_the_first_says_what_it_takes_over(ledger: Ledger) -> None:
    """The one before has ended then, whichever piece is the last."""
    ledger.commit([replace(result(0, 10), stream=stream(10))], [])
    pieces = [replace(result(10, 15, source=2), stream=stream(15), taken_over=1)]
    pieces.append(replace(result(15, 20, source=2), stream=stream(20)))
    ledger.commit(pieces, [])
    assert ledger.streams.unended() == {2}


def test_streams_that_have_ended_are_forgotten_in_the_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; those that have not ended never."""
    monkeypatch.setattr("hostd.pipeline.ledger.streams.MAX_ENDED", 2)
    for number in range(1, 7):
        ended = number != 1
        ledger.commit([replace(result(0, 5, source=number), stream=stream(5, ended=ended))], [])
    assert [number for number in range(1, 7) if ledger.streams.of(number)] == [1, 5, 6]
