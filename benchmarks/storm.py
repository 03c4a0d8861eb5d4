"""Storm: what swaps take from the throughput of a fully loaded daemon, one now and then, and a hundred a second.

It parses a log that is larger than it gets through, by the access plugin that ships. Every two seconds a new version of
that is dropped in; then a hundred each second. *kept* is the output of the second in which a swap falls, over that of
the second before; and that of the time of the storm, over that of all seconds before a swap. At the end the n-th record
must be that of the n-th line.
"""

import itertools
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import SHIPPED, Host
from benchmarks.measure import MIB, Report, Target

ONE_KEPT, STORM_KEPT = 0.95, 0.8
SWAPS_PER_S = 100
BLOCK_MIB = 64
MOST_MIB_PER_S = 220
"""Faster than the daemon is, on two cores."""
EVERY_S = 2.0
LOOK_S = 0.02
SAMPLE_EVERY = 9973


@dataclass(slots=True)
class Progress:
    """How much was written by when: monotonic times, and sizes of the output."""

    path: Path
    seen: list[tuple[float, int]] = field(default_factory=list)

    def look(self) -> None:
        """Take note of the size now."""
        self.seen.append((time.monotonic(), self.path.stat().st_size if self.path.exists() else 0))

    def until(self, end: float) -> None:
        """Look until a time."""
        while time.monotonic() < end:
            self.look()
            time.sleep(LOOK_S)

    def rate(self, start: float, end: float) -> float:
        """Return the bytes a second between two times."""
        return (self._at(end) - self._at(start)) / (end - start)

    def _at(self, when: float) -> float:
        for (before, low), (after, high) in itertools.pairwise(self.seen):
            if before <= when <= after:
                return low + (high - low) * (when - before) / (after - before)
        raise ValueError(f"nobody looked at {when}")


def run(*, quick: bool) -> Report:
    """Measure: 5 single swaps and a storm of 5 s when quick, else 20 and 60 s."""
    singles, storm_s = (5, 5.0) if quick else (20, 60.0)
    report = Report("storm")
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        log = Path(name) / "access.log"
        _write_log(log, MOST_MIB_PER_S * (6 + singles * EVERY_S + storm_s))
        versions = Versions(host)
        versions.drop()
        log.rename(host.logs / log.name)
        progress = Progress(host.out / "access.ndjson")
        host.start()
        while not (progress.path.exists() and progress.path.stat().st_size):
            time.sleep(LOOK_S)
        progress.until(time.monotonic() + 3.0)
        kept, steady = [], []
        for _ in range(singles):
            swapped = time.monotonic()
            versions.drop()
            progress.until(swapped + EVERY_S)
            steady.append(progress.rate(swapped - 1.0, swapped))
            kept.append(progress.rate(swapped, swapped + 1.0) / steady[-1])
        began, dropped = time.monotonic(), versions.dropped
        while time.monotonic() < began + storm_s:
            versions.drop()
            progress.until(began + (versions.dropped - dropped) / SWAPS_PER_S)
        ended = progress.seen[-1][0]
        offered = versions.dropped - dropped
        progress.until(time.monotonic() + 2.0)
        if not progress.rate(progress.seen[-1][0] - 1.0, progress.seen[-1][0]):
            raise RuntimeError("it got through all of the log, which is to be longer")
        host.stop()
        live = sum(event["at"] - time.time() + time.monotonic() > began for event in host.events("generation.switched"))
        wrong = _wrong(host.logs / log.name, progress.path)
    mib = report.add("output while nothing is swapped", "MiB/s", [rate / MIB for rate in steady])
    one = report.add("kept in the second of one swap", "x", kept)
    storm = report.add(f"kept in {storm_s:g} s of a storm", "x", [progress.rate(began, ended) / MIB / mib.median])
    report.add("versions dropped in that time", "1/s", [offered / storm_s])
    report.add("versions that went live in that time", "1/s", [live / storm_s])
    report.targets += [
        Target("kept in the second of one swap, median", one.median, ONE_KEPT, "x", at_least=True),
        Target("kept in a storm", storm.median, STORM_KEPT, "x", at_least=True),
        Target("records that are not those of their lines", wrong, 0, ""),
    ]
    return report


class Versions:
    """Drops ever newer versions of the access plugin."""

    def __init__(self, host: Host) -> None:
        self.dropped = 0
        self._host = host
        self._source = (SHIPPED / "access.py").read_text()
        self._version = json.dumps(next(line.split('"')[1] for line in self._source.splitlines() if "version" in line))

    def drop(self) -> None:
        """Rename the next version in."""
        self.dropped += 1
        staged = self._host.folder / "access.py"
        staged.write_text(self._source.replace(self._version, f'"9.{self.dropped}.0"', 1))
        staged.rename(self._host.plugins / "access.py")


def _write_log(path: Path, mib: float) -> None:
    corpus.make(path, BLOCK_MIB * MIB)
    with tempfile.TemporaryFile(dir=path.parent) as block, path.open("r+b") as log:
        shutil.copyfileobj(log, block, MIB)
        while log.tell() < mib * MIB:
            block.seek(0)
            shutil.copyfileobj(block, log, MIB)


def _wrong(log: Path, output: Path) -> int:
    """Return how many of the records looked at are not of the line that has their number."""
    wrong = 0
    with log.open("rb") as lines, output.open("rb") as records:
        for number, (line, found) in enumerate(zip(lines, records, strict=False)):
            if number % SAMPLE_EVERY == 0:
                record = json.loads(found)
                wrong += not line.startswith(record["client"].encode()) or f" {record['path']} ".encode() not in line
    return wrong
