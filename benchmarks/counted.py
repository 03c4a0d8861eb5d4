"""Instructions and allocations that a worker's hot path takes for a record, counted by valgrind, without a clock.

A figure is the difference of two children of one process that differ in their passes alone, so that start-up falls
out, and is paid for once. It depends on the interpreter; its ratio to that of the best loop by hand hardly does.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.host import REPOSITORY
from benchmarks.logs import block

LINES = 200
PASSES = 3


@dataclass(frozen=True, slots=True)
class Counter:
    """What valgrind counts: how it is called, in which environment, and where it says the number."""

    options: tuple[str, ...]
    environment: dict[str, str]
    said: re.Pattern[str]


INSTRUCTIONS = Counter(
    ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
    {},
    re.compile(r"==(\d+)== I +refs: +([\d,]+)"),
)
ALLOCATIONS = Counter(
    ("--tool=memcheck", "--undef-value-errors=no", "--leak-check=no", "--run-libc-freeres=no"),
    {"PYTHONMALLOC": "malloc"},
    re.compile(r"==(\d+)== +total heap usage: ([\d,]+) allocs"),
)


def available() -> bool:
    """Tell whether valgrind is there."""
    return shutil.which("valgrind") is not None


def lines(name: str) -> bytes:
    """Return the lines that are parsed: a few, since counting takes fifty times as long as running."""
    return b"".join(block(name).splitlines(keepends=True)[:LINES])


def per_record(counter: Counter, wanted: Sequence[str], folder: Path) -> dict[str, float]:
    """Return the count for a record of each KIND:NAME of `hot_path`. Raises RuntimeError when it cannot be run."""
    for name in {each.partition(":")[2] for each in wanted}:
        (folder / f"{name}.log").write_bytes(lines(name))
    program = [sys.executable, "-m", "benchmarks.hot_path", folder, str(PASSES), *wanted]
    done = subprocess.run(
        ["valgrind", *counter.options, *program],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "0", **counter.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"valgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
    counts = {int(pid): int(count.replace(",", "")) for pid, count in counter.said.findall(done.stderr)}
    return {
        each: (counts[many] - counts[none]) / (LINES * PASSES) for each, (none, many) in json.loads(done.stdout).items()
    }
