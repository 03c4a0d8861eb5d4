"""Instructions and allocations that a worker's hot path takes for a record, counted by valgrind, without a clock.

A figure is the difference of two runs that differ in their passes alone, so that start-up falls out. It depends on the
interpreter; its ratio to that of the best loop by hand hardly does.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.host import REPOSITORY
from benchmarks.logs import block
from benchmarks.measure import cores

LINES = 400
PASSES = (1, 4)


@dataclass(frozen=True, slots=True)
class Counter:
    """What valgrind counts: how it is called, in which environment, and where it says the number."""

    options: tuple[str, ...]
    environment: dict[str, str]
    said: re.Pattern[str]


INSTRUCTIONS = Counter(
    ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"), {}, re.compile(r"I +refs: +([\d,]+)")
)
ALLOCATIONS = Counter(
    ("--tool=memcheck", "--undef-value-errors=no", "--leak-check=no", "--run-libc-freeres=no"),
    {"PYTHONMALLOC": "malloc"},
    re.compile(r"total heap usage: ([\d,]+) allocs"),
)


def available() -> bool:
    """Tell whether valgrind is there."""
    return shutil.which("valgrind") is not None


def lines(name: str) -> bytes:
    """Return the lines that are parsed: a few, since counting takes fifty times as long as running."""
    return b"".join(block(name).splitlines(keepends=True)[:LINES])


def per_record(counter: Counter, kinds: tuple[str, ...], name: str, folder: Path) -> list[float]:
    """Return the count for a record of each kind of `hot_path`. Raises RuntimeError when one cannot be run."""
    source = folder / f"{name}.log"
    source.write_bytes(lines(name))
    runs = [(kind, passes) for kind in kinds for passes in PASSES]
    with ThreadPoolExecutor(cores()) as pool:
        counts = list(pool.map(lambda run: _count(counter, run[0], name, source, run[1]), runs))
    records = source.read_bytes().count(b"\n") * (PASSES[1] - PASSES[0])
    return [(many - few) / records for few, many in zip(counts[::2], counts[1::2], strict=True)]


def _count(counter: Counter, kind: str, name: str, source: Path, passes: int) -> int:
    done = subprocess.run(
        ["valgrind", *counter.options, sys.executable, "-m", "benchmarks.hot_path", kind, name, source, str(passes)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "0", **counter.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    found = counter.said.search(done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"valgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))
