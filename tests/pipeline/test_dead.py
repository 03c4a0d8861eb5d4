"""Dead letters in the ledger: whatever is put, parsed again, dropped and given up, the account of them is exact."""

import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from structlog.testing import capture_logs

from hostd import clock
from hostd.errors import HostdError, StateError
from hostd.pipeline.ledger import MAX_DEAD_BYTES, Ledger, Letter, Replay, dead_counts
from hostd.pipeline.ledger import letters as shelves
from hostd.pipeline.ledger.dead import PACKED_FROM_BYTES, SLACK
from hostd.pipeline.ledger.letters import Total, open_shelf
from hostd.pipeline.ledger.schema import SCHEMAS
from hostd.pipeline.ledger.selection import Selection
from hostd.workers.batch import DeadLetter
from tests.pipeline.build import result


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def letter(offset: int, raw: bytes = b"raw\n", reason: str = "why") -> DeadLetter:
    return DeadLetter(offset, raw, reason, "trace")


def put(ledger: Ledger, *dead: DeadLetter, plugin: str = "demo", generation: int = 1, header: bytes = b"") -> None:
    """Commit a batch of 1,000 bytes with these dead letters in it."""
    start = dead[0].offset
    batch = result(start, start + 1000, plugin=plugin, generation=generation, dead=dead)
    ledger.commit([replace(batch, header=header, framing='["lines", null, null, null]')], [])


def every(ledger: Ledger, **filters: Any) -> list[Letter]:
    """Return all letters of a selection, page by page."""
    found: list[Letter] = []
    after: int | None = 0
    while after is not None:
        page = ledger.dead.page(Selection(**filters), after, 3)
        found += page.letters
        after = page.next
    return found


def replay(
    *letters: Letter, generation: int = 2, dead: tuple[DeadLetter, ...] = (), note: str = "", records: int = 1
) -> Replay:
    return Replay(letters[0].plugin, generation, records, b"{}\n" * records, letters, dead, note)


class Account(RuleBasedStateMachine):
    """A ledger, and beside it what it should say."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.db")
        self.ledger.dead.keep(0, 0)
        self.offset = 0
        self.parsed_by: dict[int, tuple[str, int]] = {}
        self.letters: dict[int, tuple[str, int, int, bytes, bytes, str]] = {}
        self.ever: set[int] = set()
        self.counters: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(
        plugin=st.sampled_from("ab"),
        generation=st.integers(1, 3),
        header=st.sampled_from([b"", b"h1\n", b"h2\n"]),
        sizes=st.lists(st.sampled_from([1, 7, 600, 70_000]), max_size=4),
    )
    def put(self, plugin: str, generation: int, header: bytes, sizes: list[int]) -> None:
        start, dead = self.offset, []
        for size in sizes:
            dead.append(letter(self.offset, bytes([65 + size % 26]) * size, f"reason {size}"))
            self.offset += size
        self.offset += 5
        batch = result(start, self.offset, plugin=plugin, generation=generation, dead=tuple(dead))
        before = self.ledger.dead.last_id()
        self.ledger.commit([replace(batch, header=header, framing="")], [])
        new = [each for each in every(self.ledger) if each.id > before]
        assert [each.offset for each in new] == [each.offset for each in dead]
        for each, one in zip(new, dead, strict=True):
            self.letters[each.id] = plugin, generation, each.offset, one.raw, header, one.reason
            self.parsed_by[each.offset] = plugin, generation
            assert each.id not in self.ever, "a number is used twice"
            self.ever.add(each.id)

    @precondition(lambda self: self.letters)
    @rule(
        chance=st.randoms(use_true_random=False),
        generation=st.integers(1, 5),
        outcome=st.sampled_from(["parsed", "again", "noted", "part", "dropped meanwhile"]),
    )
    def replay(self, chance: Any, generation: int, outcome: str) -> None:
        number = chance.choice(sorted(self.letters))
        plugin, _, offset, raw, header, _ = self.letters[number]
        [found] = every(self.ledger, id=number)
        if outcome == "dropped meanwhile":
            self._drop(Selection(id=number))
            self.ledger.commit([replay(found, generation=generation)], [])
        elif outcome == "parsed":
            self.ledger.commit([replay(found, generation=generation)], [])
            self._gone(number, "replayed")
            self.parsed_by[offset] = plugin, generation
        elif outcome == "noted":
            self.ledger.commit([replay(found, generation=generation, note="no", records=0)], [])
            assert [(each.tried, each.note) for each in every(self.ledger, id=number)] == [(generation, "no")]
        elif outcome == "again":
            dead = DeadLetter(offset, raw, "again", "")
            self.ledger.commit([replay(found, generation=generation, dead=(dead,), records=0)], [])
            self.letters[number] = plugin, generation, offset, raw, header, "again"
        elif len(raw) > 1:
            half = len(raw) // 2
            dead = DeadLetter(offset + half, raw[half:], "half", "")
            before = self.ledger.dead.last_id()
            made = replace(replay(found, generation=generation, dead=(dead,)), header=header)
            self.ledger.commit([made], [])
            self._gone(number, "replayed")
            self.parsed_by[offset] = self.parsed_by[offset + half] = plugin, generation
            [new] = [each for each in every(self.ledger) if each.id > before]
            assert (new.at, new.id not in self.ever) == (found.at, True)
            self.ever.add(new.id)
            self.letters[new.id] = plugin, generation, offset + half, raw[half:], header, "half"

    @rule(plugin=st.sampled_from(["a", "b", None]), generation=st.sampled_from([1, 2, None]))
    def drop(self, plugin: str | None, generation: int | None) -> None:
        self._drop(Selection(plugin=plugin, generation=generation, reason="reason 7"))

    def _drop(self, selection: Selection) -> None:
        mine = [
            number
            for number, (plugin, generation, _, _, _, reason) in self.letters.items()
            if selection.plugin in (None, plugin)
            and selection.generation in (None, generation)
            and selection.id in (None, number)
            and (selection.reason or "") in reason
        ]
        assert self.ledger.dead.drop(selection) == (len(mine), None)
        for number in mine:
            self._gone(number, "dropped")

    @rule(keep=st.integers(1, 200))
    def give_up(self, keep: int) -> None:
        dead = self.ledger.dead
        dead.keep_bytes = keep << 8
        before = set(self.letters)
        with capture_logs() as logs:
            dead.shrink()
        dead.keep_bytes = 0
        kept = {each.id for each in every(self.ledger)}
        gone = before - kept
        assert not kept or max(gone, default=0) < min(kept), "the oldest go first"
        assert sum(event["letters"] for event in logs) == len(gone)
        for number in gone:
            self._gone(number, "expired")
        assert sum(total.bytes for total in dead.totals().values()) <= keep << 8

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.ledger.path)

    def _gone(self, number: int, how: str) -> None:
        self.counters[self.letters.pop(number)[0]][how] += 1

    @invariant()
    def account_is_exact(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {each.id: each for each in every(self.ledger)}
        assert {
            number: (each.plugin, each.generation, each.offset, each.raw, each.length, each.header, each.reason)
            for number, each in found.items()
        } == {
            number: (plugin, generation, offset, raw[:MAX_DEAD_BYTES], len(raw), header, reason)
            for number, (plugin, generation, offset, raw, header, reason) in self.letters.items()
        }
        sums = self.ledger._db.execute("SELECT plugin, count(*), sum(size) FROM dead_letters GROUP BY 1").fetchall()
        totals = self.ledger.dead.totals()
        assert {plugin: (total.letters, total.bytes) for plugin, total in totals.items() if total.letters} == {
            plugin: (letters, size) for plugin, letters, size in sums
        }
        for plugin, counted in self.counters.items():
            total = totals.get(plugin, Total())
            assert (total.replayed, total.expired, total.dropped) == tuple(
                counted[name] for name in ("replayed", "expired", "dropped")
            )
        headers = self.ledger._db.execute("SELECT count(*) FROM dead_headers").fetchone()[0]
        assert headers == len({header for *_, header, _ in self.letters.values() if header}), "headers are kept once"
        ranges = self.ledger._db.execute(
            "SELECT start, end, plugin, generation FROM provenance ORDER BY start, end"
        ).fetchall()
        position = 0
        for start, end, *made_by in ranges:
            assert start == position, "a range is missing, or overlaps another"
            assert end > start
            position = end
            within = [by for offset, by in self.parsed_by.items() if start <= offset < end]
            assert within == [tuple(made_by)] * len(within)
        assert position == self.offset


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_what_was_parsed_again_is_accounted_to_who_did(ledger: Ledger) -> None:
    """In the place of the letter; what lies around it stays as it is, and what comes next goes on from there."""
    put(ledger, letter(0), letter(4), letter(996))
    first, second, last = every(ledger)
    ledger.commit([replay(first), replay(second), result(1000, 1100)], [])
    ledger.commit([replay(last, generation=3), result(1100, 1200)], [])
    ledger.commit([result(1200, 1300, generation=3)], [])
    ranges = ledger._db.execute("SELECT start, end, generation FROM provenance ORDER BY start").fetchall()
    assert ranges == [(0, 8, 2), (8, 996, 1), (996, 1000, 3), (1000, 1200, 1), (1200, 1300, 3)]


def test_a_replay_moves_no_checkpoint(ledger: Ledger) -> None:
    """Its source may have been read far beyond the letter by then."""
    put(ledger, letter(0))
    [found] = every(ledger)
    ledger.commit([result(1000, 5000)], [])
    ledger.commit([replay(found)], [])
    assert [source.checkpoint.offset for source in ledger.sources()] == [5000]
    assert ledger.source(1) == ledger.sources()[0]
    assert ledger.source(9) is None


def test_filters_combine(ledger: Ledger) -> None:
    """Each narrows what the others leave; a source is a name or a glob."""
    put(ledger, letter(0, reason="expected 3 fields"), letter(4, reason="expected 2 fields"))
    put(ledger, letter(2000, reason="expected 2 fields"), plugin="other", generation=7)
    assert [each.offset for each in every(ledger, reason="2 fields")] == [4, 2000]
    assert [each.offset for each in every(ledger, reason="2 fields", plugin="demo")] == [4]
    assert [each.offset for each in every(ledger, plugin="other", generation=7)] == [2000]
    assert [each.offset for each in every(ledger, source="1.log", generation=1)] == [0, 4]
    assert every(ledger, source="2*") == []
    assert len(every(ledger, source="?.log")) == 3
    assert len(every(ledger, since="2020")) == 3
    assert every(ledger, since="9999") == []
    assert [each.id for each in every(ledger, id=2)] == [2]
    assert [each.offset for each in every(ledger, plugin="demo", generation=1, untried_by=1)] == []


def test_a_page_ends_after_so_many_rows_and_says_where_to_go_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of them are meant: commits do not wait for a search through all there is."""
    monkeypatch.setattr(shelves, "SCANNED_ROWS", 4)
    put(ledger, *(letter(4 * number, reason="last" if number == 9 else "why") for number in range(10)))
    page = ledger.dead.page(Selection(reason="last"))
    assert (page.letters, page.next) == ((), 4)
    page = ledger.dead.page(Selection(reason="last"), 4)
    assert (page.letters, page.next) == ((), 8)
    page = ledger.dead.page(Selection(reason="last"), 8)
    assert ([each.offset for each in page.letters], page.next) == ([36], None)
    assert len(every(ledger)) == 10
    assert ledger.dead.drop(Selection(reason="last")) == (0, 4)


def test_a_page_is_bounded_in_bytes(ledger: Ledger) -> None:
    """A letter over the bound comes alone."""
    put(ledger, *(letter(100 * number, b"x" * 100) for number in range(5)))
    page = ledger.dead.page(Selection(), most_bytes=150)
    assert ([each.id for each in page.letters], page.next) == ([1, 2], 2)
    page = ledger.dead.page(Selection(), 2, most_bytes=1)
    assert ([each.id for each in page.letters], page.next) == ([3], 3)
    page = ledger.dead.page(Selection(), 4)
    assert ([each.id for each in page.letters], page.next) == ([5], None)


def test_large_letters_are_deflated_and_small_ones_are_not(ledger: Ledger) -> None:
    """They come out as they were put; what does not get smaller stays as it is."""
    noise = bytes(range(256)) * 2
    put(ledger, letter(0, b"small\n"), letter(6, b"a" * PACKED_FROM_BYTES), letter(600, noise[::-1]))
    assert [each.raw for each in every(ledger)] == [b"small\n", b"a" * PACKED_FROM_BYTES, noise[::-1]]
    stored = ledger._db.execute("SELECT length(raw), kept, packed FROM dead_letters ORDER BY id").fetchall()
    assert stored[0] == (6, 6, 0)
    assert stored[1][0] < 50
    assert stored[1][1:] == (PACKED_FROM_BYTES, 1)


def test_too_much_is_bounded_in_the_transaction_that_puts_it(ledger: Ledger) -> None:
    """The ledger is never over it, the oldest go, and one event says how many of whom."""
    ledger.dead.keep_bytes = 10_000
    with capture_logs() as logs:
        for start in range(0, 100_000, 1000):
            put(ledger, letter(start, bytes(100)), plugin="ab"[start % 2000 > 0])
            total = ledger.dead.totals().values()
            assert sum(each.bytes for each in total) <= 10_000
    assert {event["event"] for event in logs} == {"letters.expired"}
    assert {event["reason"] for event in logs} == {"they took more than 0 MiB"}
    assert sum(event["letters"] for event in logs) == sum(each.expired for each in ledger.dead.totals().values())
    assert len(every(ledger)) + sum(event["letters"] for event in logs) == 100
    assert len(logs) <= 2 * SLACK, "some are given up at once, not one with each commit"
    assert every(ledger)[-1].offset == 99_000


def test_letters_expire_when_they_are_too_old(ledger: Ledger) -> None:
    """And only those; never is for ever."""
    put(ledger, letter(0))
    put(ledger, letter(2000))
    ledger._db.execute("UPDATE dead_letters SET at = ? WHERE id = 1", (clock.timestamp_ago(8),))
    assert ledger.dead.expire() == {}
    ledger.dead.keep(9, 0)
    assert ledger.dead.expire() == {}
    ledger.dead.keep(7, 0)
    assert ledger.dead.expire() == {"demo": 1}
    assert ledger.dead.expire() == {}
    assert [each.id for each in every(ledger)] == [2]
    assert ledger.dead.totals()["demo"].expired == 1
    ledger.dead.keep(10**9, 0)
    assert ledger.dead.expire() == {}


def test_letters_of_an_older_ledger_go_on_to_work(tmp_path: Path) -> None:
    """They are counted, found, and given out; their header and framing are not known."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as db:
        db.executescript(f"{SCHEMAS[0]} {SCHEMAS[1]} PRAGMA user_version = 2;")
        row = (7, 3, "a.csv", 10, 99, b"cut", "csv", 2, "why", "trace", "2026-01-01T00:00:00.000Z")
        db.execute(f"INSERT INTO dead_letters VALUES ({', '.join('?' * 11)})", row)
    db.close()
    with pytest.raises(StateError, match="start this hostd once, which brings it up to date"):
        open_shelf(path)
    ledger = Ledger(path)
    [found] = every(ledger)
    assert found == Letter(7, 3, "a.csv", 10, 99, b"cut", *row[6:], b"", None, "", 0, "")
    assert found.is_cut
    assert dead_counts(ledger.path) == {"csv": 1}
    assert ledger.dead.totals()["csv"].bytes == 3 + 5 + 3 + 5 + 128
    put(ledger, letter(0))
    assert [each.id for each in every(ledger)] == [7, 8]
    assert ledger.dead.drop(Selection(plugin="csv")) == (1, None)
    assert dead_counts(ledger.path) == {"demo": 1}
    ledger.close()


def test_thousands_in_one_batch_are_cheap(ledger: Ledger) -> None:
    """Ten thousand letters cost less than ten times what parsing them does: a tenth of a millisecond each."""
    dead = tuple(letter(20 * number, b"%019d\n" % number) for number in range(10_000))
    began = time.monotonic()
    ledger.commit([result(0, 200_000, dead=dead)], [])
    assert time.monotonic() - began < 1.0
    assert dead_counts(ledger.path) == {"demo": 10_000}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"generation": "x"}, "--generation: 'x' is no number; give one as hostd dead list shows it"),
        ({"plugin": ""}, "--plugin: is empty, and would be no filter; give it a value, or leave it out"),
        ({"since": ""}, "--since: is empty, and would be no filter; give it a value, or leave it out"),
        ({"id": "-1"}, "--id: '-1' is no number; give one as hostd dead list shows it"),
        ({"id": "²"}, "--id: '²' is no number; give one as hostd dead list shows it"),
        (
            {"since": "noon"},
            "--since: 'noon' is no time; write 2026-01-31T12:00:00Z, 2026-01-31, or 90m, 12h, 7d for ago",
        ),
    ],
)
def test_filters_that_mean_nothing_are_told(given: dict[str, str], said: str) -> None:
    """With what to write instead."""
    with pytest.raises(HostdError) as caught:
        Selection.parse(given)
    assert str(caught.value) == said


def test_times_are_compared_as_the_ledger_writes_them() -> None:
    """In UTC, whatever the offset; or so long ago."""
    assert Selection.parse({"since": "2026-01-31T12:00:00+02:00"}).since == "2026-01-31T10:00:00.000Z"
    assert Selection.parse({"since": "2026-01-31T12:00:00Z"}).since == "2026-01-31T12:00:00.000Z"
    ago = Selection.parse({"since": "2d"}).since
    assert ago is not None
    assert clock.timestamp_ago(2.001) < ago <= clock.timestamp_ago(2)


@given(raw=st.binary(min_size=1, max_size=3000))
def test_any_bytes_come_out_as_they_were_put(raw: bytes) -> None:
    """Deflated or not."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        put(ledger, letter(0, raw), header=raw)
        assert [(each.raw, each.header) for each in every(ledger)] == [(raw, raw)]
        ledger.close()
