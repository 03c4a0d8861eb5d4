"""Durable: throughput with every group made durable before the ledger moves, beside the same run without any fsync.

A turn is one `hostd run --once` of each on the same access log, in alternating order. The ratio is of the times from
`daemon.ready` to `daemon.stopping`, of the same turn. How often each waited for the disk is the kernel's count.
"""

import os
import tempfile
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import SHIPPED, Host
from benchmarks.measure import MIB, Report, Target
from benchmarks.quiet import take_turns
from benchmarks.throughput import examine, touch_pages

RATIO = 0.9
CARELESS = ("-m", "benchmarks.careless")


class Runs:
    """One contestant's turns on one log."""

    def __init__(self, scratch: Path, log: Path, program: tuple[str, ...]) -> None:
        self.working_s: list[float] = []
        self.records = 0
        self._scratch = scratch
        self._log = log
        self._program = program

    def turn(self) -> None:
        """Run once in a new folder. Raises RuntimeError when the daemon fails."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name)) as host:
            (host.plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
            os.link(self._log, host.logs / "access.log")
            host.start(once=True, program=self._program)
            code = host.wait()
            if code not in (0, 3):  # 3: some lines were rejected, as in real logs some are
                raise RuntimeError(f"hostd ended with {code}:\n{host.log.read_text()}")
            self.working_s.append(host.event("daemon.stopping")["at"] - host.event("daemon.ready")["at"])
            self.records = examine(host.out / "access.ndjson").records


def run(*, quick: bool) -> Report:
    """Measure; 32 MiB and 3 turns when quick, else 256 MiB and 7."""
    size, turns = (32 * MIB, 3) if quick else (256 * MIB, 7)
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        scratch = Path(name)
        log = scratch / "access.log"
        corpus.write(log, size)
        touch_pages(scratch, 2 * size)
        durable, careless = Runs(scratch, log, ("-m", "hostd")), Runs(scratch, log, CARELESS)
        counted = take_turns([durable.turn, careless.turn], turns)
        numbers, mib = [number for number, _ in counted], log.stat().st_size / MIB
        report = Report("durable")
        report.add("hostd, durable", "MiB/s", [mib / durable.working_s[number] for number in numbers])
        report.add("hostd without fsync", "MiB/s", [mib / careless.working_s[number] for number in numbers])
        ratios = [careless.working_s[number] / durable.working_s[number] for number in numbers]
        ratio = report.add("ratio durable / without fsync", "x", ratios)
        report.add("others' share of the machine in these turns", "%", [share * 100 for _, share in counted])
        report.targets.append(Target("durable / without fsync, median", ratio.median, RATIO, "x", at_least=True))
        unlike = int(durable.records != careless.records)
        report.targets.append(Target("runs that wrote another number of records", unlike, 0, ""))
        return report
