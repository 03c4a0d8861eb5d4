"""Throughput: MiB/s of access log to durable JSON lines, beside bare loops on the same file, and the peak memory.

A turn is one run of each. `hostd` is `hostd run --once`, every record durably committed; the bare loops write
without fsync. The ratio is hostd's MiB/s over the bare loop's MiB/s times the cores, of the same turn. *whole* is
the wall time of the process with its start-up; *working* leaves start-up out: from `daemon.ready` to
`daemon.stopping`, and the time inside the bare loop. The first turn is thrown away, and before it pages are
touched as often as a run will: some virtual machines pay for the first use of each.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import REPOSITORY, SHIPPED, Host
from benchmarks.measure import MIB, Report, Target, cores
from benchmarks.quiet import Watch, take_turns

RATIO = 0.95
PEAK_MIB = 150
SAMPLE_EVERY = 997
LARGER = 2


@dataclass(slots=True)
class Runs:
    """One contestant's turns: seconds of wall time, of work without start-up, and of CPU in all its processes."""

    whole_s: list[float] = field(default_factory=list)
    working_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def take(self, whole_s: float, working_s: float, cpu_s: float) -> None:
        """Add a turn."""
        self.whole_s.append(whole_s)
        self.working_s.append(working_s)
        self.cpu_s.append(cpu_s)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run wrote: how many records, and the hash of every `SAMPLE_EVERY`th without its source."""

    records: int
    sample: str


class Daemons:
    """Runs of `hostd run --once` on one log: how long, what they used, what they wrote."""

    def __init__(self, scratch: Path, log: Path) -> None:
        self.runs = Runs()
        self.outcome = Outcome(0, "")
        self.peaks_mib: list[float] = []
        self.main_thread_s: list[float] = []
        self.other_threads_s: list[float] = []
        self._scratch = scratch
        self._log = log

    def turn(self) -> None:
        """Run once in a new folder. Raises RuntimeError when the daemon fails."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name)) as host:
            (host.plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
            os.link(self._log, host.logs / "access.log")
            with Watch() as watch:
                began = host.start(once=True)
                code = host.wait(watch=True)
            whole_s = time.monotonic() - began
            if code not in (0, 3):  # 3: some lines were rejected, as in real logs some are
                raise RuntimeError(f"hostd ended with {code}:\n{host.log.read_text()}")
            working_s = host.event("daemon.stopping")["at"] - host.event("daemon.ready")["at"]
            self.runs.take(whole_s, working_s, watch.own_s)
            self.peaks_mib.append(host.usage.peak_rss / MIB)
            self.main_thread_s.append(host.usage.main_thread_s)
            self.other_threads_s.append(host.usage.other_threads_s)
            self.outcome = examine(host.out / "access.ndjson")


class Loops:
    """Runs of a bare loop on one log, as one process or as several that share the file."""

    def __init__(self, kind: str, scratch: Path, log: Path, processes: int = 1) -> None:
        self.runs = Runs()
        self.outcome = Outcome(0, "")
        self._kind, self._scratch, self._log, self._processes = kind, scratch, log, processes

    def turn(self) -> None:
        """Run once. Raises RuntimeError when a process fails."""
        size, parts = self._log.stat().st_size, self._processes
        cuts = [size * part // parts for part in range(parts + 1)]
        outputs = [self._scratch / f"bare-{part}.ndjson" for part in range(parts)]
        began = time.monotonic()
        with Watch() as watch:
            running = [
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.bare", self._kind, self._log, output, str(start), str(end)],
                    cwd=REPOSITORY,
                    stdout=subprocess.PIPE,
                )
                for output, start, end in zip(outputs, cuts[:-1], cuts[1:], strict=True)
            ]
            said = [process.communicate()[0] for process in running]
        whole_s = time.monotonic() - began
        if any(process.returncode for process in running):
            raise RuntimeError(f"the bare loop {self._kind!r} failed")
        self.runs.take(whole_s, max(json.loads(answer)["seconds"] for answer in said), watch.own_s)
        if parts == 1:
            self.outcome = examine(outputs[0])
        else:
            self.outcome = Outcome(sum(json.loads(answer)["records"] for answer in said), "")
        for output in outputs:
            output.unlink()


def examine(output: Path) -> Outcome:
    """Read what was written: count the records, hash a sample of them."""
    records, sample = 0, hashlib.sha256()
    with output.open("rb") as lines:
        for records, line in enumerate(lines, start=1):
            if records % SAMPLE_EVERY == 0:
                record = json.loads(line)
                record.pop("@source", None)
                sample.update(json.dumps(record, sort_keys=True).encode())
    return Outcome(records, sample.hexdigest())


def touch_pages(folder: Path, size: int) -> None:
    """Write and remove a file of `size` bytes, so that nobody is first to use the pages."""
    with tempfile.TemporaryFile(dir=folder) as scratch:
        for _ in range(size // MIB):
            scratch.write(bytes(MIB))
        scratch.flush()
        os.fsync(scratch.fileno())


def run(*, quick: bool) -> Report:
    """Measure; 32 MiB and 3 turns when quick, else 1 GiB and 5."""
    size, turns = (32 * MIB, 3) if quick else (1024 * MIB, 5)
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        scratch = Path(name)
        log = scratch / "access.log"
        lines = corpus.write(log, size)
        touch_pages(scratch, 2 * size)
        hostd = Daemons(scratch, log)
        regex, processor = Loops("regex", scratch, log), Loops("processor", scratch, log)
        split = Loops("processor", scratch, log, cores())
        counted = take_turns([hostd.turn, regex.turn, processor.turn, split.turn], turns)
        larger = scratch / "larger.log"
        with larger.open("wb") as out:
            for _ in range(LARGER):
                out.write(log.read_bytes())
        peak_larger = Daemons(scratch, larger)
        peak_larger.turn()
        loops = {"a": regex, "b": processor, "c": split}
        report = Report("throughput")
        _add_speeds(
            report, log.stat().st_size / MIB, {"hostd": hostd.runs} | {k: v.runs for k, v in loops.items()}, counted
        )
        _add_uses(report, log.stat().st_size / MIB, hostd, peak_larger, counted)
        _add_verdict(report, lines, hostd, loops, peak_larger)
        return report


def _add_speeds(report: Report, mib: float, contestants: dict[str, Runs], counted: list[tuple[int, float]]) -> None:
    """Add each one's MiB/s, and hostd's ratio to each of the others, turn by turn; with two targets."""
    names = {
        "hostd": f"hostd, {cores()} workers, durable",
        "a": "(a) bare finditer + groupdict, 1 process",
        "b": "(b) bare shipped processor, 1 process",
        "c": f"(c) bare shipped processor, {cores()} processes",
    }
    turns = [number for number, _ in counted]
    for kind in ("whole", "working"):
        seconds = {key: [getattr(runs, f"{kind}_s")[i] for i in turns] for key, runs in contestants.items()}
        for key, samples in seconds.items():
            report.add(f"{names[key]}: {kind}", "MiB/s", [mib / sample for sample in samples])
        for key, share in (("a", 1 / cores()), ("b", 1 / cores()), ("c", 1.0)):
            samples = [bare * share / ours for ours, bare in zip(seconds["hostd"], seconds[key], strict=True)]
            over = key if share == 1 else f"{key} x {cores()}"
            ratio = report.add(f"ratio hostd / ({over}): {kind}", "x", samples)
            if key == "a":
                label = f"hostd / (a x {cores()}), {kind}, median"
                report.targets.append(Target(label, ratio.median, RATIO, "x", at_least=True))
    for key in ("hostd", "b"):
        cpu_s = [contestants[key].cpu_s[i] for i in turns]
        report.add(f"CPU of all processes: {names[key]}", "s/GiB", [s * 1024 / mib for s in cpu_s])
    report.add("others' share of the machine in these turns", "%", [share * 100 for _, share in counted])


def _add_uses(report: Report, mib: float, hostd: Daemons, larger: Daemons, counted: list[tuple[int, float]]) -> None:
    """Add what the daemon's own process used, without its workers; with a target for its memory."""
    main_s, other_s = ([samples[i] for i, _ in counted] for samples in (hostd.main_thread_s, hostd.other_threads_s))
    report.add("daemon's own CPU with start-up: main thread", "s/GiB", [s * 1024 / mib for s in main_s])
    report.add("daemon's own CPU: commit thread", "s/GiB", [s * 1024 / mib for s in other_s])
    report.add(f"daemon's peak RSS, {mib:.0f} MiB of log", "MiB", hostd.peaks_mib)
    report.add(f"daemon's peak RSS, {LARGER * mib:.0f} MiB of log", "MiB", larger.peaks_mib)
    report.targets.append(Target("the daemon's peak RSS", max(hostd.peaks_mib + larger.peaks_mib), PEAK_MIB, "MiB"))


def _add_verdict(report: Report, lines: int, hostd: Daemons, loops: dict[str, Loops], larger: Daemons) -> None:
    """Add whether the outputs are what the processor yields when called by hand."""
    expected = loops["b"].outcome
    wrong = [
        hostd.outcome != expected,
        larger.outcome.records != LARGER * expected.records,
        loops["c"].outcome.records != expected.records,
    ]
    report.targets.append(Target("outputs unlike what the processor yields when called by hand", sum(wrong), 0, ""))
    report.notes += [
        f"{lines} lines, {expected.records} records each time; every {SAMPLE_EVERY}th compared field by field",
        f"(c) is what {cores()} cores give without a daemon: hostd / c is what the daemon costs",
    ]
