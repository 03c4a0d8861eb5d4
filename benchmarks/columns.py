"""Columns: CPU time of CSV and access logs to JSON lines by columns, beside the same by rows, and by a dict a record.

Each format has a process of its own, in which they take the same bytes in turn, in batches as large as their manifests
say, as a worker calls them: parsed and encoded, in memory. *dicts* is the best loop by hand, *rows* the processor that
ships, *columns* the example. A ratio is of the times of neighbouring turns. *columns, encoded as dicts* encodes them
the plain way. *to parquet* is all of the way to a Parquet file: parsed, encoded as JSON lines or blocks of columns,
staged in a file, read from there by Arrow, and written.

What bounds the access log: its expression makes all fields of a batch in one call already. Arrow's reader of separated
values alone takes about a third of that path's time, and to join eleven columns with what is between them as much
again. `extract_regex` takes longer than the whole path: beyond four groups RE2 has no fast way to find them.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import corpus
from benchmarks.host import REPOSITORY, SHIPPED
from benchmarks.logs import CSV_HEADER, block
from benchmarks.loops import LOOPS
from benchmarks.measure import MIB, Report, Target
from contract import Context
from contract.testing import load, make_processor
from hostd.workers.encode import Encoder

RATIO = 4.0
EXAMPLES = REPOSITORY / "examples" / "plugins"
FORMATS = ("csv", "access")


def run(*, quick: bool = False) -> Report:
    """Measure both formats, and report the ratios."""
    report = Report("columns")
    if importlib.util.find_spec("pyarrow") is None:
        report.notes.append("left out: hostd[parquet] is not installed")
        return report
    turns, size = (3, MIB) if quick else (9, 4 * MIB)
    wrong = 0
    for name in FORMATS:
        command = [sys.executable, "-m", "benchmarks.columns", name, str(turns), str(size)]
        done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        wrong += not found.pop("same")
        mib, records = found.pop("bytes") / MIB, found.pop("records")
        for label, seconds in found.items():
            report.add(f"{name}: {label}", "us/rec", [each / records * 1e6 for each in seconds])
        for label in ("dicts", "rows", "columns"):
            report.add(f"{name}: {label}", "MiB/s", [mib / each for each in found[label]])
        pairs = zip(found["dicts"], found["columns"], strict=True)
        by_rows = zip(found["dicts"], found["rows"], strict=True)
        report.add(f"{name}: dicts / rows", "x", [dicts / rows for dicts, rows in by_rows])
        ratio = report.add(f"{name}: dicts / columns", "x", [dicts / columns for dicts, columns in pairs])
        report.targets.append(Target(f"{name}: as fast as by dicts", ratio.median, RATIO, "x", at_least=True))
        for label in ("rows", "columns"):
            straight = zip(found["dicts to parquet"], found[f"{label} to parquet"], strict=True)
            report.add(f"{name}: to parquet, dicts / {label}", "x", [dicts / other for dicts, other in straight])
    report.targets.append(Target("formats whose records are not the same by columns", wrong, 0, ""))
    report.notes.append("CPU time of one core; ratios are medians of pairs of turns")
    return report


class Contestant:
    """A processor, called as a worker calls it, on its own batches of one input; or a loop in its place."""

    def __init__(self, path: Path, data: bytes, header: bytes, loop: Callable[[bytes], Any] | None = None) -> None:
        manifest, module = load(path)
        framing = manifest.compiled_framing()
        options = module.Options() if hasattr(module, "Options") else None
        ctx = Context(
            source=path.stem,
            reject=_refuse,
            say=lambda _level, _message: None,
            header=header,
            options=options,
            framing=framing,
        )
        processor = make_processor(manifest, module.new_processor)
        self.parse: Callable[[bytes], Any] = loop or (lambda batch: processor.parse(batch, ctx))
        ends = [0]
        while ends[-1] < len(data):
            piece = data[ends[-1] : ends[-1] + (manifest.limits.batch_kib << 10)]
            ends.append(ends[-1] + framing.boundary(piece))
        self.batches = [data[start:end] for start, end in pairwise(ends)]

    def encode(self, encoder: Encoder, *, blocks: bool = False) -> list[bytes]:
        """Parse and encode everything."""
        pieces: list[bytes] = []
        for batch in self.batches:
            pieces += encoder.encode(self.parse(batch), "a.log", 1 << 30, blocks=blocks)[1]
        return pieces

    def to_parquet(self, encoder: Encoder, folder: Path) -> None:
        """Do that, and make a Parquet file of it as hostd does."""
        from hostd.pipeline.sinks.arrow import Schema, read_table

        staged = folder / "staged"
        staged.write_bytes(b"".join(self.encode(encoder, blocks=True)))
        _write(read_table(staged, Schema({})), staged)


def measure(name: str, turns: int, size: int) -> dict[str, Any]:
    """Return the seconds of each turn by what was done, and whether both ways come to the same records."""
    header, data = _input(name, size)
    rows = Contestant(SHIPPED / f"{name}.py", data, header)
    dicts = Contestant(SHIPPED / f"{name}.py", data, header, LOOPS[name]())
    columns = Contestant(EXAMPLES / f"{name}_columns.py", data, header)
    encoder = Encoder("@source")
    lines = b"".join(dicts.encode(encoder))
    same = all(_records(lines) == _records(b"".join(others.encode(encoder))) for others in (rows, columns))
    tables = [each for batch in columns.batches for each in columns.parse(batch)]
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as folder:
        what: dict[str, Callable[[], Any]] = {
            "dicts": lambda: dicts.encode(encoder),
            "rows": lambda: rows.encode(encoder),
            "columns": lambda: columns.encode(encoder),
            "columns, parsed only": lambda: [list(columns.parse(batch)) for batch in columns.batches],
            "columns, encoded only": lambda: encoder.encode(tables, "a.log", 1 << 30),
            "columns, encoded as dicts": lambda: [
                encoder.encode(table.to_pylist(), "a.log", 1 << 30) for table in tables
            ],
            "dicts to parquet": lambda: dicts.to_parquet(encoder, Path(folder)),
            "rows to parquet": lambda: rows.to_parquet(encoder, Path(folder)),
            "columns to parquet": lambda: columns.to_parquet(encoder, Path(folder)),
        }
        for turn in range(turns + 1):
            for label, do in what.items():
                began = time.process_time()
                do()
                if turn:
                    took.setdefault(label, []).append(time.process_time() - began)
    return {**took, "bytes": len(data), "records": lines.count(b"\n"), "same": same}


def _input(name: str, size: int) -> tuple[bytes, bytes]:
    if name == "csv":
        lines = block("csv")
        return CSV_HEADER.encode(), lines * -(-size // len(lines))
    with tempfile.NamedTemporaryFile() as log:
        corpus.make(
            Path(log.name), size
        )  # ordinary lines alone: others are records, which cannot be looked at as tables
        return b"", log.read()


def _records(lines: bytes) -> list[Any]:
    return [json.loads(line) for line in lines.splitlines()]


def _write(table: Any, beside: Path) -> None:
    from hostd.pipeline.sinks.parquet import write_file

    write_file(table, beside.with_suffix(".parquet"))


def _refuse(raw: bytes, reason: str) -> None:
    """Count what the lines of a real log have that is no record: both reject it."""


if __name__ == "__main__":
    json.dump(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
