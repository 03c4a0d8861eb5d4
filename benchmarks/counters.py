"""Counters: what a record and a MiB cost in things that can be counted, so that a slow-down shows without a clock.

System calls of the daemon and bytes that the kernel copies for it (strace), calls in its main thread (cProfile),
instructions and allocations in a worker (valgrind, beside the best loop by hand). Where one of the two programs is
missing its figures are left out. `tests/benchmarks/test_counters.py` holds the same limits.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import counted, traced
from benchmarks.measure import MIB, Report, Target

CALLS_PER_MIB = 60.0
"""System calls of the daemon; about 20 when this was written, and 73 before batches were long."""
MOVED_PER_BYTE = 2.8
"""2.60: the log read; its records, 1.58 times as long, written. What is between lies in shared memory."""
MAIN_THREAD_CALLS_PER_MIB = 1_200.0
"""About 440, in Python 3.11; 1,610 where all batches are short, as on a machine that is too busy for long ones."""
WORKER_LIMITS = (
    ("instructions", counted.INSTRUCTIONS, {"access": 0.98, "json_lines": 0.6}),
    ("allocations", counted.ALLOCATIONS, {"access": 0.97, "json_lines": 0.25}),
)
"""What is counted in a worker, and how many times that of the best loop by hand it may be, by format.

0.88 and 0.46 (0.92 and 0.51 with an interpreter that is compiled otherwise), 0.93 and 0.18 when this was written; two
copies of each record make it 1.57 and 3.8 at least, 1.77 and 3.1.
"""

PROFILE_SIZES = (2 * MIB, 10 * MIB)
TRIES = 3
"""A busy machine can make a count larger, never smaller: the least of some is the program's."""


@dataclass(frozen=True, slots=True)
class System:
    """What the daemon costs the kernel."""

    calls_per_mib: float
    moved_per_byte: float


def system(folder: Path, program: tuple[str, ...] = ("-m", "hostd")) -> System:
    """Trace the daemon. `program` is what Python runs."""
    small, large = (traced.trace(folder / f"{size}", size, program) for size in traced.SIZES)
    return System(traced.calls_per_mib(small, large), traced.moved_per_byte(small, large))


def main_thread_calls_per_mib(folder: Path, before: str = "") -> float:
    """Return how many calls the daemon's main thread makes for a MiB. `before` is Python that runs first."""
    (small, few), (large, many) = (_profile(folder / f"{size}", size, before) for size in PROFILE_SIZES)
    return (many - few) / ((large - small) / MIB)


def _profile(folder: Path, size: int, before: str) -> tuple[int, int]:
    traced.lay_out(folder, size)
    counted_in = folder / "calls.txt"
    code = f"{before}\nimport sys, benchmarks.profiled as p\nsys.exit(p.run(p.Path({str(counted_in)!r}), sys.argv[1:]))"
    traced.run_once([sys.executable, "-c", code], folder)
    return (folder / "access.log").stat().st_size, int(counted_in.read_text())


def run(*, quick: bool) -> Report:
    """Count; once when quick, else three times."""
    report = Report("counters")
    times = range(1 if quick else TRIES)
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        folder = Path(name)
        calls = [main_thread_calls_per_mib(folder / f"profile-{number}") for number in times]
        _hold(report, "calls in the daemon's main thread", "1/MiB", calls, MAIN_THREAD_CALLS_PER_MIB)
        if traced.available():
            found = [system(folder / f"trace-{number}") for number in times]
            _hold(report, "system calls of the daemon", "1/MiB", [one.calls_per_mib for one in found], CALLS_PER_MIB)
            _hold(report, "bytes copied for a byte", "B/B", [one.moved_per_byte for one in found], MOVED_PER_BYTE)
        else:
            report.notes.append("skipped: strace is not installed, or may not trace")
        if counted.available():
            _add_worker(report, folder)
        else:
            report.notes.append("skipped: valgrind is not installed")
    return report


def _add_worker(report: Report, folder: Path) -> None:
    for what, counter, limits in WORKER_LIMITS:
        found = counted.per_record(
            counter, [f"{kind}:{name}" for name in limits for kind in ("processor", "loop")], folder
        )
        for name, limit in limits.items():
            ours, loop = found[f"processor:{name}"], found[f"loop:{name}"]
            report.add(f"{name}: {what} of the best loop by hand", "1/rec", [loop])
            report.add(f"{name}: {what} in a worker", "1/rec", [ours])
            report.targets.append(Target(f"{name}: {what}, worker / loop", ours / loop, limit, "x"))


def _hold(report: Report, label: str, unit: str, samples: list[float], limit: float) -> None:
    report.add(label, unit, samples)
    report.targets.append(Target(label, min(samples), limit, unit))
