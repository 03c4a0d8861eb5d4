"""Calls: microseconds for one line to a plugin and its record back, hostd's worker beside other ways to call.

The rounds alternate. *raw*: one byte to a forked child through a socket pair and back, by blocking calls: no way
between processes is shorter. A Pool and a ProcessPoolExecutor call the same parser in a process. pluggy and stevedore
call it in the same one: that is what it costs to isolate nothing.
"""

import asyncio
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import Report, Target
from benchmarks.peers.parsing import parse
from benchmarks.peers.peer import ask, program
from benchmarks.roundtrip import LINE, Echo, numbered_crew, pool_trip

ROUND = 200
TARGET_US = 60.0
INSTALL = "benchmarks/peers/install.sh, or pip install pluggy stevedore in an environment of their own"


def run(*, quick: bool) -> Report:
    """Measure; 5 rounds when quick, else 25; the first round of each is thrown away."""
    report = Report("calls")
    with ExitStack() as opened:
        # Processes are forked before there is any thread, and any pipe that they would hold open.
        calls: dict[str, Callable[[], Any]] = {
            "raw: one byte to a forked child and back": opened.enter_context(Echo()).trip
        }
        fork = multiprocessing.get_context("fork")
        pool = opened.enter_context(fork.Pool(1))
        calls["multiprocessing.Pool, apply"] = _timed(lambda: pool.apply(parse, (LINE,)))
        executor = opened.enter_context(ProcessPoolExecutor(1, mp_context=fork))
        executor.submit(parse, LINE).result()
        calls["ProcessPoolExecutor, submit and result"] = _timed(lambda: executor.submit(parse, LINE).result())
        rounds = (5 if quick else 25) + 1
        samples = asyncio.run(_take(rounds, calls, opened.enter_context(InProcess(report))))
    ours, *_ = [report.add(label, "us", taken[ROUND:]) for label, taken in samples.items()]
    for series in report.series[1:]:
        report.add(f"ratio hostd / {series.label}", "x", [ours.median / series.median])
    report.targets.append(Target("hostd, one line to a worker and its record back, p50", ours.median, TARGET_US, "us"))
    report.notes.append("hostd's record comes back as JSON, ready to be written; the others' as a dict")
    return report


def _timed(call: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        record = call()
        elapsed_us = (time.perf_counter() - began) * 1e6
        assert record == {"n": 12345, "at": 67890}
        return elapsed_us

    return once


async def _take(rounds: int, calls: dict[str, Callable[[], float]], inside: "InProcess") -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {"hostd: a worker, through the pool": []}
    async with numbered_crew() as crew:
        for _ in range(rounds):
            samples["hostd: a worker, through the pool"] += [await pool_trip(crew) for _ in range(ROUND)]
            for label, call in calls.items():
                samples.setdefault(label, []).extend(call() for _ in range(ROUND))
            for label, taken in inside.take(ROUND).items():
                samples.setdefault(label, []).extend(taken)
    return samples


class InProcess:
    """pluggy and stevedore, in a process whose environment has them; what is not installed is a note."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="hostd-bench-")

    def take(self, count: int) -> dict[str, list[float]]:
        """Return so many samples of each, in us, by label; none when they are not installed."""
        if self._process is None:
            return {}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return {f"{name}, in the same process": samples for name, samples in found.items()}

    def __enter__(self) -> Self:
        python = program("python/bin/python")
        version = ask(python, "-c", "from importlib.metadata import version as v; print(v('pluggy'), v('stevedore'))")
        if version is None:
            self._report.notes.append(f"skipped: pluggy and stevedore are not installed ({INSTALL})")
            return self
        assert python is not None
        self._report.notes.append(f"pluggy, stevedore: {version}")
        program_file = Path(__file__).parent / "peers" / "inprocess.py"
        self._process = subprocess.Popen(
            [python, program_file, self._folder.name],
            env={**os.environ, "XDG_CACHE_HOME": self._folder.name},  # where stevedore remembers entry points
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)
        self._folder.cleanup()
