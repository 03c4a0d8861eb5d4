"""Ledger: how large it becomes over a long run, and what makes it grow: commits do not, files and swaps do.

The real ledger, written to as the daemon does, but for the fsyncs. First as many commits as a daemon makes in hours,
of the same sources by the same generation; then rotations, each a new source; then swaps, after each of which every
source goes on. The figures are of the file and its log together.
"""

import sqlite3
import tempfile
import time
from pathlib import Path

from benchmarks.measure import MIB, Report, Target
from hostd.pipeline.ledger import Checkpoint, Ledger, Result, SinkMark, SourceRow

SOURCES = 50
MOST_GROWTH_KIB = 64
MOST_LOG_MIB = 8
MOST_A_SOURCE = 512
MOST_A_RANGE = 128


class Run:
    """A ledger, and the sources that are being read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_peak = 0
        self.ledger = Ledger(path)
        with sqlite3.connect(path) as db:  # only the size is of interest
            db.execute("PRAGMA synchronous=OFF")
        self.ledger._db.execute("PRAGMA synchronous=OFF")  # noqa: SLF001
        self._offsets = dict.fromkeys(range(1, SOURCES + 1), 0)
        self._next = SOURCES + 1
        self._generation = 1
        self._written = 0

    def commit(self, count: int) -> None:
        """Commit a batch of each source, `count` times."""
        for _ in range(count):
            results = []
            for number, start in self._offsets.items():
                end = self._offsets[number] = start + 1000
                name = f"logs/an-application/{number % SOURCES}.log"
                checkpoint = Checkpoint(end, 256, b"f" * 16, 64, b"m" * 16)
                row = SourceRow(number, name, f"/var/{name}", 1, number, checkpoint)
                results.append(Result(row, start, "a_plugin", self._generation, 10, b"", ()))
                self._written += 1000
            self.ledger.commit(results, [SinkMark("/var/lib/hostd/out", "a_plugin", self._written, 1, 1)])
            self.log_peak = max(self.log_peak, Path(f"{self.path}-wal").stat().st_size)

    def rotate(self) -> None:
        """Go on with a new file for each source."""
        self._offsets = dict.fromkeys(range(self._next, self._next + SOURCES), 0)
        self._next += SOURCES

    def swap(self) -> None:
        """Go on with another generation."""
        self._generation += 1

    def size(self) -> int:
        """Return the bytes of the database, its log written back."""
        self.ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001
        return self.path.stat().st_size


def run(*, quick: bool) -> Report:
    """Measure; 1,000 commits of 50 sources, 20 rotations and 20 swaps when quick, else ten times as many."""
    times = 1 if quick else 10
    commits, rotations, swaps = 1000 * times, 20 * times, 20 * times
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        done = Run(Path(name) / "ledger.db")
        done.commit(commits // 10)
        sizes = [done.size()]
        began = time.monotonic()
        done.commit(commits)
        commit_ms = (time.monotonic() - began) * 1000 / commits
        sizes.append(done.size())
        for _ in range(rotations):
            done.rotate()
            done.commit(5)
        sizes.append(done.size())
        for _ in range(swaps):
            done.swap()
            done.commit(5)
        sizes.append(done.size())
        done.ledger.close()
    report = Report("ledger")
    report.add(f"a commit of {SOURCES} batches, without fsync", "ms", [commit_ms])
    report.add("size", "MiB", [size / MIB for size in sizes])
    a_source = (sizes[2] - sizes[1]) / (rotations * SOURCES)
    a_range = (sizes[3] - sizes[2]) / (swaps * SOURCES)
    report.targets += [
        Target(
            f"growth over {commits} commits of the same sources", (sizes[1] - sizes[0]) / 1024, MOST_GROWTH_KIB, "KiB"
        ),
        Target("its log, at most", done.log_peak / MIB, MOST_LOG_MIB, "MiB"),
        Target("growth with each file that is read", a_source, MOST_A_SOURCE, "bytes"),
        Target("growth with each swap, for each source that is read on", a_range, MOST_A_RANGE, "bytes"),
    ]
    return report
