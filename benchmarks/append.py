"""Append: milliseconds from a line appended to an idle file to its record in the output, and to the ledger that has it.

A real daemon as it comes, one file, and one line at a time, each after a pause in which nothing happens. The reader
looks at the output, and then at the ledger through a connection of its own, as often as it can.
"""

import os
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.host import Host
from benchmarks.measure import Report, Target, percentile
from benchmarks.numbered import GIVE_UP_S, NUMBERED, faults, numbered
from benchmarks.reader import Reader

P50_MS, P99_MS = 10.0, 20.0
PAUSE_S = (0.02, 0.2)
LOOK_EVERY_S = 0.0001


def run(*, quick: bool) -> Report:
    """Measure; 50 lines when quick, else 500."""
    count = 50 if quick else 500
    chance = random.Random(1)
    visible_ms: list[float] = []
    committed_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0))
        log = host.logs / "numbers.log"
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        host.start()
        with Reader(host.out / f"{NUMBERED}.ndjson", LOOK_EVERY_S) as reader:
            for number in range(count + 1):
                began = time.monotonic()
                os.write(fd, b"%d %d\n" % (number, time.monotonic_ns()))
                end = log.stat().st_size
                seen = reader.follow_until(lambda row, number=number: row.n == number, GIVE_UP_S)  # type: ignore[misc]
                if seen is None:
                    raise RuntimeError(f"line {number} is not out within {GIVE_UP_S:g} s:\n{host.log.read_text()}")
                committed = _committed_at(host.folder / "state" / "ledger.db", end)
                if number:  # the first one waits for the daemon to start
                    visible_ms.append((seen - began) * 1000)
                    committed_ms.append((committed - began) * 1000)
                time.sleep(chance.uniform(*PAUSE_S))
        os.close(fd)
        host.stop()
        report = Report("append")
        report.add("line to record visible", "ms", visible_ms)
        report.add("line to ledger moved", "ms", committed_ms)
        report.targets += [
            Target("line to ledger moved, p50", percentile(committed_ms, 50), P50_MS, "ms"),
            Target("line to ledger moved, p99", percentile(committed_ms, 99), P99_MS, "ms"),
            *faults(host.out / f"{NUMBERED}.ndjson", count + 1),
        ]
        return report


def _committed_at(ledger: Path, offset: int) -> float:
    """Return the monotonic time of the look that showed a checkpoint at `offset`. Raises RuntimeError."""
    ends = time.monotonic() + GIVE_UP_S
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        while True:
            reached = db.execute("SELECT max(offset) FROM sources").fetchone()[0]
            now = time.monotonic()
            if reached is not None and reached >= offset:
                return now
            if now > ends:
                raise RuntimeError(f"the ledger has not reached byte {offset} within {GIVE_UP_S:g} s")
            time.sleep(LOOK_EVERY_S)
