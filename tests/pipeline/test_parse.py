"""One batch through the loss of workers: exactly the records that kill are lost, and one generation makes the rest."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd.pipeline.parse import NotServedError, parse
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation
from hostd.plugins.proof import make
from hostd.workers.batch import Batch, DeadLetter, Yield, join
from hostd.workers.pool import Crew, Pool
from tests.build import artifact

CODE = """
import os
class P:
    def parse(self, data, ctx):
        for line in data.decode().splitlines():
            if line == "die":
                os._exit(9)
            yield {"line": line, "by": MARK}
MARK = 1
new_processor = P
"""


@asynccontextmanager
async def pool_of_two() -> AsyncIterator[Pool]:
    """A pool, and no process of it afterwards."""
    pool = Pool(2, 60.0)
    crews: list[Crew] = []
    make_crew = pool.crew

    def crew(*args: Any) -> Crew:
        crews.append(make_crew(*args))
        return crews[-1]

    pool.crew = crew  # type: ignore[method-assign]
    try:
        async with asyncio.timeout(20):
            yield pool
    finally:
        for each in crews:
            await each.kill()
        await pool.close()


def generation(tmp_path: Path, pool: Pool, number: int = 1, table: str = "") -> Generation:
    """Return a generation whose records say its number."""
    code = CODE.replace("MARK = 1", f"MARK = {number}")
    return make(number, artifact(tmp_path, code, table=table), None, "", pool, Environments(tmp_path))


def lines_of(result: Yield) -> list[Any]:
    return [json.loads(line)["line"] for line in result.lines.splitlines()]


@pytest.mark.parametrize("dying", [{3}, {0}, {9}, {0, 4, 5, 9}, set(range(10))], ids=str)
def test_exactly_the_records_that_kill_are_dead_letters(tmp_path: Path, dying: set[int]) -> None:
    """The others keep their order, and the retry is said once."""
    data = b"".join(b"die\n" if number in dying else b"%03d\n" % number for number in range(10))

    async def scenario() -> None:
        async with pool_of_two() as pool:
            demo = generation(tmp_path, pool)
            with capture_logs() as logged:
                found, result = await parse(Batch("a.log", 100, b"", data), demo.framing, lambda: demo, pool)
            assert found is demo
            assert lines_of(result) == [f"{number:03}" for number in range(10) if number not in dying]
            assert [(letter.offset, letter.raw, letter.reason) for letter in result.dead] == [
                (100 + 4 * number, b"die\n", "worker lost: exit status 9") for number in sorted(dying)
            ]
            [retried] = [event for event in logged if event["event"] == "batch.retried"]
            assert (retried["offset"], retried["size"], retried["reason"]) == (100, 40, "exit status 9")

    asyncio.run(scenario())


def test_a_record_that_hangs_is_found_within_a_few_limits(tmp_path: Path) -> None:
    """Each part gets its share of the time."""

    async def scenario() -> None:
        async with pool_of_two() as pool:
            hanging = CODE.replace("os._exit(9)", "\n                while True: pass")
            found = artifact(tmp_path, hanging, table="limits = { time_s = 0.2 }")
            demo = make(1, found, None, "", pool, Environments(tmp_path))
            with capture_logs():
                _, result = await parse(Batch("a.log", 0, b"", b"a\ndie\nb\n"), demo.framing, lambda: demo, pool)
            assert lines_of(result) == ["a", "b"]
            assert [letter.reason for letter in result.dead] == ["worker lost: no answer within 0.2 s"]

    asyncio.run(scenario())


def test_a_batch_is_made_wholly_by_one_generation(tmp_path: Path) -> None:
    """When another goes live between two tries, it gets the batch as a whole."""

    async def scenario() -> None:
        async with pool_of_two() as pool:
            old, new = generation(tmp_path, pool), generation(tmp_path, pool, 2)
            asked: list[int] = []

            def current() -> Generation:
                asked.append(1)
                return old if len(asked) <= 3 else new

            with capture_logs():
                found, result = await parse(Batch("a.log", 0, b"", b"a\nb\ndie\nc\n"), old.framing, current, pool)
            assert found is new
            assert {json.loads(line)["by"] for line in result.lines.splitlines()} == {2}
            assert lines_of(result) == ["a", "b", "c"]
            assert len(result.dead) == 1

    asyncio.run(scenario())


def test_a_batch_that_nobody_serves_as_it_was_cut_is_cut_again(tmp_path: Path) -> None:
    """No generation, or one with another framing."""

    async def scenario() -> None:
        async with pool_of_two() as pool:
            lines, whole = generation(tmp_path, pool), generation(tmp_path, pool, 2, "framing = 'whole'")
            for current in (None, whole):
                with pytest.raises(NotServedError):
                    await parse(Batch("a.log", 0, b"", b"a\n"), lines.framing, lambda c=current: c, pool)

    asyncio.run(scenario())


def test_join_keeps_the_order_of_the_parts() -> None:
    """Records, lines, dead letters and what was said."""
    letters = [DeadLetter(at, b"x", "", "") for at in range(2)]
    parts = [Yield(1, b"1\n", (letters[0],), (("info", "a"),)), Yield(2, b"2\n3\n", (letters[1],), (("info", "b"),))]
    assert join(parts) == Yield(3, b"1\n2\n3\n", tuple(letters), (("info", "a"), ("info", "b")))
