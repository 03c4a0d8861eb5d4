"""Sealed files of records to Parquet files, in folders by processor and date that DuckDB and others know as columns.

A file appears whole, under a name made of the seal of what it is made from. So a kill before that is removed makes the
same file once more in the same place, and no record is there twice.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hostd import events
from hostd.pipeline.sinks.arrow import Schema, read_table
from hostd.pipeline.sinks.rotation import sync_folder
from hostd.pipeline.sinks.staged import Sealed, fsync_path

TEMPORARY = ".hostd-new"
TIME = "timestamp"
PARTITIONS = ("processor", "date")
DICTIONARY_BYTES = 256 << 10
"""How large a column's dictionary becomes before its values are written as they are: such as differ soon are."""
MOST_RUNS = 1000
"""Up to so many runs of one date a table is cut where they meet, which copies nothing: logs are nearly in order."""
_DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"


class ParquetCarrier:
    """Writes `<folder>/processor=NAME/date=YYYY-MM-DD/part-SEAL.parquet`."""

    tag = "p"
    takes_blocks = True
    progress = 0

    def __init__(self, folder: Path, stage: Path) -> None:
        self._folder = folder
        self._stage = stage

    def begin(self) -> None:
        for left in self._folder.glob(f"processor=*/date=*/.*{TEMPORARY}"):
            left.unlink()

    def deliver(self, sealed: Sealed) -> None:
        schema = self._load(sealed.processor)
        before = dict(schema.types)
        table = read_table(sealed.path, schema)
        if schema.types != before:
            self._save(sealed.processor, schema)
        rows = 0
        for date, part in by_date(_with_columns(table), sealed.sealed_ms):
            self._write(sealed, date, part)
            rows += part.num_rows
        events.emit(events.SINK_CONVERTED, sink=str(self._folder), processor=sealed.processor, records=rows)

    def interrupt(self) -> None:
        """A disk that does not answer cannot be told to."""

    def close(self) -> None:
        """Nothing is held."""

    def _write(self, sealed: Sealed, date: str, part: pa.Table) -> None:
        folder = self._folder / f"processor={sealed.processor}" / f"date={date}"
        if not folder.exists():
            folder.mkdir(parents=True)
            for above in (folder.parent, self._folder):
                sync_folder(above)
        path = folder / f"part-{sealed.seal}.parquet"
        temporary = path.with_name(f".{path.name}{TEMPORARY}")
        try:
            write_file(part, temporary)
            fsync_path(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(folder)

    def _load(self, processor: str) -> Schema:
        try:
            return Schema(json.loads(self._schema_path(processor).read_bytes()))
        except (FileNotFoundError, ValueError):
            return Schema({})  # it is observed anew

    def _save(self, processor: str, schema: Schema) -> None:
        path = self._schema_path(processor)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(schema.types, ensure_ascii=False))
        temporary.replace(path)

    def _schema_path(self, processor: str) -> Path:
        return self._stage / f"{processor}.schema"


def write_file(table: pa.Table, path: Path) -> None:
    """Write a table as a file. It says of numbers and times what the least and the greatest is, not of other texts."""
    ordered = [field.name for field in table.schema if field.name == TIME or not pa.types.is_string(field.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        write_statistics=ordered or False,
    )


def by_date(table: pa.Table, sealed_ms: int) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each date: that of their `timestamp`, else that of the commit, in UTC."""
    committed = datetime.fromtimestamp(sealed_ms / 1000, UTC).strftime("%Y-%m-%d")
    if TIME not in table.column_names or not pa.types.is_string(table.schema.field(TIME).type):
        yield committed, table
        return
    days = pc.utf8_slice_codeunits(table[TIME], 0, 10).combine_chunks()
    dates = {day: day if day and re.fullmatch(_DATE, day) else committed for day in pc.unique(days).to_pylist()}
    found = sorted(set(dates.values()))
    runs = pc.run_end_encode(days)
    if len(found) == 1:
        yield found[0], table
    elif len(runs.values) > MOST_RUNS:
        for date in found:
            theirs = pa.array([day for day in dates if dates[day] == date], pa.string())
            yield date, table.filter(pc.is_in(days, theirs))
    else:
        parts: dict[str, list[pa.Table]] = {date: [] for date in found}
        ends = runs.run_ends.to_pylist()
        for day, start, end in zip(runs.values.to_pylist(), [0, *ends], ends, strict=False):
            parts[dates[day]].append(table.slice(start, end - start))
        for date in found:
            yield date, pa.concat_tables(parts[date])


def _with_columns(table: pa.Table) -> pa.Table:
    """Return the table without columns that the folders are named for: a key of such a name gets another."""
    taken = set(table.column_names)
    names = [_free(name, taken) if name in PARTITIONS else name for name in table.column_names]
    return table.rename_columns(names)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
