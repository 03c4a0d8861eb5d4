"""Streams in a real worker: any worker goes on from the snapshot, and one that has the stream open does not open it."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from hostd.errors import WorkerLostError
from hostd.workers.batch import Batch, DeadLetter, Piece, UnfedError, Yield
from hostd.workers.pool import Crew
from hostd.workers.questions import GenerationBrokenError

from .conftest import Run

CODE = """
import os, time
OPENED = [0]
class Stream:
    def __init__(self, ctx, state):
        OPENED[0] += 1
        self.ctx, self.rest = ctx, state or b""
        if self.rest == b"NO":
            raise ValueError("not mine")
    def feed(self, data, final):
        *lines, self.rest = (self.rest + data).split(b"\\n")
        for line in lines:
            if line.startswith(b"bad"):
                self.ctx.reject(line, "bad it is")
            elif line == b"elsewhere":
                self.ctx.reject(b"xyz", "not there")
            elif line == b"raise":
                raise ValueError("raised")
            elif line == b"large":
                self.rest = bytes(2000)
            elif line == b"leak":
                bytearray(2 << 30)
            elif line == b"hang":
                time.sleep(60)
            elif line == b"time":
                yield {"left": self.ctx.deadline - time.monotonic()}
            elif line == b"endless":
                yield from iter(lambda: {"line": "x" * 1000}, None)
            else:
                yield {"line": line.decode(), "at": self.ctx.offset, "opened": OPENED[0], "pid": os.getpid()}
        if final and self.rest:
            yield {"rest": self.rest.decode()}
            self.rest = b""
    def snapshot(self):
        return self.rest
class P:
    def open(self, ctx, state):
        return Stream(ctx, state)
def new_processor():
    return P()
"""
TABLE = 'framing = "stream"\nlimits = { snapshot_kib = 1, output_mib = 1 }'

Make = Callable[..., Crew]


def piece(data: bytes, offset: int = 0, state: bytes | None = None, *, number: int = 1, **more: Any) -> Piece:
    return Piece("a", offset, b"", data, number, state, **more)


def records(result: Yield) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bytes(result.lines).splitlines()]


@pytest.fixture
def streams(crew: Make) -> Crew:
    return crew(CODE, table=TABLE)


def test_a_stream_stays_open_where_the_snapshot_fits_and_is_opened_anew_where_not(streams: Crew, runner: Any) -> None:
    """Another snapshot, another offset, and another stream: each is opened; two of them are the check at start."""

    async def scenario() -> None:
        first = await streams.parse(piece(b"a\nb"))
        assert first.state == b"b"
        opened = records(first)[0]["opened"]
        lives = await streams.parse(piece(b"c\n", 3, b"b"))
        assert [(r["line"], r["at"], r["opened"]) for r in records(lives)] == [("bc", 3, opened)]
        other_state = await streams.parse(piece(b"c\n", 5, b"B"))
        assert [(r["line"], r["opened"]) for r in records(other_state)] == [("Bc", opened + 1)]
        other_place = await streams.parse(piece(b"d\n", 99, b""))
        assert records(other_place)[0]["opened"] == opened + 2
        other_stream = await streams.parse(piece(b"e\n", 101, b"", number=2))
        assert records(other_stream)[0]["opened"] == opened + 3
        again = await streams.parse(piece(b"f\n", 101, b""))
        assert records(again)[0]["opened"] == opened + 3
        from_the_start = await streams.parse(piece(b"g\n", 103, None))
        assert records(from_the_start)[0]["opened"] == opened + 4

    runner.run(scenario())


def test_a_fresh_worker_goes_on_from_the_snapshot(streams: Crew, runner: Any) -> None:
    """Killed, and nobody has to know."""

    async def scenario() -> None:
        first = await streams.parse(piece(b"a\nb"))
        os.kill(records(first)[0]["pid"], signal.SIGKILL)
        while True:
            try:
                second = await streams.parse(piece(b"c\n", 3, first.state))
                break
            except WorkerLostError:
                continue  # it had not been missed yet
        assert records(second)[0]["line"] == "bc"
        assert records(second)[0]["pid"] != records(first)[0]["pid"]

    runner.run(scenario())


def test_what_is_rejected_has_its_place_also_where_it_began_earlier(streams: Crew, runner: Any) -> None:
    """The bytes are those of the source; the nearest place counts where they are in it twice."""

    async def scenario() -> None:
        result = await streams.parse(piece(b"d 1\nbad 2\nbad 2\nx", 10, b"ba", before=b"ba"))
        assert result.dead == (
            DeadLetter(8, b"bad 1", "bad it is", ""),
            DeadLetter(14, b"bad 2", "bad it is", ""),
            DeadLetter(20, b"bad 2", "bad it is", ""),
        )
        with pytest.raises(UnfedError) as caught:
            await streams.parse(piece(b"elsewhere\n"))
        assert (caught.value.reason, caught.value.at_open) == (
            "not there (of b'xyz', which is no piece of the input)",
            False,
        )

    runner.run(scenario())


def test_thousands_of_rejections_come_in_parts(streams: Crew, runner: Any) -> None:
    """As those of a batch do."""

    async def scenario() -> None:
        result = await streams.parse(piece(b"".join(b"bad %04d\n" % number for number in range(2500))))
        assert [(letter.offset, letter.raw) for letter in result.dead] == [
            (9 * number, b"bad %04d" % number) for number in range(2500)
        ]

    runner.run(scenario())


@pytest.mark.parametrize(
    ("data", "state", "at_open", "reason"),
    [
        (b"raise\n", b"", False, "ValueError: raised (plugins.d/demo.py:"),
        (b"x\n", b"NO", True, "ValueError: not mine (plugins.d/demo.py:"),
        (
            b"large\n",
            b"",
            False,
            "its snapshot of 2000 bytes is over the limit (limits.snapshot_kib = 1); keep less, or",
        ),
        (b"leak\n", b"", False, "MemoryError (plugins.d/demo.py:"),
        (b"endless\n", b"", False, "TooMuchError: its records are over the limit (limits.output_mib)"),
    ],
    ids=["feed", "open", "snapshot", "memory", "output"],
)
def test_a_stream_that_fails_says_where_and_its_worker_lives_on(
    streams: Crew, runner: Any, data: bytes, state: bytes, at_open: bool, reason: str
) -> None:
    """And the stream is opened anew, from the snapshot before."""

    async def scenario() -> None:
        before = records(await streams.parse(piece(b"a\n")))[0]
        with pytest.raises(UnfedError) as caught:
            await streams.parse(piece(data, 2, state))
        assert caught.value.at_open is at_open
        assert caught.value.reason.startswith(reason)
        after = records(await streams.parse(piece(b"b\n", 2, b"")))[0]
        assert after["pid"] == before["pid"]
        assert after["opened"] > before["opened"]

    runner.run(scenario())


def test_a_stream_that_hangs_costs_its_worker_and_has_the_time_of_each_piece(crew: Make, runner: Any) -> None:
    """`ctx.deadline` is that of the piece under way, not of the one that it was opened for."""

    async def scenario() -> None:
        streams = crew(CODE, 1.0, table=TABLE)
        await streams.parse(piece(b"a\n"))
        result = await streams.parse(piece(b"time\n", 2, b""), 5.0)
        assert 3 < records(result)[0]["left"] <= 5
        with pytest.raises(WorkerLostError, match="no answer within 1 s"):
            await streams.parse(piece(b"hang\n", 7, b""))

    runner.run(scenario())


def test_the_end_is_said_with_the_last_bytes_or_without_any(streams: Crew, runner: Any) -> None:
    """What is held back comes then."""

    async def scenario() -> None:
        result = await streams.parse(piece(b"a\nb", final=True))
        assert (records(result)[1], result.state) == ({"rest": "b", "@source": "a"}, b"")
        result = await streams.parse(piece(b"", 3, b"b", final=True))
        assert records(result) == [{"rest": "b", "@source": "a"}]

    runner.run(scenario())


@pytest.mark.parametrize(
    ("code", "table", "message"),
    [
        (
            "def new_processor():\n    return 1\n",
            TABLE,
            "new_processor() returns int without a method open(ctx, state)",
        ),
        (
            CODE,
            "",
            "returns P with open(ctx, state) and without parse(data, ctx), and its framing is not 'stream'; write",
        ),
        (
            CODE.replace("def feed", "def food"),
            TABLE,
            "open() returns Stream without feed; return an object with feed(",
        ),
        (CODE.replace("return self.rest", "return None"), TABLE, "snapshot() returns NoneType; return bytes"),
        (
            CODE.replace('state or b""', "state[0]"),
            TABLE,
            "opening a stream raises TypeError: 'NoneType' object is not",
        ),
        (
            CODE,
            TABLE + '\nsamples = [{ input = "a\\n", records = [{ line = "b" }] }]',
            'sample 0: expected [{"line": "b"}], got [{"line": "a", "at": 0, "opened": 3',
        ),
        (
            CODE.replace("return self.rest", "return b''")
            .replace(', "at": self.ctx.offset', "")
            .replace(', "opened": OPENED[0], "pid": os.getpid()', ""),
            TABLE + '\nsamples = [{ input = "abcd\\n", records = [{ line = "abcd" }] }]',
            'sample 0 fed in two halves: expected [{"line": "abcd"}], got [{"line": "cd"}]; mend snapshot',
        ),
    ],
    ids=["no open", "no framing", "no feed", "no bytes", "open raises", "sample", "halves"],
)
def test_what_is_no_stream_processor_is_refused_before_it_serves(
    crew: Make, runner: Any, code: str, table: str, message: str
) -> None:
    """With or without samples: a stream is opened, and opened again with its snapshot, before the first byte comes."""

    async def scenario() -> None:
        with pytest.raises(GenerationBrokenError) as caught:
            await crew(code, table=table).start()
        assert message in str(caught.value)

    runner.run(scenario())


def test_many_streams_are_open_at_once_and_the_longest_unfed_is_closed(streams: Crew, runner: Any) -> None:
    """A worker keeps a few dozen; whichever is not among them is opened again."""

    async def scenario() -> None:
        opened = [records(await streams.parse(piece(b"a\n", number=n)))[0]["opened"] for n in range(70)]
        assert opened == list(range(opened[0], opened[0] + 70))
        kept = records(await streams.parse(piece(b"b\n", 2, b"", number=69)))[0]["opened"]
        closed = records(await streams.parse(piece(b"b\n", 2, b"", number=0)))[0]["opened"]
        assert (kept, closed) == (opened[-1], opened[-1] + 1)

    runner.run(scenario())


def test_lines_and_streams_do_not_meet(crew: Make, runner: Run[None]) -> None:
    """A batch for a stream, or a piece for lines, is a bug of ours that costs a worker and nothing else."""

    async def scenario() -> None:
        with pytest.raises(WorkerLostError):
            await asyncio.wait_for(crew(CODE, table=TABLE).parse(Batch("a", 0, b"", b"a\n")), 10)

    runner.run(scenario())  # type: ignore[attr-defined]
