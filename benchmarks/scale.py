"""Scale: what a record costs among a thousand plugins and ten thousand files, and what 100 GiB of input leave behind.

*Cost* is processor time of all processes for a record of the access log, from the moment that a log is moved into a
folder that has settled until its last record is written; the ratio is to one plugin and one file. *Growth*: a log is
written, rotated and removed again and again, and parsed by a plugin that yields a record for each batch, which is as
fast as a daemon can be kept busy. What it holds is looked at after each tenth of the input.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from benchmarks import corpus
from benchmarks.host import SHIPPED, Host, cpu_s, descendants, rss_bytes
from benchmarks.measure import MIB, Report, Target
from benchmarks.numbered import numbered

FLAT = 1.15
"""How much more a record may cost among many: this machine's own spread, and a little."""
PLUGINS, FILES, SPREAD = 1000, 10_000, 100
RECORD_MIB = {True: 16, False: 64}
GROWTH_MIB = {True: 2 << 10, False: 100 << 10}
LOG_MIB = 256
LOOKS = 10
MOST_LEDGER_MIB = 16.0
MOST_RSS_MIB = 4.0
POLL_S = 0.02
GIVE_UP_S = 300.0

COUNTER = '''# /// script
# requires-python = ">=3.11"
#
# [tool.hostd]
# name = "counter"
# version = "1.0.0"
# contract = ">=1.0,<2"
# accepts = { names = ["app.log*"] }
# ///
"""A record for each batch: how many bytes it has."""


class Counter:
    def parse(self, data, ctx):
        return [{"at": ctx.offset, "bytes": len(data)}]


new_processor = Counter
'''


def run(*, quick: bool) -> Report:
    """Measure: cost on 16 MiB and growth over 2 GiB when quick, else 64 MiB and 100 GiB."""
    report = Report("scale")
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        log = Path(name) / "access.log"
        records = corpus.make(log, RECORD_MIB[quick] * MIB)
        turns = 1 if quick else 3
        base = [_cost(log, records, 1, 0, 1) for _ in range(turns)]
        first = report.add("a record: 1 plugin, 1 file", "us", base)
        for label, plugins, idle, spread in (
            (f"{PLUGINS:,} plugins, 1 file", PLUGINS, 0, 1),
            (f"1 plugin, {FILES:,} idle files and 1", 1, FILES, 1),
            (f"1 plugin, {SPREAD} files at once", 1, 0, SPREAD),
        ):
            costs = report.add(f"a record: {label}", "us", [_cost(log, records, plugins, idle, spread) for _ in base])
            ratio = costs.median / first.median
            report.targets.append(Target(f"cost of a record, {label}, over one of each", ratio, FLAT, "x"))
    _add_growth(report, GROWTH_MIB[quick])
    return report


def _cost(log: Path, records: int, plugins: int, idle: int, spread: int) -> float:
    """Return the microseconds of processor time for a record."""
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        (host.plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
        for number in range(1, plugins):
            source = numbered(1).replace('"numbered"', f'"other{number}"').replace("numbers.log", f"other{number}.log")
            (host.plugins / f"other{number}.py").write_text(source)
        with log.open("rb") as content:
            line = content.readline()
        for number in range(idle):
            (host.logs / f"{number:05}.log").write_bytes(line)
        host.start()
        _wait("all plugins live", lambda: len(host.events("generation.switched")) == plugins)
        output = Output(host.out / "access.ndjson")
        _wait("idle files read", lambda: not idle or output.lines() == idle)
        parts = host.folder / "parts"
        parts.mkdir()
        _cut(log, parts, spread)
        before = _all_cpu_s(host)
        for part in sorted(parts.iterdir()):
            part.rename(host.logs / part.name)
        _wait("all records written", lambda: output.lines() == idle + records)
        return (_all_cpu_s(host) - before) / records * 1e6


def _cut(log: Path, into: Path, parts: int) -> None:
    """Write a log as several files of whole lines."""
    each = log.stat().st_size // parts + 1
    with log.open("rb") as content:
        for number in range(parts):
            data = content.read(each)
            (into / f"part-{number:03}.log").write_bytes(data + content.readline())


def _all_cpu_s(host: Host) -> float:
    found = 0.0
    for pid in (host.pid, *descendants(host.pid)):
        try:
            found += cpu_s(pid)
        except OSError:  # a worker that has just ended
            continue
    return found


def _wait(what: str, condition: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + GIVE_UP_S
    while not condition():
        time.sleep(POLL_S)
        if time.monotonic() > gives_up:
            raise RuntimeError(f"not within {GIVE_UP_S:g} s: {what}")


@dataclass(frozen=True, slots=True)
class Held:
    """What the daemon holds after some input: memory, descriptors, what lies in its state folder."""

    after_mib: int
    rss_mib: float
    descriptors: int
    state_mib: float


def _add_growth(report: Report, total_mib: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        block = host.folder / "block"
        corpus.make(block, LOG_MIB * MIB)
        size = block.stat().st_size
        (host.plugins / "counter.py").write_text(COUNTER)
        host.start()
        output, log = Output(host.out / "counter.ndjson"), host.logs / "app.log"
        held, turns, written = list[Held](), total_mib // LOG_MIB, 0
        began = time.monotonic()
        for turn in range(1, turns + 1):
            log.unlink(missing_ok=True)
            with block.open("rb") as content, (host.folder / "app.log").open("wb") as copy:
                written += copy.write(b"log %09d\n" % turn)  # else it is a copy of the one before, which is read
                shutil.copyfileobj(content, copy, MIB)
                written += size
            (host.folder / "app.log").rename(log)
            _wait(f"log {turn} read", partial(_has_parsed, output, written))
            if turn * LOOKS // turns > (turn - 1) * LOOKS // turns:
                held.append(_held(host, turn * LOG_MIB))
        elapsed_s = time.monotonic() - began
        host.stop()
        report.add("input parsed a second, with writing it", "MiB/s", [total_mib / elapsed_s])
        report.add("daemon's memory", "MiB", [each.rss_mib for each in held])
        report.add("state folder", "MiB", [each.state_mib for each in held])
        half = held[len(held) // 2 - 1]
        grown = f"from {half.after_mib >> 10} to {held[-1].after_mib >> 10} GiB of input"
        report.targets += [
            Target(f"daemon's memory, growth {grown}", held[-1].rss_mib - half.rss_mib, MOST_RSS_MIB, "MiB"),
            Target(f"descriptors, growth {grown}", held[-1].descriptors - half.descriptors, 0, ""),
            Target("state folder at the end", held[-1].state_mib, MOST_LEDGER_MIB, "MiB"),
        ]


class Parsed(msgspec.Struct):
    """A record of `COUNTER`."""

    bytes: int


class Output:
    """What records come to, as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._total = 0
        self._decode = msgspec.json.Decoder(Parsed).decode_lines

    def lines(self) -> int:
        """Return how many there are."""
        self._total += sum(chunk.count(b"\n") for chunk in self._new())
        return self._total

    def told(self) -> int:
        """Return how many bytes they tell of."""
        self._total += sum(record.bytes for chunk in self._new() for record in self._decode(chunk))
        return self._total

    def _new(self) -> Iterator[bytes]:
        """Yield whole lines that nobody has asked for yet."""
        if not self._path.exists():
            return
        with self._path.open("rb") as content:
            content.seek(self._offset)
            while (chunk := content.read(MIB)) and (end := chunk.rfind(b"\n") + 1):
                self._offset += end
                content.seek(self._offset)
                yield chunk[:end]


def _has_parsed(output: Output, size: int) -> bool:
    return output.told() == size


def _held(host: Host, after_mib: int) -> Held:
    state = host.folder / "state"
    sizes = [(Path(folder) / file).stat().st_size for folder, _, files in os.walk(state) for file in files]
    descriptors = len(list(Path(f"/proc/{host.pid}/fd").iterdir()))
    return Held(after_mib, rss_bytes(host.pid) / MIB, descriptors, sum(sizes) / MIB)
