"""What bounds the sinks that decode: the steps of one thread for the same lines, alone, on ready input each.

`python -m benchmarks.ceilings LINES TURNS` prints the CPU seconds of each step and turn as JSON. A sink can be no
faster than its last step, whatever the worker sent it instead of lines.
"""

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from hostd.pipeline.sinks.columns import chunked
from hostd.pipeline.sinks.database import connect
from hostd.pipeline.sinks.sqlite import CHUNK_BYTES, PRAGMAS
from hostd.pipeline.sinks.tables import Table
from hostd.workers.block import pack_rows

GROUP_BYTES = 16 << 20
"""About what one commit takes under load."""
BATCH_BYTES = 384 << 10
"""About what becomes of one batch."""


def groups(lines: bytes) -> Iterator[bytes]:
    """Yield whole lines, as much as a commit takes."""
    return (bytes(group) for group in chunked([lines], GROUP_BYTES))


def sqlite_steps(lines: bytes, folder: Path) -> dict[str, float]:
    """Return the CPU seconds for lines to rows, and for rows that are ready to a database by the real statements."""
    db = connect(folder / "records.db")
    for pragma in PRAGMAS:
        db.execute(f"PRAGMA {pragma}")
    table, last = Table(db, "records.db", "access"), 0
    took = {"sqlite: lines to rows": 0.0, "sqlite: rows inserted and committed": 0.0}
    for group in groups(lines):
        db.execute("BEGIN IMMEDIATE")
        for chunk in chunked([group], CHUNK_BYTES):
            began = time.process_time()
            rows = table.rows(chunk, last + 1)
            last += len(rows)
            ready = time.process_time()
            table.insert(rows)
            took["sqlite: lines to rows"] += ready - began
            took["sqlite: rows inserted and committed"] += time.process_time() - ready
        ready = time.process_time()
        db.execute("COMMIT")
        took["sqlite: rows inserted and committed"] += time.process_time() - ready
    db.close()
    return took


def parquet_steps(lines: bytes, folder: Path) -> dict[str, float]:
    """Return the CPU seconds for lines, and for blocks, to columns, and for columns that are ready to a file."""
    from hostd.pipeline.sinks.arrow import Schema, read_table
    from hostd.pipeline.sinks.parquet import write_file

    took = {}
    for name, content in (("lines", lines), ("blocks", blocks_of(lines))):
        staged = folder / f"staged.{name}"
        staged.write_bytes(content)
        began = time.process_time()
        table = read_table(staged, Schema({}))
        took[f"parquet: {name} to columns"] = time.process_time() - began
    began = time.process_time()
    write_file(table, folder / "records.parquet")
    took["parquet: columns written"] = time.process_time() - began
    return took


@cache
def blocks_of(lines: bytes) -> bytes:
    """Return the blocks of some lines that all have the same keys, as long as those of a batch."""
    pieces = []
    for chunk in chunked([lines], BATCH_BYTES):
        records = [json.loads(line) for line in bytes(chunk).splitlines()]
        names = list(records[0])
        pieces.append(pack_rows(names, [tuple(map(record.get, names)) for record in records], None) or bytes(chunk))
    return b"".join(pieces)


def measure(lines: bytes, turns: int) -> dict[str, list[float]]:
    """Return the seconds of each step, by turn; a first turn does not count."""
    steps: list[Callable[[bytes, Path], dict[str, float]]] = [sqlite_steps]
    if importlib.util.find_spec("pyarrow") is not None:
        steps.append(parquet_steps)
    took: dict[str, list[float]] = {}
    for turn in range(turns + 1):
        for step in steps:
            with tempfile.TemporaryDirectory(prefix="hostd-bench-") as folder:
                for label, seconds in step(lines, Path(folder)).items():
                    took.setdefault(label, []).extend([seconds] if turn else [])
    return took


if __name__ == "__main__":
    json.dump(measure(Path(sys.argv[1]).read_bytes(), int(sys.argv[2])), sys.stdout)
