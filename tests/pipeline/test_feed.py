"""One piece of a stream through all that can go wrong: what can be fed is, what cannot is dead, nothing is both."""

import asyncio
import dataclasses
import json
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from hostd.errors import WorkerLostError
from hostd.pipeline.feed import Fed, Feeding, RefusedError, before_of
from hostd.pipeline.ledger import Ledger, StreamState
from hostd.pipeline.narrow import MAX_BARREN, Narrowing, Point
from hostd.pipeline.parse import Fallback, NotServedError
from hostd.workers.batch import DeadLetter, Piece, UnfedError, Yield
from hostd.workers.pool import Pool
from tests.pipeline.build import result
from tests.pipeline.streaming import STREAM, FakeCrew, FakeGeneration, bodies, feed, record


def reads(data: bytes) -> Callable[[int, int], Awaitable[bytes]]:
    async def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    return read


good = st.binary(min_size=1, max_size=40).map(lambda body: body.translate(bytes.maketrans(b"!?+", b"___")))
records_of = st.lists(st.tuples(good, st.sampled_from(["", "", "", "", "!", "?", "+"])), max_size=12)


async def feed_all(
    data: bytes, cuts: list[int], generation: FakeGeneration, crashes: frozenset[int] = frozenset()
) -> list[Yield]:
    """Feed data in pieces as the pump does, each with what the ledger has of the one before.

    With a crash what came of a piece is lost, and the next one is cut elsewhere.
    """
    pool, ledger = Pool(2, 60.0), Ledger(Path(":memory:"))
    results, start, ends = list[Yield](), 0, deque([*sorted(cuts), len(data)])
    step = 0
    while start < len(data) or not results:
        step += 1
        end = ends.popleft() if ends else len(data)
        if end < start:
            continue
        known = ledger.streams.of(1)
        state = known.state if known is not None else None
        origin = Point(known.origin_offset, known.origin_state) if known is not None else None
        piece = Piece("a", start, b"", data[start:end], 1, state, before_of(data[:start], state), end == len(data))
        feeding = Feeding(piece, origin, reads(data), STREAM, lambda: generation, pool, None)
        fed = await feeding.run()
        assert fed.origin.position <= end
        if step in crashes:
            continue
        assert fed.result.state is not None
        after = StreamState("demo", 1, end, fed.result.state, piece.final, fed.origin.position, fed.origin.state)
        ledger.commit([replace(result(start, end), stream=after)], [])
        results.append(fed.result)
        start = end
    ledger.close()
    await pool.close()
    return results


@example(parts=[(b"__", "!"), (b"_", "")], torn=0, cuts=[4], lose=[], crashes=frozenset())
@settings(max_examples=40, deadline=None)
@given(
    parts=records_of,
    torn=st.integers(0, 3),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    lose=st.lists(st.booleans(), max_size=4),
    crashes=st.frozensets(st.integers(1, 8)),
)
def test_wherever_it_is_cut_exactly_the_bad_records_are_dead(
    parts: list[tuple[bytes, str]], torn: int, cuts: list[int], lose: list[bool], crashes: frozenset[int]
) -> None:
    """A record that raises, one that kills its worker, and one that is rejected: each is dead as a whole, and alone.

    So it is also where it straddles two pieces, where a worker is lost by chance meanwhile, and where the daemon ends
    before what came of a piece is committed.
    """
    whole = [record(body + mark.encode()) for body, mark in parts]
    end = record(b"x" * 9)[: 1 + torn] if torn else b""
    data = b"".join([*whole, end])
    lucky = FakeGeneration(crew=FakeCrew([flag and number % 2 == 0 for number, flag in enumerate(lose)]))
    with capture_logs():
        results = asyncio.run(feed_all(data, [cut for cut in cuts if 0 < cut < len(data)], lucky, crashes))
    assert [body for result in results for body in bodies(result)] == [body for body, mark in parts if not mark]
    numbers = [json.loads(line)["number"] for result in results for line in bytes(result.lines).splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), "the state that goes along is that of the records before"
    dead = [(letter.offset, letter.raw) for result in results for letter in result.dead]
    places = [sum(map(len, whole[:number])) for number in range(len(whole))]
    expected = [(at, raw) for at, raw, (_, mark) in zip(places, whole, parts, strict=True) if mark]
    assert dead == expected + ([(len(data) - len(end), end)] if end else [])


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(0, 2000),
    failing=st.sets(st.integers(0, 2000), max_size=30),
    yielding=st.sets(st.integers(0, 2000), max_size=30),
    whims=st.lists(st.booleans(), max_size=40),
    final=st.booleans(),
)
def test_whatever_a_stream_does_narrowing_moves_forward_and_accounts_for_each_byte_once(
    length: int, failing: set[int], yielding: set[int], whims: list[bool], final: bool
) -> None:
    """Also one that breaks the rules: fails at some bytes, and now and then on a whim."""
    calls = 0
    kept: list[tuple[int, int]] = []

    async def ask(start: Point, end: int, is_final: bool) -> Yield | UnfedError:
        nonlocal calls
        calls += 1
        if any(start.position <= at < end for at in failing) or (whims and whims.pop()):
            return UnfedError("no", "", at_open=False)
        return Yield(sum(start.position <= at < end for at in yielding), b"", state=b"%d" % end)

    class Kept(Narrowing):
        def _accept(self, result: Yield, end: int) -> None:
            kept.append((self.here.position, end))
            super()._accept(result, end)

    narrowing = Kept(ask, Point(0, None), length, None)
    asyncio.run(narrowing.run(final=final))
    assert narrowing.here.position == length
    dead = [(each.start, each.end) for each in narrowing.dead]
    assert all(start <= end for start, end in dead)
    assert all(before[1] <= after[0] for before, after in pairwise(dead))
    covered = {at for start, end in (*dead, *kept) for at in range(start, end)}
    assert covered == set(range(length))
    assert calls < 2000


def once(
    piece: Piece,
    generation: FakeGeneration,
    warm: FakeGeneration | None = None,
    told: list[tuple[str, int, str]] | None = None,
) -> Fed:
    """Feed one piece."""

    async def scenario() -> Fed:
        pool = Pool(2, 60.0)
        fallback = Fallback(
            lambda: warm,
            lambda plugin, number, _, reason: (told if told is not None else []).append((plugin, number, reason)),
        )
        feeding = Feeding(piece, None, reads(b""), STREAM, lambda: generation, pool, fallback)
        try:
            return await feeding.run()
        finally:
            await pool.close()

    with capture_logs():
        return asyncio.run(scenario())


def test_a_snapshot_that_is_not_opened_is_refused_and_no_failure_of_the_piece() -> None:
    """Neither bisected nor dead: the caller decides who goes on."""
    generation = FakeGeneration()
    with pytest.raises(RefusedError) as caught:
        once(Piece("a", 5, b"", b"x", 1, b"-1"), generation)
    assert (caught.value.generation, caught.value.reason) == (generation, "not mine")
    assert generation.crew.calls == 1


def test_an_open_that_takes_the_worker_down_is_a_refusal_too() -> None:
    """Two workers lost with the piece, and a third that was fed nothing."""

    class Dies(FakeCrew):
        async def parse(self, batch: Piece, time_s: float | None = None, *, behind: bool = True) -> Yield:
            self.calls += 1
            raise WorkerLostError("exit status 3")

    generation = FakeGeneration(crew=Dies())
    with pytest.raises(RefusedError, match="exit status 3"):
        once(Piece("a", 5, b"", b"x", 1, b"1:"), generation)
    assert generation.crew.calls == 4


def test_a_piece_that_only_the_proven_generation_feeds_is_a_regression() -> None:
    """On probation: all of the piece is the proven one's, and the probation is told."""

    class Fails(FakeCrew):
        async def parse(self, batch: Piece, time_s: float | None = None, *, behind: bool = True) -> Yield:
            raise UnfedError("worse", "", at_open=False)

    told: list[tuple[str, int, str]] = []
    proven, new = FakeGeneration(1), FakeGeneration(2, crew=Fails())
    fed = once(Piece("a", 0, b"", record(b"ab"), 1, None), new, proven, told)
    assert (fed.generation, bodies(fed.result), told) == (proven, [b"ab"], [("demo", 2, "worse")])
    bad = Piece("a", 0, b"", record(b"a!"), 1, None)
    assert once(bad, FakeGeneration(2), FakeGeneration(1)).generation.number == 2, "no better at it"


def test_a_piece_of_another_framing_is_cut_again() -> None:
    """What serves by now is no stream."""
    with pytest.raises(NotServedError):
        once(Piece("a", 0, b"", b"x", 1, None), FakeGeneration(framing=dataclasses.replace(STREAM, kind="lines")))


def test_a_stream_that_has_lost_its_way_costs_little() -> None:
    """Where nothing is yielded over a thousand failures what is dead grows, twice as much each time."""
    data = b"".join(record(b"y!") for _ in range(20_000))
    generation = FakeGeneration()
    fed = once(Piece("a", 0, b"", data, 1, None), generation)
    assert b"".join(letter.raw for letter in fed.result.dead) == data
    assert MAX_BARREN <= len(fed.result.dead) <= MAX_BARREN + 20
    assert generation.crew.calls < 20 * MAX_BARREN


def test_dead_letters_carry_the_reason_and_the_traceback() -> None:
    """Those that are rejected, and those that raise, in the order of their places."""
    data = record(b"a") + record(b"b?") + record(b"c!") + record(b"d")
    fed = once(Piece("a", 10, b"", data, 1, None), FakeGeneration())
    assert fed.result.dead == (
        DeadLetter(12, record(b"b?"), "odd", ""),
        DeadLetter(15, record(b"c!"), "bad b'c!'", "trace"),
    )
    assert bodies(fed.result) == [b"a", b"d"]
    assert fed.result.state == b"2:"


def test_what_was_fed_earlier_goes_along_as_far_as_the_stream_may_hold_it() -> None:
    """No more than the snapshot is long, and nothing for a stream that begins."""
    assert before_of(b"abcdef", b"12") == b"ef"
    assert before_of(b"abcdef", None) == before_of(b"abcdef", b"") == b""
    assert feed(b"0:", record(b"ok"), 0, False).records == 1
