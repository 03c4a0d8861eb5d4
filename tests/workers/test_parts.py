"""Long batches: a worker parses them in parts of the size that the manifest says, and answers once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostd.workers.parts import FORBORNE, LONG_S, MOST_PARTS, Speed, parts_of
from tests.build import PARSE_LINES
from tests.workers.demo import MakeCrew, batch, lines_of

OF_ONE_KIB = "limits = { batch_kib = 1 }"
LINE = b"x" * 99 + b"\n"
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


@given(st.lists(st.integers(0, 40), max_size=30), st.booleans(), st.integers(1, 50))
def test_parts_are_all_of_it_in_whole_lines(lengths: list[int], ended: bool, most: int) -> None:
    """None is longer than asked for but for a line that is; none could have taken the next line, too."""
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    data = data if ended else data + b"y"
    parts = list(parts_of(data, most))
    assert b"".join(data[start:end] for start, end in parts) == data
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    for start, end in parts:
        assert start < end
        assert end == len(data) or data[end - 1 : end] == b"\n"
        assert end - start <= most or b"\n" not in data[start : end - 1]
        following = data.find(b"\n", end) + 1 or len(data)
        assert end == len(data) or following - start > most


def test_parse_is_handed_parts_of_a_long_batch(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """With their places, and the header of all; a batch that is no longer than a part, as it is."""

    async def scenario() -> None:
        demo = crew(CALLS, table=OF_ONE_KIB)
        assert lines_of(await demo.parse(batch(LINE * 10))) == [[100, 1000, ""]]
        assert lines_of(await demo.parse(batch(LINE * 25))) == [[100, 1000, ""], [1100, 1000, ""], [2100, 500, ""]]

    runner.run(scenario())


@pytest.mark.parametrize(
    "framing", ["{ kind = 'lines', quote = '\"' }", "'whole'", "{ kind = 'multiline', start = 'x' }"]
)
def test_a_batch_of_what_is_more_than_lines_has_no_parts(runner: asyncio.Runner, crew: MakeCrew, framing: str) -> None:
    """A line end in it need not be the end of a record."""

    async def scenario() -> None:
        demo = crew(CALLS, table=f"{OF_ONE_KIB}\nframing = {framing}")
        assert lines_of(await demo.parse(batch(LINE * 25))) == [[100, 2500, ""]]

    runner.run(scenario())


@pytest.mark.parametrize(
    "body", ["if line[:1] == b'b': raise ValueError('bad')", "if line[:1] == b'b': ctx.reject(line, 'bad'); continue"]
)
def test_what_fails_in_a_part_is_dead_at_its_place(runner: asyncio.Runner, crew: MakeCrew, body: str) -> None:
    """And nothing beside it."""

    async def scenario() -> None:
        demo = crew(EACH.replace("BODY", body), table=OF_ONE_KIB)
        data = LINE * 14 + b"b" + LINE[1:] + LINE * 14 + b"b" + LINE[1:]
        result = await demo.parse(batch(data))
        assert [(letter.offset, letter.raw[:1]) for letter in result.dead] == [(1500, b"b"), (3000, b"b")]
        assert result.records == 28

    runner.run(scenario())


def test_each_part_has_the_time_of_a_batch(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Three of them take longer together than one may."""

    async def scenario() -> None:
        demo = crew(f"import time\n{CALLS}".replace("yield", "time.sleep(0.4); yield"), time_s=0.8, table=OF_ONE_KIB)
        assert len(lines_of(await demo.parse(batch(LINE * 30)))) == 3

    runner.run(scenario())


def test_parts_that_yield_too_much_together_are_parsed_one_by_one(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """What each may yield is what a batch may, and an answer is no larger; batches are short for a while then."""
    code = EACH.replace("BODY", "if line[:1] == b'b': ctx.reject(line, 'bad')").replace(
        "line[:1].decode()", '"y" * 60_000'
    )

    async def scenario() -> None:
        demo = crew(code, table="limits = { batch_kib = 1, output_mib = 1 }")
        data = LINE * 19 + b"b" + LINE[1:]
        result = await demo.parse(batch(data))
        assert result.records == 20
        assert len(result.lines) > 1 << 20
        assert [letter.offset for letter in result.dead] == [100 + 1900]
        assert demo.parts_at_once == 1

    runner.run(scenario())


def test_a_part_that_yields_too_much_is_dead_as_a_batch_is(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """The limit of a batch is that of each part."""
    code = EACH.replace("BODY", "pass").replace("line[:1].decode()", '"y" * (2_000_000 if line[:1] == b"b" else 1)')

    async def scenario() -> None:
        demo = crew(code, table="limits = { batch_kib = 1, output_mib = 1 }")
        result = await demo.parse(batch(LINE * 14 + b"b" + LINE[1:]))
        assert result.records == 14
        assert ["limits.output_mib" in letter.reason for letter in result.dead] == [True]

    runner.run(scenario())


def test_batches_become_long_where_workers_are_fast(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """And stay short where one takes long."""

    async def scenario() -> None:
        fast = crew(PARSE_LINES, table=OF_ONE_KIB)
        slow = crew(f"import time\n{CALLS}".replace("yield", "time.sleep(0.05); yield"), table=OF_ONE_KIB)
        assert fast.parts_at_once == slow.parts_at_once == 1
        for _ in range(20):
            await fast.parse(batch(LINE * 10))
        for _ in range(2):
            await slow.parse(batch(LINE * 10))
        assert fast.parts_at_once == MOST_PARTS
        assert slow.parts_at_once == 1

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
