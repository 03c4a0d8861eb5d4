"""Every kind of sink as the shared tests take it: how it is set, and how what it wrote is read by its own reader."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hostd import sink_settings
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks import Sink
from hostd.pipeline.sinks.database import connect
from hostd.pipeline.sinks.making import make_sink
from hostd.pipeline.sinks.rotation import packed_path, rotated_files, zstd
from hostd.workers import block
from tests.live.harness import eventually

Record = dict[str, Any]


def lines(*records: Record) -> list[bytes | bytearray]:
    """Return records in pieces of whole lines, some of them empty."""
    each = [json.dumps(record).encode() + b"\n" for record in records]
    half = len(each) // 2
    return [b"".join(each[:half]), b"", bytearray(b"".join(each[half:]))]


def blocks(*records: Record) -> list[bytes | bytearray]:
    """Return records with the same keys as a block, between two of them as lines."""
    if len(records) < 3:
        return lines(*records)
    names, between = list(records[0]), records[1:-1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(block, "LEAST_ROWS", 1)
        packed = block.pack_rows(names, [tuple(record.values()) for record in between], None)
    assert packed is not None
    return [*lines(records[0]), packed, *lines(records[-1])]


@dataclass(frozen=True, slots=True)
class Kind:
    """One durable kind: its settings in a folder, the same as lines of hostd.toml, and its reader."""

    name: str
    settings: Callable[[Path, tuple[str, ...]], sink_settings.Sink]
    toml: str
    read: Callable[[Path, str], list[Record]]
    chunks: Callable[..., list[bytes | bytearray]] = lines
    """Records as workers hand them over."""

    def __str__(self) -> str:
        return self.name


def read_ndjson(folder: Path, processor: str) -> list[Record]:
    """Read one file, as `jq` would."""
    path = folder / "out" / f"{processor}.ndjson"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def read_rotated(folder: Path, processor: str) -> list[Record]:
    """Read one file after the other, in the order of their names, as `zstdcat -f` would; then the present one."""
    lines: list[bytes] = []
    for path in {unpacked(path): path for path in rotated_files(folder / "out", processor)}:
        lines += read_either(path).splitlines()
    present = folder / "out" / f"{processor}.ndjson"
    return [json.loads(line) for line in lines + (present.read_bytes().splitlines() if present.exists() else [])]


def unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix == ".zst" else path


def read_either(path: Path) -> bytes:
    """Read a rotated file, or its archive once that has taken its place."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        content: bytes = zstd().decompress(packed_path(path).read_bytes())
        return content


def read_sqlite(folder: Path, processor: str) -> list[Record]:
    """Read one table through a connection of its own; the columns say what the JSON says."""
    path = folder / "records.db"
    if not path.exists():
        return []
    with closing(connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM pragma_table_xinfo(?)", (processor,))]
        rows = db.execute(f'SELECT * FROM "{processor}" ORDER BY _id') if names else []
    records = []
    for row in rows:
        columns = dict(zip(names, row, strict=True))
        records.append(json.loads(columns["_record"]))
        del columns["_id"], columns["_record"]
        assert {key: value for key, value in columns.items() if value is not None} == records[-1]
    return records


def read_parquet(folder: Path, processor: str) -> list[Record]:
    """Read all files of a processor, in the order of their names, once nothing is staged any more."""
    stages = [path for name in ("sinks", "state/sinks") for path in folder.glob(f"{name}/parquet-*")]
    eventually("nothing is staged", lambda: not any(is_staged(stage) for stage in stages))
    files = (folder / "parquet").glob(f"processor={processor}/date=*/part-*.parquet")
    records: list[Record] = []
    for path in sorted(files, key=lambda path: path.name):
        records += pq.ParquetFile(path).read().to_pylist()
    return records


def is_staged(stage: Path) -> bool:
    """Tell whether anything waits. A file is renamed when it is sealed: what vanishes meanwhile is looked for there."""
    try:
        if any(path.stat().st_size for path in stage.glob("*.ndjson")):
            return True
    except FileNotFoundError:
        return True
    return next(stage.glob("*.sealed"), None) is not None


KINDS = [
    Kind(
        "ndjson",
        lambda folder, processors: sink_settings.NdjsonSink(folder=folder / "out", processors=processors),
        'kind = "ndjson"\nfolder = "out"\n',
        read_ndjson,
    ),
    Kind(
        "rotated",
        lambda folder, processors: sink_settings.NdjsonSink(
            folder=folder / "out", processors=processors, rotate_mib=0.0001, compress="zstd"
        ),
        'kind = "ndjson"\nfolder = "out"\nrotate_mib = 0.01\ncompress = "zstd"\n',
        read_rotated,
    ),
    Kind(
        "sqlite",
        lambda folder, processors: sink_settings.SqliteSink(path=folder / "records.db", processors=processors),
        'kind = "sqlite"\npath = "records.db"\n',
        read_sqlite,
    ),
    Kind(
        "parquet",
        lambda folder, processors: sink_settings.ParquetSink(
            folder=folder / "parquet", processors=processors, flush_s=0.02
        ),
        'kind = "parquet"\nfolder = "parquet"\nflush_s = 0.2\nflush_records = 500\n',
        read_parquet,
        blocks,
    ),
]
"""Those that promise each record once."""


class World:
    """A sink of one kind and its ledger in a folder; `start` is what a daemon does when it starts."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.opened: list[tuple[Sink, Ledger]] = []

    def start(self, *processors: str) -> Sink:
        """Start anew, after a stop or, which is the same to the files, after a kill."""
        self.stop()
        ledger = Ledger(self.folder / "ledger.db")
        sink = make_sink(self.kind.settings(self.folder, processors or ("*",)), ledger)
        self.opened.append((sink, ledger))
        sink.recover()
        return sink

    def another(self) -> Sink:
        """Return a second sink of the same settings on the same ledger, not recovered yet."""
        return make_sink(self.kind.settings(self.folder, ("*",)), self.ledger)

    def stop(self) -> None:
        for sink, ledger in self.opened:
            sink.close()
            ledger.close()
        self.opened.clear()

    @property
    def ledger(self) -> Ledger:
        return self.opened[-1][1]

    def commit(self, sink: Sink, processor: str, *records: Record) -> None:
        """Commit as the committer does."""
        sink.write(processor, self.kind.chunks(*records))
        sink.place(processor)
        self.ledger.commit([], sink.sync())
        sink.accept()

    def read(self, processor: str = "demo") -> list[Record]:
        """Return what a reader sees."""
        return self.kind.read(self.folder, processor)
