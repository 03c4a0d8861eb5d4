"""Swap: milliseconds from a rename into the folder to the first record of the new version in the output file.

A real daemon under load: a writer of its own process appends 1,000 numbered lines a second, and a plugin is
replaced again and again at odd moments. The reader looks at the output with pread every 0.1 ms, and takes the time
right after the look that shows the new version. At the end every line written must be there once, in order, and the
versions in order too. Between the swaps the parts that no swap can do without are measured alone.
"""

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.host import REPOSITORY, Host
from benchmarks.limits import Limits
from benchmarks.measure import Report, Target, percentile
from benchmarks.plugins import NUMBERED, numbered
from benchmarks.reader import Reader, Row

P50_MS, P99_MS = 15.0, 50.0
LINES_PER_S = 1000
STEADY_S = 2.0
BETWEEN_S = (0.02, 0.06)
GIVE_UP_S = 10.0


@dataclass(slots=True)
class Swaps:
    """What a run gave: when each version was renamed in (epoch and monotonic), and when its first record was there."""

    renamed_epoch: list[float] = field(default_factory=list)
    elapsed_ms: list[float] = field(default_factory=list)
    steady_ms: list[float] = field(default_factory=list)
    swapping_ms: list[float] = field(default_factory=list)


def run(*, quick: bool) -> Report:
    """Measure; 20 swaps when quick, else 200."""
    count = 20 if quick else 200
    with (
        tempfile.TemporaryDirectory(prefix="hostd-bench-") as name,
        Host(Path(name)) as host,
        Limits(Path(name) / "limits") as limits,
    ):
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0))
        (host.logs / "numbers.log").touch()
        host.start()
        with Reader(host.out / f"{NUMBERED}.ndjson") as reader:
            writer = _write_lines(host.logs / "numbers.log")
            try:
                _wait_for_version(reader, 0)
                swaps = _swap(host, reader, limits, count)
            finally:
                said, _ = writer.communicate(timeout=30)
            written = int(said)
            reader.follow_until(lambda row: row.n == written - 1, GIVE_UP_S)
        host.stop()
        return _report(host, swaps, limits, written)


def _write_lines(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.writer", path, str(LINES_PER_S)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _wait_for_version(reader: Reader, version: int) -> float:
    seen_at = reader.follow_until(lambda row: row.v == version, GIVE_UP_S)
    if seen_at is None:
        raise RuntimeError(f"no record of version {version} within {GIVE_UP_S:g} s")
    return seen_at


def _swap(host: Host, reader: Reader, limits: Limits, count: int) -> Swaps:
    swaps, pause = Swaps(), random.Random(1)
    reader.follow_for(0.5)
    reader.delays_ms = swaps.steady_ms
    reader.follow_for(STEADY_S)
    reader.delays_ms = swaps.swapping_ms
    staged = host.folder / "staging" / f"{NUMBERED}.py"
    staged.parent.mkdir()
    for version in range(1, count + 1):
        staged.write_text(numbered(version))
        swaps.renamed_epoch.append(time.time())
        began = time.monotonic()
        staged.replace(host.plugins / f"{NUMBERED}.py")
        swaps.elapsed_ms.append((_wait_for_version(reader, version) - began) * 1000)
        reader.follow_for(pause.uniform(*BETWEEN_S))
        reader.delays_ms = None  # what the limits' own work delays is not the swap's doing
        limits.turn()
        reader.follow_for(0.01)
        reader.delays_ms = swaps.swapping_ms
    return swaps


def _report(host: Host, swaps: Swaps, limits: Limits, written: int) -> Report:
    report = Report("swap")
    swap = report.add("rename to first record of the new version readable", "ms", swaps.elapsed_ms)
    for label, samples in _stages(host, swaps).items():
        report.add(f"  {label}", "ms", samples)
    seen = report.add("alone: rename seen by a watchdog observer", "ms", limits.seen_ms)
    forked = report.add("alone: worker forked, plugin loaded", "ms", limits.forked_ms)
    durable = report.add("alone: fsync of 4 KiB", "ms", limits.durable_ms)
    least_ms = seen.median + forked.median + durable.median
    report.add("ratio swap / the three alone, of the medians", "x", [swap.median / least_ms])
    report.add("line written to its record readable: steady", "ms", swaps.steady_ms)
    report.add("line written to its record readable: while swapping", "ms", swaps.swapping_ms)

    rows = msgspec.json.Decoder(Row).decode_lines((host.out / f"{NUMBERED}.ndjson").read_bytes())
    numbers = [row.n for row in rows]
    versions = [row.v for row in rows]
    lost, doubled = written - len(set(numbers)), len(numbers) - len(set(numbers))
    unordered = sum(second <= first for first, second in pairwise(numbers))
    backwards = sum(second < first for first, second in pairwise(versions))
    report.targets += [
        Target("rename to first record, p50", swap.median, P50_MS, "ms"),
        Target("rename to first record, p99", percentile(swaps.elapsed_ms, 99), P99_MS, "ms"),
        Target(f"lines lost, of {written}", lost, 0, ""),
        Target("lines doubled", doubled, 0, ""),
        Target("lines out of order", unordered, 0, ""),
        Target("records of an older version after a newer one's", backwards, 0, ""),
    ]
    return report


def _stages(host: Host, swaps: Swaps) -> dict[str, list[float]]:
    """Return what each swap's time went into, in ms, by the daemon's own log."""
    started, switched = host.events("generation.started")[1:], host.events("generation.switched")[1:]
    if not len(started) == len(switched) == len(swaps.elapsed_ms):
        return {}
    turns = list(zip(swaps.renamed_epoch, swaps.elapsed_ms, started, switched, strict=True))
    return {
        "until the daemon has been told": [(new["at"] - at) * 1e3 - new["ms"] for at, _, _, new in turns],
        "file read and checked, task begun": [new["ms"] - proof["ms"] for _, _, proof, new in turns],
        "worker forked, plugin loaded": [proof["ms"] for _, _, proof, _ in turns],
        "switched until a record is readable": [took - (new["at"] - at) * 1e3 for at, took, _, new in turns],
    }
