"""A pool with a real zygote, shared by the tests of one module; each test has crews of its own."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hostd.workers.pool import Crew, Pool
from tests.build import load

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for the module."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def pool(runner: asyncio.Runner) -> Iterator[Pool]:
    """A pool whose workers do not end by themselves."""

    async def make() -> Pool:
        return Pool(2, 60.0)

    pool = runner.run(make())
    yield pool
    runner.run(pool.close())


@pytest.fixture
def crew(pool: Pool, runner: asyncio.Runner, tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    """Make crews of plugins; their processes end with the test."""
    made: list[Crew] = []

    def make(code: str, time_s: float = 20.0, **fields: Any) -> Crew:
        made.append(pool.crew(load(tmp_path, code, **fields), time_s, 1))
        return made[-1]

    yield make
    for each in made:
        runner.run(each.kill())
