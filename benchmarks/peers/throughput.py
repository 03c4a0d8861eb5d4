"""Peers: MiB/s of access log to JSON lines on disk, hostd beside log agents, tools for one pass, and loops in Python.

A turn is one run of each, in alternating order, each in a new folder, from exec until the last record is in the file;
of those that end by themselves, until they have ended. hostd alone makes its records durable: the others do not fsync.
What is slow gets less input. At the end all records are counted, and a sample of each is compared with hostd's.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus
from benchmarks.measure import MIB, Report, Target
from benchmarks.peers.hostd import Hostd
from benchmarks.peers.logprep import Logprep
from benchmarks.peers.one_shot import Lnav, Miller
from benchmarks.peers.peer import Files, Parser, count_lines, sample
from benchmarks.peers.python import BareLoop, Executor
from benchmarks.peers.rsyslog import Rsyslog
from benchmarks.peers.syslog_ng import SyslogNg, SyslogNgPython
from benchmarks.quiet import Watch, take_turns

PARSERS: tuple[type[Parser], ...] = (
    Rsyslog,
    SyslogNg,
    SyslogNgPython,
    Logprep,
    Lnav,
    Miller,
    BareLoop,
    Executor,
)
AGENTS_RATIO = 3.0
SAMPLE_EVERY = 997
GIVE_UP_S = 250.0
QUICK_SHARE = 16
"""By how much the input of each is smaller when quick."""


@dataclass(slots=True)
class Contestant:
    """One peer, its log, and its turns: seconds, CPU seconds, and how many records were wrong in the last one."""

    parser: Parser
    log: Path
    scratch: Path
    lines: int
    mib: float = 0.0
    took_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    expected: Sequence[dict[str, str]] = ()
    records: Sequence[dict[str, str]] = ()
    surplus: int = 0

    def turn(self) -> None:
        """Run once in a new folder. Raises RuntimeError when the peer fails."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            folder = Path(name)
            (folder / "out").mkdir()
            files = Files(folder, self.log, folder / "out" / "access.ndjson")
            with Watch() as watch:
                began = self.parser.start(files)
                try:
                    ended = self.parser.wait(files, self.lines, GIVE_UP_S)
                finally:
                    self.parser.stop()
            self.took_s.append(ended - began)
            self.cpu_s.append(watch.own_s)
            self.records = sample(self.parser, files.out, SAMPLE_EVERY)
            self.surplus = count_lines(files.out) - self.lines


def run(*, quick: bool) -> Report:
    """Measure; 3 turns on a sixteenth of the input when quick, else 5 on what each gets at most."""
    turns, share = (3, QUICK_SHARE) if quick else (5, 1)
    report = Report("peers")
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        scratch = Path(name)
        contestants = [
            Contestant(parser, *_log(scratch, max(1, parser.most_mib // share))) for parser in installed(report)
        ]
        for contestant in contestants:
            contestant.mib = contestant.log.stat().st_size / MIB
        counted = take_turns([contestant.turn for contestant in contestants], turns)
        _add(report, contestants, counted)
        return report


def installed(report: Report) -> list[Parser]:
    """Return hostd and the peers that are installed; the others become notes."""
    found: list[Parser] = [Hostd()]
    for kind in PARSERS:
        parser = kind()
        version = parser.version()
        if version is None:
            report.notes.append(f"skipped: {parser.name} is not installed ({parser.install})")
        else:
            report.notes.append(f"{parser.name}: {version}")
            found.append(parser)
    return found


def _log(scratch: Path, mib: int) -> tuple[Path, Path, int]:
    """Return a log of this size, made once, where to work, and how many lines it has."""
    log = scratch / f"access-{mib}.log"
    if log.exists():
        return log, scratch, count_lines(log)
    return log, scratch, corpus.make(log, mib * MIB)


def _add(report: Report, contestants: list[Contestant], counted: list[tuple[int, float]]) -> None:
    turns = [number for number, _ in counted]
    speeds = {one.parser.name: [one.mib / one.took_s[i] for i in turns] for one in contestants}
    for one in contestants:
        report.add(f"{one.parser.name}, {one.mib:.0f} MiB", "MiB/s", speeds[one.parser.name])
    hostd, *peers = contestants
    ratios = {}
    for one in peers:
        pairs = zip(speeds[hostd.parser.name], speeds[one.parser.name], strict=True)
        ratios[one.parser.name] = report.add(f"ratio hostd / {one.parser.name}", "x", [a / b for a, b in pairs])
    for one in contestants:
        report.add(f"CPU: {one.parser.name}", "s/GiB", [one.cpu_s[i] * 1024 / one.mib for i in turns])
    report.add("others' share of the machine in these turns", "%", [share * 100 for _, share in counted])
    agents = [ratios[one.parser.name].median for one in peers if one.parser.agent and one.parser.keeps_order]
    if agents:
        label = "hostd / the fastest agent that keeps the order, median"
        report.targets.append(Target(label, min(agents), AGENTS_RATIO, "x", at_least=True))
    for one in contestants:
        wrong = sum(a != b for a, b in zip(hostd.records, one.records, strict=False))
        label = f"{one.parser.name}: records too many, or unlike hostd's in every {SAMPLE_EVERY}th"
        report.targets.append(Target(label, wrong + one.surplus, 0, ""))
