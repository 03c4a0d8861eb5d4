"""Idle: what a daemon costs to which nothing comes: alone, and with ten thousand tailed files.

A real daemon as it comes. *Alone* it has one plugin, whose workers have ended, and one file: how often any thread of
all its processes wakes up, their processor time, and the memory of the daemon and its zygote, without the worker that
is kept ahead. *With files* there are folders of a hundred files each, all read to their end: the processor time of the
daemon's own process over a while that has several of its slow looks in it, and its memory.

Memory is what is resident, as if there were nothing else on the machine: pages of libraries are counted once, however
many of the processes have them, all others in each process.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.host import Host, comm, cpu_s, descendants, held_bytes, wake_ups
from benchmarks.measure import MIB, Report, Target
from benchmarks.numbered import NUMBERED, numbered

MOST_SHARE, MOST_MIB = 1.0, 60.0
MOST_SHARE_ALONE, MOST_MIB_ALONE, MOST_WAKE_UPS_A_SECOND = 0.1, 45.0, 1.0
A_FOLDER = 100
GIVE_UP_S = 300.0
SETTLE_S = 3.0
WORKERS_END_S = 5
STEPS = 5


def run(*, quick: bool) -> Report:
    """Measure; 1,000 files for 10 s when quick, else 10,000 for 60 s."""
    report = Report("idle")
    files, seconds = (1000, 10.0) if quick else (10_000, 60.0)
    _add_alone(report, seconds)
    _add_files(report, files, seconds)
    return report


def _add_alone(report: Report, seconds: float) -> None:
    settings = f"[workers]\nidle_s = {WORKERS_END_S}\n"
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name), settings) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0))
        (host.logs / "numbers.log").write_text("0 0\n")
        host.start()
        _wait_for_records(host, 1)
        time.sleep(WORKERS_END_S + SETTLE_S)
        pids = [host.pid, *descendants(host.pid)]
        woken, used_s, began = sum(map(wake_ups, pids)), sum(map(cpu_s, pids)), time.monotonic()
        time.sleep(seconds)
        elapsed_s = time.monotonic() - began
        woken, used_s = sum(map(wake_ups, pids)) - woken, sum(map(cpu_s, pids)) - used_s
        kept = [pid for pid in pids if comm(pid) != "hostd-spare"]
        memory, with_spare = held_bytes(kept) / MIB, held_bytes(pids) / MIB
        host.stop()
    report.add("alone: wake-ups of all processes", "1/s", [woken / elapsed_s])
    report.add("alone: processor, of one core", "%", [used_s / elapsed_s * 100])
    report.add("alone: memory of the daemon and its zygote", "MiB", [memory])
    report.add("alone: memory with the worker kept ahead", "MiB", [with_spare])
    report.targets += [
        Target("alone: wake-ups of all processes", woken / elapsed_s, MOST_WAKE_UPS_A_SECOND, "1/s"),
        Target("alone: processor", used_s / elapsed_s * 100, MOST_SHARE_ALONE, "%"),
        Target("alone: memory of the daemon and its zygote", memory, MOST_MIB_ALONE, "MiB"),
    ]


def _add_files(report: Report, files: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0).replace('"numbers.log"', '"*.numbers"'))
        for number in range(files):
            log = host.logs / f"{number // A_FOLDER:03}" / f"{number % A_FOLDER:03}.numbers"
            log.parent.mkdir(exist_ok=True)
            log.write_text(f"{number} 0\n")
        began = host.start()
        _wait_for_records(host, files)
        read_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        shares, memory = [], []
        for _ in range(STEPS):
            before, at = cpu_s(host.pid), time.monotonic()
            time.sleep(seconds / STEPS)
            shares.append((cpu_s(host.pid) - before) / (time.monotonic() - at) * 100)
            memory.append(held_bytes([host.pid]) / MIB)
        host.stop()
    report.add(f"from start until {files} files of one line are read", "s", [read_s])
    report.add(f"{files} files: processor, of one core", "%", shares)
    report.add(f"{files} files: memory of the daemon", "MiB", memory)
    report.targets += [
        Target(f"processor with {files} idle files, mean", sum(shares) / len(shares), MOST_SHARE, "%"),
        Target(f"memory with {files} idle files", max(memory), MOST_MIB, "MiB"),
    ]


def _wait_for_records(host: Host, count: int) -> None:
    output, gives_up = host.out / f"{NUMBERED}.ndjson", time.monotonic() + GIVE_UP_S
    while not output.exists() or output.read_bytes().count(b"\n") < count:
        time.sleep(0.1)
        if time.monotonic() > gives_up:
            raise RuntimeError(f"not all was read within {GIVE_UP_S:g} s:\n{host.log.read_text()[-2000:]}")
