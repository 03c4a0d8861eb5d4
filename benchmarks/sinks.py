"""Sinks: records a second of the access log into each kind of sink, beside the same run into files of JSON lines.

A turn is one `hostd run --once` of each kind on the same log, in alternating order, every record durable and where its
readers look. The ratio is of the times from `daemon.ready` to the end of the process, of the same turn.

What bounds the kinds: all of them share the cores with the workers, which parse and encode. JSON lines are written as
they come. For `sqlite` one thread decodes each record once more, makes a row of its values, and has SQLite bind and
insert it, which takes twice the bytes, since the record is kept whole beside its columns. (Generated columns would save
that, but SQLite computes them at each insert all the same, and readers would parse JSON for each row.) For `parquet`
workers answer blocks of columns, and one thread reads those that are staged and writes the columns; what is left when
hostd ends becomes a file while nothing else runs. The CPU of these threads is shown, and that of each step alone, on
input that is ready (`limit`): no sink can be faster than its last step. Tried without gain: generated columns (each is
computed at every insert), one `INSERT … SELECT` from `json_each` for a batch (each value looks its path up in the
JSON), several rows a statement (to bind is what costs), and lengths of one byte in blocks.
"""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import REPOSITORY, SHIPPED, Host
from benchmarks.measure import MIB, Report, Target
from benchmarks.quiet import take_turns
from benchmarks.throughput import touch_pages

RECORDS_A_SECOND = 200_000
PARQUET_RATIO = 0.8


@dataclass(slots=True)
class Kind:
    """A kind of sink: its settings, how its records are counted, what is asked of it, and its turns."""

    name: str
    settings: str
    count: Callable[[Path], int]
    at_least: float | None = None
    """Which share of the speed of JSON lines."""
    records_a_second: int | None = None
    working_s: list[float] = field(default_factory=list)
    commit_s: list[float] = field(default_factory=list)
    records: int = 0


def count_ndjson(folder: Path) -> int:
    """Count lines."""
    with (folder / "out" / "access.ndjson").open("rb") as lines:
        return sum(1 for _ in lines)


def count_sqlite(folder: Path) -> int:
    """Count rows, and what the columns say."""
    with closing(sqlite3.connect(folder / "records.db")) as db:
        rows, statuses = db.execute("SELECT count(*), count(status) FROM access").fetchone()
    if rows != statuses:
        raise RuntimeError(f"{rows} rows, {statuses} with a status")
    return int(rows)


def count_parquet(folder: Path) -> int:
    """Count rows, of all files."""
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(path).metadata.num_rows for path in (folder / "parquet").rglob("part-*.parquet"))


def kinds() -> list[Kind]:
    """Return the kinds that can be measured here."""
    found = [
        Kind("ndjson", 'kind = "ndjson"\nfolder = "out"\n', count_ndjson),
        Kind(
            "sqlite",
            'kind = "sqlite"\npath = "records.db"\n',
            count_sqlite,
            records_a_second=RECORDS_A_SECOND,
        ),
    ]
    if importlib.util.find_spec("pyarrow") is not None:
        found.append(Kind("parquet", 'kind = "parquet"\nfolder = "parquet"\n', count_parquet, at_least=PARQUET_RATIO))
    return found


class Runs:
    """Turns of all kinds on one log."""

    def __init__(self, scratch: Path, log: Path) -> None:
        self._scratch = scratch
        self._log = log

    def lines(self, kind: Kind, kept: Path) -> Path:
        """Run once, and keep the lines that came out."""
        self.turn(kind, kept / "lines.ndjson")
        return kept / "lines.ndjson"

    def turn(self, kind: Kind, keep: Path | None = None) -> None:
        """Run once in a new folder. Raises RuntimeError when the daemon fails."""
        settings = f"[[sinks]]\n{kind.settings}"
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name), settings) as host:
            (host.plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
            os.link(self._log, host.logs / "access.log")
            host.start(once=True)
            code = host.wait(watch=True)
            if code not in (0, 3):  # 3: some lines were rejected, as in real logs some are
                raise RuntimeError(f"hostd ended with {code}:\n{host.log.read_text()}")
            if keep is not None:
                (host.out / "access.ndjson").rename(keep)
                return
            kind.working_s.append(host.event("daemon.stopped")["at"] - host.event("daemon.ready")["at"])
            kind.commit_s.append(host.usage.other_threads_s)
            kind.records = kind.count(host.folder)


def _limits(lines: Path, turns: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each step alone, by turn."""
    command = [sys.executable, "-m", "benchmarks.ceilings", str(lines), str(turns)]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def run(*, quick: bool) -> Report:
    """Measure; 16 MiB and 3 turns when quick, else 1 GiB and 5."""
    size, turns = (16 * MIB, 3) if quick else (1024 * MIB, 5)
    measured = kinds()
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        scratch = Path(name)
        log = scratch / "access.log"
        corpus.write(log, size)
        touch_pages(scratch, 4 * size)
        runs = Runs(scratch, log)
        limits = _limits(runs.lines(measured[0], scratch), turns)
        counted = take_turns([lambda kind=kind: runs.turn(kind) for kind in measured], turns)
    numbers = [number for number, _ in counted]
    report = Report("sinks")
    plain = measured[0]
    for kind in measured:
        speeds = [kind.records / kind.working_s[number] for number in numbers]
        speed = report.add(f"{kind.name}: records", "1/s", speeds)
        if kind.records_a_second is not None:
            label = f"{kind.name}: records a second, median"
            report.targets.append(Target(label, speed.median, kind.records_a_second, "1/s", at_least=True))
    for kind in measured[1:]:
        ratios = [plain.working_s[number] / kind.working_s[number] for number in numbers]
        ratio = report.add(f"ratio {kind.name} / ndjson", "x", ratios)
        if kind.at_least is not None:
            label = f"{kind.name} / ndjson, median"
            report.targets.append(Target(label, ratio.median, kind.at_least, "x", at_least=True))
    for kind in measured:
        cpu_us = [kind.commit_s[number] / kind.records * 1e6 for number in numbers]
        report.add(f"{kind.name}: CPU of the daemon's threads beside the event loop", "us/rec", cpu_us)
    for label, seconds in limits.items():
        report.add(f"limit, {label}", "us/rec", [each / plain.records * 1e6 for each in seconds])
    report.add("others' share of the machine in these turns", "%", [share * 100 for _, share in counted])
    unlike = sum(kind.records != plain.records for kind in measured)
    report.targets.append(Target("kinds that hold another number of records than ndjson", unlike, 0, ""))
    if importlib.util.find_spec("pyarrow") is None:
        report.notes.append("parquet is left out: hostd[parquet] is not installed")
    return report
