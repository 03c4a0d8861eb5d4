"""Unload: what ten thousand swaps under load leave behind in memory, descriptors, threads, processes and files.

A real daemon as it comes: plugins confined, tried and on probation. A writer of its own process appends 1,000 numbered
lines a second while one plugin is replaced again and again, as soon as a record of the version before is out. After 100
swaps, then ten times until the last, the writer is held still until idle workers have ended, and what the daemon holds
is counted. At the end every line written must be there once, in order, and the versions in order too.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.host import Host, descendants
from benchmarks.measure import Report, Target
from benchmarks.numbered import GIVE_UP_S, NUMBERED, faults, numbered, wait_for_version, write_lines
from benchmarks.reader import Reader

SETTLED_AFTER = 100
"""Swaps after which caches are filled: what grows later is a leak."""
LOOKS = 10
MOST_GROWTH_KIB = 2048
LINES_PER_S = 1000
LOOK_EVERY_S = 0.001
IDLE_S = 0.5
STILL_S = 0.5
SETTINGS = f"[workers]\nidle_s = {IDLE_S:g}\n[plugins.trial]\nkeep_kib = 2\n"
"""Versions are tried, on little: the daemon gives the swaps of one plugin a tenth of the time, trials included."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the daemon holds: memory, descriptors and threads of its own process, all processes below it, its files."""

    rss_kib: int
    descriptors: int
    threads: int
    processes: int
    files: int


@dataclass(slots=True)
class Course:
    """What was held after how many swaps."""

    after: list[int] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)


def run(*, quick: bool) -> Report:
    """Measure; 500 swaps when quick, else 10,000."""
    count = 500 if quick else 10_000
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name), SETTINGS) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0))
        (host.logs / "numbers.log").touch()
        host.start()
        with Reader(host.out / f"{NUMBERED}.ndjson", LOOK_EVERY_S) as reader:
            writer = write_lines(host.logs / "numbers.log", LINES_PER_S)
            began = time.monotonic()
            try:
                wait_for_version(reader, 0)
                seen = _swap(host, reader, writer, count)
            finally:
                said, _ = writer.communicate(timeout=30)
            elapsed_s = time.monotonic() - began
            written = int(said)
            reader.follow_until(lambda row: row.n == written - 1, GIVE_UP_S)
        host.stop()
        report = _report(seen, count, elapsed_s)
        report.targets += faults(host.out / f"{NUMBERED}.ndjson", written)
        refused = len(host.events("artifact.refused", "generation.rolled_back"))
        report.targets.append(Target("versions refused or rolled back", refused, 0, ""))
        return report


def _swap(host: Host, reader: Reader, writer: subprocess.Popen[bytes], count: int) -> Course:
    seen = Course()
    looks = {SETTLED_AFTER, *(count * (number + 1) // LOOKS for number in range(LOOKS))}
    staged = host.folder / "staging" / f"{NUMBERED}.py"
    staged.parent.mkdir()
    for version in range(1, count + 1):
        staged.write_text(numbered(version))
        staged.replace(host.plugins / f"{NUMBERED}.py")
        wait_for_version(reader, version)
        if version in looks:
            writer.send_signal(signal.SIGSTOP)
            try:
                seen.held.append(_settled(lambda: _held(host)))
            finally:
                writer.send_signal(signal.SIGCONT)
            seen.after.append(version)
    return seen


def _settled(look: Callable[[], Held]) -> Held:
    """Return what is held once that has stayed the same, memory apart, for a while longer than workers idle."""
    since, held = time.monotonic(), look()
    gives_up = since + GIVE_UP_S
    while (now := time.monotonic()) < gives_up and now - since < IDLE_S + STILL_S:
        time.sleep(0.05)
        new = look()
        if _counts(new) != _counts(held):
            since = time.monotonic()
        held = new
    return held


def _counts(held: Held) -> tuple[int, ...]:
    return held.descriptors, held.threads, held.processes, held.files


def _held(host: Host) -> Held:
    process = Path(f"/proc/{host.pid}")
    status = process.joinpath("status").read_text().splitlines()
    return Held(
        rss_kib=next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")),
        descriptors=len(list(process.joinpath("fd").iterdir())),
        threads=len(list(process.joinpath("task").iterdir())),
        processes=len(descendants(host.pid)),
        files=sum(len(folders) + len(files) for _, folders, files in os.walk(host.folder / "state")),
    )


def _report(seen: Course, count: int, elapsed_s: float) -> Report:
    report = Report("unload")
    report.add("swap and its first record, mean", "ms", [elapsed_s * 1000 / count])
    report.add("daemon's memory", "MiB", [held.rss_kib / 1024 for held in seen.held])
    first, last = seen.held[0], seen.held[-1]
    growth_kib = last.rss_kib - first.rss_kib
    report.targets += [
        Target(f"daemon's memory, growth from swap {SETTLED_AFTER} to {count}", growth_kib, MOST_GROWTH_KIB, "KiB"),
        *(
            Target(f"{label}, {after} at the end, growth", after - before, 0, "")
            for label, before, after in zip(
                ("descriptors", "threads", "processes below the daemon", "files of its state"),
                _counts(first),
                _counts(last),
                strict=True,
            )
        ),
    ]
    counts = ", ".join(f"{held.rss_kib / 1024:.1f} after {n}" for n, held in zip(seen.after, seen.held, strict=True))
    report.notes.append(f"daemon's memory in MiB: {counts}")
    return report
