"""Round trip: microseconds for a batch of one line to a worker and back as a record, beside raw sockets.

In one process: the pool's own path (frames, deadline, event loop, parse and encode in the worker); one byte to a
forked child and back by blocking calls; and the same through an asyncio event loop. The rounds alternate.
"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.measure import Report, Target
from benchmarks.numbered import NUMBERED, numbered
from hostd.plugins import artifact, proof
from hostd.plugins.environment import Environments
from hostd.workers.pool import Batch, Crew, Pool

TARGET_US = 250.0
ROUND = 200
LINE = b"12345 67890\n"


def run(*, quick: bool) -> Report:
    """Measure; 5 rounds when quick, else 25; the first round of each is thrown away."""
    return asyncio.run(_run((5 if quick else 25) + 1))


async def _run(rounds: int) -> Report:
    through_pool: list[float] = []
    blocking: list[float] = []
    through_loop: list[float] = []
    with Echo() as echo:
        async with numbered_crew() as crew:
            for _ in range(rounds):
                through_pool += [await pool_trip(crew) for _ in range(ROUND)]
                blocking += [echo.trip() for _ in range(ROUND)]
                through_loop += [await echo.loop_trip() for _ in range(ROUND)]
    report = Report("roundtrip")
    ours = report.add("pool: one line to a worker, its record back", "us", through_pool[ROUND:])
    report.add("asyncio alone: one byte to a forked child and back", "us", through_loop[ROUND:])
    raw = report.add("raw: one byte to a forked child and back, blocking", "us", blocking[ROUND:])
    report.add("ratio pool / raw, of the medians", "x", [ours.median / raw.median])
    report.targets.append(Target("pool round trip, median", ours.median, TARGET_US, "us"))
    return report


@asynccontextmanager
async def numbered_crew() -> AsyncIterator[Crew]:
    """Yield the crew of a plugin that parses numbered lines, with its first worker up, in a pool of its own."""
    pool = Pool(1, 60.0)
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        path, store = Path(name) / f"{NUMBERED}.py", Path(name) / "store"
        store.mkdir()
        path.write_text(numbered(1))
        generation = proof.make(1, artifact.read(path, store), None, "@source", pool, Environments(store))
        await generation.crew.start()
        try:
            yield generation.crew
        finally:
            await generation.crew.kill()
            await pool.close()


async def pool_trip(crew: Crew) -> float:
    """Return the microseconds of one line to a worker and its record back."""
    began = time.perf_counter()
    result = await crew.parse(Batch("numbers.log", 0, b"", LINE))
    elapsed_us = (time.perf_counter() - began) * 1e6
    assert result.records == 1
    return elapsed_us


class Echo:
    """A forked child that sends every byte back."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._sock.close()
            while byte := theirs.recv(1):
                theirs.send(byte)
            os._exit(0)
        theirs.close()

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
        os.waitpid(self._pid, 0)

    def trip(self) -> float:
        """Return the microseconds of one byte there and back, blocking."""
        self._sock.settimeout(None)
        began = time.perf_counter()
        self._sock.send(b"x")
        self._sock.recv(1)
        return (time.perf_counter() - began) * 1e6

    async def loop_trip(self) -> float:
        """Return the microseconds of one byte there and back, waiting in the event loop."""
        self._sock.settimeout(0)
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        await loop.sock_sendall(self._sock, b"x")
        await loop.sock_recv(self._sock, 1)
        return (time.perf_counter() - began) * 1e6
