"""Idle: what ten thousand tailed files cost while nothing is written to them: processor time and memory of the daemon.

A real daemon as it comes; folders of a hundred files each, all read to their end. The processor time is that of
the daemon's own process, user and system, over a while that has several of its slow looks in it.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.host import Host, cpu_s, rss_bytes
from benchmarks.measure import MIB, Report, Target
from benchmarks.numbered import NUMBERED, numbered

MOST_SHARE, MOST_MIB = 1.0, 60.0
A_FOLDER = 100
GIVE_UP_S = 300.0
SETTLE_S = 3.0
STEPS = 5


def run(*, quick: bool) -> Report:
    """Measure; 1,000 files for 10 s when quick, else 10,000 for 60 s."""
    files, seconds = (1000, 10.0) if quick else (10_000, 60.0)
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0).replace('"numbers.log"', '"*.numbers"'))
        for number in range(files):
            log = host.logs / f"{number // A_FOLDER:03}" / f"{number % A_FOLDER:03}.numbers"
            log.parent.mkdir(exist_ok=True)
            log.write_text(f"{number} 0\n")
        began = host.start()
        output = host.out / f"{NUMBERED}.ndjson"
        while not output.exists() or output.read_bytes().count(b"\n") < files:
            time.sleep(0.1)
            if time.monotonic() - began > GIVE_UP_S:
                raise RuntimeError(f"not all files were read within {GIVE_UP_S:g} s:\n{host.log.read_text()[-2000:]}")
        read_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        shares, memory = [], []
        for _ in range(STEPS):
            before, at = cpu_s(host.pid), time.monotonic()
            time.sleep(seconds / STEPS)
            shares.append((cpu_s(host.pid) - before) / (time.monotonic() - at) * 100)
            memory.append(rss_bytes(host.pid) / MIB)
        host.stop()
        report = Report("idle")
        report.add(f"from start until {files} files of one line are read", "s", [read_s])
        report.add("processor, of one core", "%", shares)
        report.add("memory", "MiB", memory)
        report.targets += [
            Target(f"processor with {files} idle files, mean", sum(shares) / len(shares), MOST_SHARE, "%"),
            Target(f"memory with {files} idle files", max(memory), MOST_MIB, "MiB"),
        ]
        return report
