"""One row of a sink's table to the batch that it was made of: what `explain` does for a line of a file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from hostd.errors import HostdError
from hostd.pipeline.explain import Explanation, FramingOf, explain_record, unknown
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.packing import Place, samples
from hostd.pipeline.ledger.places import file_at, place_at
from hostd.pipeline.ledger.reader import Reader
from hostd.pipeline.sinks.columns import ID, RECORD
from hostd.pipeline.sinks.tables import quoted, table_name

Texts = dict[int, bytes]


def explain_row(path: Path, processor: str, number: int, ledger: Reader, framing_of: FramingOf) -> Explanation:
    """Explain the row whose `_id` is `number` of a processor's table. Raises HostdError when that cannot be told."""
    where = f"{path}:{processor}:{number}"
    found = identity(path)
    sink = file_at(ledger.db, *found, processor) if found is not None else None
    if sink is None:
        raise HostdError(
            f"{path}:{processor}",
            "no sink of this state folder has written it",
            "give the database itself, not a copy, and a table of it, as in records.db:access:17",
        )
    place = place_at(ledger.db, sink.id, number - 1)
    if place is None:
        raise unknown(where, number - 1, sink, ledger, ledger.committed_length(*found or (0, 0), processor))
    try:
        texts = _read(path, processor, place)
    except sqlite3.Error as error:
        raise HostdError(str(path), f"cannot be read: {error}", "run this as a user who may read it") from error
    if number not in texts:
        raise HostdError(where, "there is no such row", f"{ID} is the number that is asked for")
    if not _is_intact(texts, place):
        raise HostdError(
            where,
            "the rows of its batch are not what hostd has written: some were deleted or edited",
            "nothing can be told of it",
        )
    return explain_record(ledger, sink, place, number - 1 - place.start, texts[number] + b"\n", framing_of)


def _read(path: Path, processor: str, place: Place) -> Texts:
    """Return the records of a batch by their numbers."""
    table = quoted(table_name(processor))
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        rows = db.execute(
            f"SELECT {ID}, {RECORD} FROM {table} WHERE {ID} > ? AND {ID} <= ? ORDER BY {ID}",  # noqa: S608
            (place.start, place.end),
        )
        return {number: str(text).encode() for number, text in rows}


def _is_intact(texts: Texts, place: Place) -> bool:
    lines = b"".join(text + b"\n" for text in texts.values())
    return len(texts) == place.records and samples(lines) == (place.head, place.tail)
