"""Formats: MiB/s of access log, JSON lines and CSV, by `run --once` and by `parse`, beside the loop by hand for each.

A turn is one run of each on the same file, with start and end. `run --once` has every record durable and accounted for
when it ends, `parse` writes a file. The loop knows its format alone, reads 64 KiB of whole lines at a time, with which
it is fastest, and writes what msgspec makes of its records; it has one process, and what it would do on all cores is
that many times as much. It decodes and encodes JSON lines, which hostd looks through and stores as they are.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import REPOSITORY, SHIPPED, Host
from benchmarks.logs import HEADERS, block
from benchmarks.measure import MIB, Report, Target, cores
from benchmarks.quiet import take_turns
from benchmarks.throughput import touch_pages

FORMATS = ("access", "json_lines", "csv")
RATIO = 0.95
SUFFIXES = {"csv": "csv"}


@dataclass(slots=True)
class Runs:
    """What one contestant's turns took, and how many records it wrote in the last."""

    seconds: list[float] = field(default_factory=list)
    records: int = 0


class Format:
    """The contestants for one format, on one file."""

    def __init__(self, name: str, scratch: Path, size: int) -> None:
        self.name = name
        self.log = scratch / f"{name}.{SUFFIXES.get(name, 'log')}"
        self.runs: dict[str, Runs] = {label: Runs() for label in ("run --once", "parse", "loop")}
        self._scratch = scratch
        if name == "access":
            corpus.make(self.log, size)
        else:
            lines = block(name)
            self.log.write_bytes(HEADERS.get(name, "").encode() + lines * -(-size // len(lines)))

    @property
    def contestants(self) -> list[Callable[[], None]]:
        """What is to take turns."""
        return [self._run, self._parse, self._loop]

    def _run(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder, Host(Path(folder)) as host:
            (host.plugins / f"{self.name}.py").write_bytes((SHIPPED / f"{self.name}.py").read_bytes())
            os.link(self.log, host.logs / self.log.name)
            began = host.start(once=True)
            code = host.wait()
            self._take("run --once", began, code, host.out / f"{self.name}.ndjson")

    def _parse(self) -> None:
        output = self._scratch / "parsed.ndjson"
        command = ["-m", "hostd", "parse", "--plugins", SHIPPED, "--processor", self.name, "-o", output, self.log]
        self._call("parse", command, output)

    def _loop(self) -> None:
        output = self._scratch / "loop.ndjson"
        command = ["-m", "benchmarks.bare", f"hand:{self.name}", self.log, output, "0", str(self.log.stat().st_size)]
        self._call("loop", command, output)

    def _call(self, label: str, arguments: list[str | Path], output: Path) -> None:
        began = time.monotonic()
        done = subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        self._take(label, began, done.returncode, output)

    def _take(self, label: str, began: float, code: int, output: Path) -> None:
        taken = time.monotonic() - began
        if code:
            raise RuntimeError(f"{self.name}: {label} ended with {code}")
        self.runs[label].seconds.append(taken)
        with output.open("rb") as lines:
            self.runs[label].records = sum(1 for _ in lines)
        output.unlink()


def run(*, quick: bool) -> Report:
    """Measure; 16 MiB and 3 turns of each format when quick, else 1 GiB and 3."""
    size = 16 * MIB if quick else 1024 * MIB
    report = Report("formats")
    for name in FORMATS:
        with tempfile.TemporaryDirectory(prefix="hostd-bench-") as folder:
            touch_pages(Path(folder), 2 * size)
            measured = Format(name, Path(folder), size)
            turns = [number for number, _ in take_turns(measured.contestants, 3)]
            mib = measured.log.stat().st_size / MIB
        seconds = {label: [runs.seconds[number] for number in turns] for label, runs in measured.runs.items()}
        for label, taken in seconds.items():
            report.add(f"{name}: {label}", "MiB/s", [mib / each for each in taken])
        for label in ("run --once", "parse"):
            ratios = [theirs / cores() / ours for ours, theirs in zip(seconds[label], seconds["loop"], strict=True)]
            ratio = report.add(f"{name}: {label} / (loop x {cores()})", "x", ratios)
            target = f"{name}: {label} / (loop x {cores()}), median"
            report.targets.append(Target(target, ratio.median, RATIO, "x", at_least=True))
        counts = {runs.records for runs in measured.runs.values()}
        report.targets.append(Target(f"{name}: numbers of records beside the first", len(counts) - 1, 0, ""))
    return report
