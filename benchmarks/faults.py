"""Faults: SIGKILL of daemon, workers and zygote at random moments, SIGSTOP, a full disk, swaps: each line exactly once.

A real daemon as it comes, plugins confined. Three writers of their own append numbered lines and rotate their logs by
renaming; one plugin is replaced every second or two. Meanwhile processes are killed at moments drawn from a seed that
the report names: the daemon, which is started again at once and may be killed while it starts, one of its workers, or
the zygote. Now and then one of them is held still for a second or more, and three times the disk of the sinks is full
for a while, where one can be mounted. At the end every line written must be there once, and in order in each file.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.host import REPOSITORY, Host
from benchmarks.measure import Report, Target
from benchmarks.numbered import numbered
from hostd.control import client
from hostd.errors import HostdError

PLUGIN = "numbered"
LINES_PER_S = 300
WRITERS = (("a.numbers", 7.0, "new"), ("b.numbers", 31.0, "shift"), ("c.numbers", 1e9, "new"))
"""Name, seconds between rotations, and how it rotates; the last one never does."""
KILLS = {"daemon": 40, "worker": 40, "zygote": 20}
"""How often each is killed, in hundredths."""
BETWEEN_S = (0.0, 0.9)
"""From one fault to the next. A start takes about 0.3 s: some kills come before the first batch."""
WAIT_FOR_ONE_S = 2.0
STOP_EVERY = 25
STOP_S = (1.0, 2.0)
SWAP_EVERY_S = (1.0, 2.0)
FULL_S = 4.0
DISK_MIB = 256
GIVE_UP_S = 120.0
SETTINGS = (
    "[workers]\nlosses = 1000\nidle_s = 2\n\n[plugins]\nprobation = { length_s = 1 }\n\n"
    '[[sinks]]\nkind = "ndjson"\nfolder = "out"\n'
)


class Row(msgspec.Struct):
    """One record: line number, version, and the source."""

    n: int
    v: int
    source: str = msgspec.field(name="@source")


@dataclass(slots=True)
class Course:
    """What was done to it."""

    done: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    full_phases: int = 0


@dataclass(slots=True)
class Writer:
    """A process that writes a log."""

    name: str
    process: subprocess.Popen[bytes]
    lines: int = 0
    begins: list[int] = field(default_factory=list)

    def end(self) -> None:
        """Have it stop, and say what it has written."""
        said = json.loads(self.process.communicate(timeout=30)[0])
        self.lines, self.begins = said["lines"], said["begins"]


def run(*, quick: bool, seed: int | None = None) -> Report:
    """Measure; 50 kills when quick, else 1,000."""
    kills = 50 if quick else 1000
    seed = random.randrange(1 << 32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name), SETTINGS) as host:
        with _disk(host.out) as has_disk:
            began = time.monotonic()
            writers = [_start_writer(host, *writer) for writer in WRITERS]
            course = _break_it(host, random.Random(seed), kills, has_disk=has_disk)
            for writer in writers:
                writer.end()
            if not host.running:
                host.start()
            status = _wait_until_all_is_read(host)
            code = host.stop()
            report = Report("faults")
            report.add("kills", "1", [sum(course.done[f"killed {name}"] for name in KILLS)])
            report.add("whole run", "s", [time.monotonic() - began])
            report.targets += _verdict(host, writers)
            report.targets.append(Target("dead letters", sum(status["dead_letters"].values()), 0, ""))
            report.targets.append(Target("exit code of the last run", code, 0, ""))
        _note(report, host, course, seed, has_disk=has_disk)
        return report


@contextmanager
def _disk(folder: Path) -> Iterator[bool]:
    """Mount a disk of its own on the sinks' folder, if that can be done here; tell whether."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "hostd-bench", str(folder)]
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = mounted and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _start_writer(host: Host, name: str, rotate_every_s: float, way: str) -> Writer:
    arguments = [str(host.logs / name), str(LINES_PER_S), str(rotate_every_s), way]
    command = [sys.executable, "-m", "benchmarks.rotator", *arguments]
    return Writer(name, subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


def _break_it(host: Host, chance: random.Random, kills: int, *, has_disk: bool) -> Course:
    """Do what is to be done to the daemon, fault after fault."""
    course = Course()
    full_at = {kills * part // 4 for part in (1, 2, 3)} if has_disk else set()
    swap_due, full_until = 0.0, 0.0
    for number in range(kills):
        now = time.monotonic()
        if now >= swap_due:
            _swap(host, course)
            swap_due = now + chance.uniform(*SWAP_EVERY_S)
        if number in full_at:
            _fill(host.out)
            course.full_phases += 1
            full_until = now + FULL_S
        if full_until and now >= full_until:
            _empty(host.out)
            full_until = 0.0
        if not host.running:
            host.start()
        time.sleep(chance.uniform(*BETWEEN_S))
        if number % STOP_EVERY == STOP_EVERY - 1:
            _hold_still(host, chance, course)
        _kill(host, chance, course)
    _empty(host.out)
    return course


def _swap(host: Host, course: Course) -> None:
    course.versions += 1
    staged = host.folder / "staged.py"
    staged.write_text(numbered(course.versions).replace('"numbers.log"', '"*.numbers*"'))
    staged.replace(host.plugins / f"{PLUGIN}.py")


def _kill(host: Host, chance: random.Random, course: Course) -> None:
    """Kill one process; the daemon itself when there is no worker or zygote for long, as while its disk is full."""
    kind = chance.choices(list(KILLS), list(KILLS.values()))[0]
    ends = time.monotonic() + WAIT_FOR_ONE_S
    while not (pids := _pids(host, kind)) and time.monotonic() < ends:
        time.sleep(0.01)
    if kind == "daemon" or not pids:
        host.kill()
        course.done["killed daemon"] += 1
        return
    with suppress(ProcessLookupError):
        os.kill(chance.choice(pids), signal.SIGKILL)
    course.done[f"killed {kind}"] += 1


def _hold_still(host: Host, chance: random.Random, course: Course) -> None:
    """Stop one process for a while."""
    kind = chance.choice(list(KILLS))
    pids = _pids(host, kind) or [host.pid]
    pid = chance.choice(pids)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(chance.uniform(*STOP_S))
        os.kill(pid, signal.SIGCONT)
    course.done[f"stopped {kind if pid != host.pid else 'daemon'}"] += 1


def _pids(host: Host, kind: str) -> list[int]:
    match kind:
        case "worker":
            return host.below(f"hostd:{PLUGIN}"[:15], "hostd-spare")
        case "zygote":
            return host.below("hostd-zygote")
        case _:
            return [host.pid]


def _fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with (folder / "filler").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with (folder / "filler").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def _empty(folder: Path) -> None:
    (folder / "filler").unlink(missing_ok=True)


def _wait_until_all_is_read(host: Host) -> dict[str, Any]:
    """Return the status once every source is committed to its end. Raises RuntimeError with the log."""
    ends = time.monotonic() + GIVE_UP_S
    while time.monotonic() < ends:
        time.sleep(0.2)
        with suppress(HostdError, OSError):
            status: dict[str, Any] = client.ask(host.folder / "state" / "hostd.sock", "GET", "/status")
            if status["sources"] and all(s["offset"] == s["size"] for s in status["sources"]):
                return status
    tail = "\n".join(host.log.read_text().splitlines()[-40:])
    raise RuntimeError(f"not all was read within {GIVE_UP_S:g} s:\n{tail}")


def _verdict(host: Host, writers: list[Writer]) -> list[Target]:
    rows = msgspec.json.Decoder(Row).decode_lines((host.out / f"{PLUGIN}.ndjson").read_bytes())
    lost = doubled = unordered = 0
    for writer in writers:
        numbers = [row.n for row in rows if Path(row.source).name.startswith(writer.name)]
        lost += len(set(range(writer.lines)) - set(numbers))
        doubled += len(numbers) - len(set(numbers))
        # Two files of one writer are read side by side; within each, lines stay in order.
        for begin, end in pairwise([*writer.begins, writer.lines]):
            inside = [number for number in numbers if begin <= number < end]
            unordered += sum(second <= first for first, second in pairwise(inside))
    written = sum(writer.lines for writer in writers)
    return [
        Target(f"lines lost, of {written}", lost, 0, ""),
        Target("lines doubled", doubled, 0, ""),
        Target("lines out of order in their file", unordered, 0, ""),
    ]


def _note(report: Report, host: Host, course: Course, seed: int, *, has_disk: bool) -> None:
    did = ", ".join(f"{what} {count}" for what, count in sorted(course.done.items()))
    said = Counter(event["event"] for event in host.events("sink.trimmed", "sink.failed", "batch.retried"))
    report.notes += [
        f"seed {seed}; {did}; {course.versions} versions; disk full {course.full_phases} times",
        f"events meanwhile: {', '.join(f'{name} {count}' for name, count in sorted(said.items()))}",
    ]
    if not has_disk:
        report.notes.append("no disk could be mounted: the phases with a full one were left out")
