"""What the kernel lets a worker use, without the sandbox: the limits hold either way."""

import asyncio
import json
import resource
from collections.abc import Callable

from hostd.workers.batch import Batch
from hostd.workers.pool import Crew

TELL_LIMITS = """
import resource
from contract import each_line

def new_processor():
    names = ("NOFILE", "CORE", "FSIZE", "NPROC", "STACK", "CPU")
    return each_line(lambda line: {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names})
"""


def test_limits_are_in_force_and_hard(crew: Callable[..., Crew], runner: asyncio.Runner) -> None:
    """Open files, core dumps, the size of a file, processes, stacks: a plugin cannot raise them."""
    limits = parse(crew(TELL_LIMITS, table="limits = { memory_mib = 64 }"), runner)
    assert limits["NOFILE"] == [256, 256]
    assert limits["CORE"] == [0, 0]
    assert limits["FSIZE"] == [64 << 20, 64 << 20]
    for name in ("NPROC", "STACK"):
        soft, hard = limits[name]
        assert soft == hard != resource.RLIM_INFINITY


def test_processor_time_is_limited_anew_for_every_batch(crew: Callable[..., Crew], runner: asyncio.Runner) -> None:
    """By what the batch may take, on every core, from what is used up already."""
    demo = crew(TELL_LIMITS, time_s=2.0)
    first = parse(demo, runner)["CPU"][0]
    assert 8 <= first <= 2 * 200
    assert parse(demo, runner)["CPU"][0] >= first


def parse(crew: Crew, runner: asyncio.Runner) -> dict[str, list[int]]:
    async def one() -> bytes:
        return bytes((await crew.parse(Batch("a.log", 0, b"", b"x\n"))).lines)

    limits: dict[str, list[int]] = json.loads(runner.run(one()))
    return limits
