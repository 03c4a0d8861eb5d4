"""Long batches: a worker parses them in parts of the size that the manifest says, and answers once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.framing import Framing
from hostd.errors import WorkerLostError
from hostd.workers.batch import Batch
from hostd.workers.parts import FORBORNE, LONG_BYTES, LONG_S, MOST_PARTS, CrowdedError, Speed, parts_of
from tests.build import PARSE_LINES
from tests.workers.demo import MakeCrew, batch, lines_of

LINE = b"x" * 99 + b"\n"
PART_BYTES = 1000


def long(data: bytes) -> Batch:
    """Return a batch that may be cut into parts of ten lines."""
    return replace(batch(data), part_bytes=PART_BYTES)


CALLS = """
class P:
    def parse(self, data, ctx):
        yield {"line": [ctx.offset, len(data), ctx.header.decode()]}

def new_processor():
    return P()
"""
EACH = """
class P:
    def parse(self, data, ctx):
        for line in data.splitlines(keepends=True):
            BODY
            yield {"line": line[:1].decode()}

def new_processor():
    return P()
"""


@given(
    st.sampled_from([Framing(), Framing(quote=b'"')]),
    st.lists(st.text('xy"\n', max_size=40).map(str.encode), max_size=30),
    st.booleans(),
    st.integers(1, 50),
)
def test_parts_are_all_of_it_in_whole_records(framing: Framing, lines: list[bytes], ended: bool, most: int) -> None:
    """None is longer than asked for but for a record that is; none could have taken the next record, too."""
    data = b"".join(line + b"\n" for line in lines)
    data = data if ended else data + b"y"
    parts = list(parts_of(data, most, framing))
    assert b"".join(data[start:end] for start, end in parts) == data
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    for start, end in parts:
        assert start < end
        assert end == len(data) or framing.boundary(data[start:end]) == end - start
        assert end - start <= most or framing.first_boundary(data[start:]) in (0, end - start)
        following = end + (framing.first_boundary(data[end:]) or len(data) - end)
        assert end == len(data) or following - start > most


def test_parse_is_handed_parts_of_a_long_batch(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """With their places, and the header of all; a batch that is no longer than a part, as it is."""

    async def scenario() -> None:
        demo = crew(CALLS)
        assert lines_of(await demo.parse(long(LINE * 10))) == [[100, 1000, ""]]
        assert lines_of(await demo.parse(long(LINE * 25))) == [[100, 1000, ""], [1100, 1000, ""], [2100, 500, ""]]

    runner.run(scenario())


@pytest.mark.parametrize(
    "body", ["if line[:1] == b'b': raise ValueError('bad')", "if line[:1] == b'b': ctx.reject(line, 'bad'); continue"]
)
def test_what_fails_in_a_part_is_dead_at_its_place(runner: asyncio.Runner, crew: MakeCrew, body: str) -> None:
    """And nothing beside it."""

    async def scenario() -> None:
        demo = crew(EACH.replace("BODY", body))
        data = LINE * 14 + b"b" + LINE[1:] + LINE * 14 + b"b" + LINE[1:]
        result = await demo.parse(long(data))
        assert [(letter.offset, letter.raw[:1]) for letter in result.dead] == [(1500, b"b"), (3000, b"b")]
        assert result.records == 28

    runner.run(scenario())


@pytest.mark.parametrize("sleeps", ["0.4", "0.15 if ctx.offset < 1000 else 0.7"])
def test_each_part_has_the_time_of_a_batch(runner: asyncio.Runner, crew: MakeCrew, sleeps: str) -> None:
    """They take longer together than one may, also where the first is no sign that they will."""

    async def scenario() -> None:
        code = f"import time\n{CALLS}".replace("yield", f"time.sleep({sleeps}); yield")
        assert len(lines_of(await crew(code, time_s=0.8).parse(long(LINE * 30)))) == 3

    runner.run(scenario())


@pytest.mark.parametrize(
    "body",
    [
        "yield {'line': 'y' * 60_000}",  # records that fit, and do not fit together
        "ctx.reject(line, 'r' * 900) or [ctx.reject(line[:1], 'r' * 900) for _ in line]",  # reasons
        "import gc; raise MemoryError",  # as of what all of them hold
    ],
    ids=["records", "reasons", "memory"],
)
def test_parts_that_are_too_much_together_are_not_parsed(runner: asyncio.Runner, crew: MakeCrew, body: str) -> None:
    """An answer is no larger than that of one: they are to be asked for one by one."""
    code = EACH.replace("BODY", body).replace('yield {"line": line[:1].decode()}', "pass")
    code += "import hostd.workers.attempt as a\na.Attempt._fail = lambda *_: (_ for _ in ()).throw(MemoryError())\n"

    async def scenario() -> None:
        demo = crew(code, table="limits = { output_mib = 1 }")
        await demo.start()
        with pytest.raises(CrowdedError):
            await demo.parse(long(LINE * 20))

    runner.run(scenario())


def test_a_worker_that_is_crowded_by_a_short_batch_breaks_the_protocol(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """There is nothing to cut: whoever says so is not to be asked for ever."""
    code = """
from contract import each_line
from hostd.workers import wire

def new_processor():
    wire.Parsed = lambda records, dead, said, mute, token: wire.Crowded(token)
    return each_line(lambda line: {"line": line})
"""

    async def scenario() -> None:
        for made in (batch(LINE), long(LINE)):
            with pytest.raises(WorkerLostError, match="answered Parse with Crowded"):
                await crew(code).parse(made)

    runner.run(scenario())


def test_a_part_that_yields_too_much_is_dead_as_a_batch_is(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """The limit of a batch is that of each part."""
    code = EACH.replace("BODY", "pass").replace("line[:1].decode()", '"y" * (2_000_000 if line[:1] == b"b" else 1)')

    async def scenario() -> None:
        demo = crew(code, table="limits = { output_mib = 1 }")
        result = await demo.parse(long(LINE * 14 + b"b" + LINE[1:]))
        assert result.records == 14
        assert ["limits.output_mib" in letter.reason for letter in result.dead] == [True]

    runner.run(scenario())


def test_batches_become_long_where_workers_are_fast(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """And stay short where one takes long."""

    async def scenario() -> None:
        fast = crew(PARSE_LINES)
        slow = crew(f"import time\n{CALLS}".replace("yield", "time.sleep(0.05); yield"))
        assert fast.parts_at_once(PART_BYTES) == slow.parts_at_once(PART_BYTES) == 1
        for _ in range(20):
            await fast.parse(batch(LINE * 10))
        for _ in range(2):
            await slow.parse(batch(LINE * 10))
        assert fast.parts_at_once(PART_BYTES) == MOST_PARTS
        assert slow.parts_at_once(PART_BYTES) == 1
        fast.forbear()
        assert fast.parts_at_once(PART_BYTES) == 1

    runner.run(scenario())


def test_a_batch_is_as_long_as_a_worker_is_to_be_busy() -> None:
    """By the speed of the last few."""
    speed = Speed()
    assert speed.parts(1000) == 1
    for took_s, parts in ((LONG_S / 100, MOST_PARTS), (LONG_S / 2, 2), (LONG_S, 1), (10 * LONG_S, 1)):
        for _ in range(30):
            speed.note(1000, took_s)
        assert speed.parts(1000) == parts
    for _ in range(30):
        speed.note(10, 0)
    assert speed.parts(1000) == 1, "of small ones it cannot be told"
    for _ in range(30):
        speed.note(1000, 0)
    speed.forbear()
    for _ in range(FORBORNE):
        assert speed.parts(1000) == 1
        speed.note(1000, 0)
    assert speed.parts(1000) == MOST_PARTS
    assert speed.parts(LONG_BYTES // 2) == 1, "of batches so small it cannot be told"
    speed.note(LONG_BYTES, 0)
    assert speed.parts(LONG_BYTES // 2) == 2, "however large parts are"
    assert speed.parts(2 * LONG_BYTES) == 1
