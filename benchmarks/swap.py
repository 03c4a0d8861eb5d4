"""Swap: milliseconds from a rename into the folder to the first record of the new version in the output file.

A real daemon under load: a writer of its own process appends 1,000 numbered lines a second, and a plugin is
replaced again and again at odd moments, first without a trial, then with one on 64 KiB of recent input. The reader
looks at the output with pread every 0.1 ms, and takes the time right after the look that shows the new version. At the
end every line written must be there once, in order, and the versions in order too. Between the swaps the parts that no
swap can do without are measured alone.
"""

import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.host import Host
from benchmarks.limits import Limits
from benchmarks.measure import Report, Target, percentile
from benchmarks.numbered import NUMBERED, faults, numbered, wait_for_version, write_lines
from benchmarks.reader import Reader

P50_MS, P99_MS = 10.0, 25.0
TRIAL_OFF = '[plugins.trial]\nmode = "off"\n'
TRIAL_ON = "[plugins.trial]\nkeep_kib = 64\n"
TRIAL_EXTRA = 1.5
"""How many times the time that the trial itself takes a swap with one may take longer."""
RECENT_BYTES = 64 << 10
WORKER_MIB = 6.0
LINES_PER_S = 1000
STEADY_S = 2.0
BETWEEN_S = (0.02, 0.06)
APART = 12.0
"""How many times what it took passes until the next swap: the daemon gives those of one plugin a tenth of the time, and
one that has to wait for that, as in a storm, says nothing of how long a swap takes."""
GIVE_UP_S = 10.0


@dataclass(slots=True)
class Swaps:
    """What a run gave: when each version was renamed in (epoch and monotonic), and when its first record was there."""

    renamed_epoch: list[float] = field(default_factory=list)
    elapsed_ms: list[float] = field(default_factory=list)
    steady_ms: list[float] = field(default_factory=list)
    swapping_ms: list[float] = field(default_factory=list)
    worker_mib: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    tried_ms: list[float] = field(default_factory=list)
    faults: list[Target] = field(default_factory=list)


def run(*, quick: bool) -> Report:
    """Measure; 20 swaps of each kind when quick, else 200."""
    count = 20 if quick else 200
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Limits(Path(name)) as limits:
        plain = _run(TRIAL_OFF, count, limits)
        tried = _run(TRIAL_ON, count, limits)
    return _report(plain, tried, limits)


def _run(settings: str, count: int, limits: Limits) -> Swaps:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name), settings) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0))
        log = host.logs / "numbers.log"
        # So much that there is recent input enough from the first swap on; these lines are negative numbers.
        before = [b"%d %d\n" % (n, time.monotonic_ns()) for n in range(-4000, 0)]
        log.write_bytes(b"".join(before))
        assert log.stat().st_size > RECENT_BYTES, log.stat().st_size
        host.start()
        with Reader(host.out / f"{NUMBERED}.ndjson") as reader:
            writer = write_lines(log, LINES_PER_S)
            try:
                wait_for_version(reader, 0)
                swaps = _swap(host, reader, limits, count)
            finally:
                said, _ = writer.communicate(timeout=30)
            written = int(said)
            reader.follow_until(lambda row: row.n == written - 1, GIVE_UP_S)
        host.stop()
        swaps.stages = _stages(host, swaps)
        swaps.tried_ms = [event["ms"] for event in host.events("generation.tried")]
        swaps.faults = faults(host.out / f"{NUMBERED}.ndjson", written + len(before))
        return swaps


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
        took_s = wait_for_version(reader, version) - began
        swaps.elapsed_ms.append(took_s * 1000)
        swaps.worker_mib += _own_memory_mib(host.worker_pids(NUMBERED))
        reader.follow_for(pause.uniform(*BETWEEN_S) + APART * took_s)
        reader.delays_ms = None  # what the limits' own work delays is not the swap's doing
        limits.turn()
        reader.follow_for(0.01)
        reader.delays_ms = swaps.swapping_ms
    return swaps


def _own_memory_mib(pids: list[int]) -> list[float]:
    """Return what each worker has of its own, in MiB: pages that it shares with nobody."""
    sizes = []
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        lines = [line.split() for line in rollup.splitlines() if line.startswith("Private_")]
        sizes.append(sum(int(line[1]) for line in lines) / 1024)
    return sizes


def _report(plain: Swaps, tried: Swaps, limits: Limits) -> Report:
    report = Report("swap")
    swap = report.add("rename to first record of the new version readable", "ms", plain.elapsed_ms)
    for label, samples in plain.stages.items():
        report.add(f"  {label}", "ms", samples)
    seen = report.add("alone: rename seen by a watchdog observer", "ms", limits.seen_ms)
    forked = report.add("alone: worker forked, plugin loaded", "ms", limits.forked_ms)
    durable = report.add("alone: fsync of 4 KiB", "ms", limits.durable_ms)
    least_ms = seen.median + forked.median + durable.median
    report.add("ratio swap / the three alone, of the medians", "x", [swap.median / least_ms])
    with_trial = report.add("the same with a trial on 64 KiB", "ms", tried.elapsed_ms)
    trial = report.add("  the trial itself: both versions parse that", "ms", tried.tried_ms)
    report.add("line written to its record readable: steady", "ms", plain.steady_ms)
    report.add("line written to its record readable: while swapping", "ms", plain.swapping_ms)
    worker = report.add("a worker's own memory", "MiB", plain.worker_mib)
    report.targets += [
        Target("rename to first record, p50", swap.median, P50_MS, "ms"),
        Target("rename to first record, p99", percentile(plain.elapsed_ms, 99), P99_MS, "ms"),
        Target(
            "what a trial adds to it / the trial itself, of the medians",
            (with_trial.median - swap.median) / trial.median,
            TRIAL_EXTRA,
            "x",
        ),
        Target("a worker's own memory, median", worker.median, WORKER_MIB, "MiB"),
        *plain.faults,
        *tried.faults,
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
