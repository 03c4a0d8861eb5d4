"""Where the records of each batch lie in the sinks' files: what `explain` and `reparse` go by.

The last rows of each file are rows of a table, older ones are packed, and the oldest are dropped: the whole is bounded.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from hostd.pipeline.ledger.packing import SAMPLE_BYTES, Place, joined, pack, samples, unpack
from hostd.pipeline.ledger.rows import Replay, Result, SinkMark, stored

FINE_ROWS = 512
"""How many of a file's last batches are rows of the table at least; so many again, and they are packed."""
PACK_ROWS = 256
ROW_BYTES = 80
PACK_BYTES = 64
"""What a row, and a pack beside its body, takes of the database, about."""
DAY_MS = 86_400_000


Packed = tuple[int, int, int, bytes]
"""Where a pack's rows begin and end in the file, when the last was written, and the rows."""


class Keep(Struct, frozen=True):
    """How much is kept, in bytes of the ledger and in days."""

    most_bytes: int = 64 << 20
    days: int = 90


class Placed(Struct, frozen=True):
    """Which batches' records went into which file of a sink; a file of inode 0 stands for none."""

    mark: SinkMark
    rows: list[Place]


class SinkFile(Struct, frozen=True):
    """A file that a sink has written; before `base` it held something else already."""

    id: int
    folder: str
    processor: str
    device: int
    inode: int
    base: int


class _Tail(Struct):
    """The end of a file's account. It is cut when the file turns out to be shorter than it."""

    id: int
    next_seq: int
    end: int
    fine: int
    cuts: int = 0
    is_frozen: bool = False


def lay(mark: SinkMark, results: Iterable[Result | Replay], at: int, *, by_records: bool = False) -> Placed:
    """Return where the records of `results` lie, written one after another from the length that `mark` tells.

    With `by_records` a place is a number of records, as in a table, instead of bytes.
    """
    rows = []
    position = mark.length
    for r in results:
        end = position + (r.records if by_records else len(r.lines))
        rows.append(Place(position, end, r.records, *r.span, r.generation, at, *samples(r.lines)))
        position = end
    return Placed(mark, rows)


def is_intact(fd: int, row: Place, *, count: bool = False) -> bool:
    """Tell whether a file holds what was written there, as far as samples tell; with `count` also all line ends."""
    if row.start == row.end:
        return True
    if row.start and os.pread(fd, 1, row.start - 1) != b"\n":
        return False
    if count:
        region = os.pread(fd, row.end - row.start, row.start)
        return region.count(b"\n") == row.records and samples(region) == (row.head, row.tail)
    length = min(SAMPLE_BYTES, row.end - row.start)
    first = os.pread(fd, length, row.start)
    last = os.pread(fd, length, row.end - length)
    return last.endswith(b"\n") and (samples(first)[0], samples(last)[1]) == (row.head, row.tail)


class Places:
    """The tables `sink_files`, `places` and `packs`."""

    def __init__(self, db: sqlite3.Connection, keep: Keep) -> None:
        self.keep = keep
        self._db = db
        self._tails: dict[tuple[str, str, int, int], _Tail] = {}
        self._bytes = -1
        self._in_doubt = False

    def put(self, placed: Iterable[Placed]) -> None:
        """Write where records lie, inside the caller's transaction, which ends with `accept` unless it fails."""
        if self._in_doubt:
            self.forget()
        self._in_doubt = True
        for each in placed:
            tail = self._tail(each.mark)
            rows = each.rows
            if rows[0].start < tail.end:
                self._cut(tail, rows[0].start)
            self._insert(tail, rows)
            while tail.fine >= FINE_ROWS + PACK_ROWS and not tail.is_frozen:
                self._pack(tail)
        self._drop_beyond(self.keep.most_bytes)

    def last(self, mark: SinkMark) -> Place | None:
        """Return the last records that are known to lie in a file up to its mark; None where nothing is.

        What lies beyond is the account of a file that was removed, and had this one's number.
        """
        row = self._db.execute(
            "SELECT start, end, records, source, begin, until, generation, at, head, tail FROM places"
            " JOIN sink_files ON file = id WHERE folder = ? AND processor = ? AND device = ? AND inode = ?"
            " AND NOT coming AND end > start AND end <= ? ORDER BY seq DESC LIMIT 1",
            (stored(mark.folder), mark.processor, mark.device, mark.inode, mark.length),
        ).fetchone()
        return Place(*row) if row is not None else None

    def accept(self) -> None:
        """Take note that what was put is durable."""
        self._in_doubt = False

    def forget(self) -> None:
        """Read anew from the database what is remembered of it; what is frozen stays so."""
        frozen = {key: tail for key, tail in self._tails.items() if tail.is_frozen}
        self._tails.clear()
        self._bytes = -1
        self._in_doubt = False
        for key, before in frozen.items():
            tail = self._tail(SinkMark(key[0], key[1], 0, key[2], key[3]))
            tail.cuts, tail.is_frozen = before.cuts, True

    def forget_all(self) -> None:
        """Read everything anew, what is frozen too: other accounts have taken the place of some."""
        self._tails.clear()
        self.forget()

    def freeze(self, mark: SinkMark) -> tuple[int, int, int]:
        """Pack no rows of a file until `thaw`; return its number, the last row's, and how often it was cut."""
        if self._in_doubt:
            self.forget()
        tail = self._tail(mark)
        tail.is_frozen = True
        return tail.id, tail.next_seq - 1, tail.cuts

    def cuts(self, mark: SinkMark) -> int:
        """Return how often a file turned out to be shorter than what is known to lie in it."""
        if self._in_doubt:
            self.forget()
        return self._tail(mark).cuts

    def thaw(self, mark: SinkMark) -> None:
        """Let a file's rows be packed again."""
        tail = self._tails.get((mark.folder, mark.processor, mark.device, mark.inode))
        if tail is not None:  # another account may have taken its place
            tail.is_frozen = False

    def expire(self, now: int) -> int:
        """Drop what is older than is kept, and files of which nothing is left; return how many rows and packs."""
        if any(tail.is_frozen for tail in self._tails.values()):
            return 0  # they are being read; the next time will do
        before = now - self.keep.days * DAY_MS
        dropped = self._db.execute("DELETE FROM packs WHERE newest < ?", (before,)).rowcount
        dropped += self._db.execute("DELETE FROM places WHERE at < ?", (before,)).rowcount
        self._db.execute(
            "DELETE FROM sink_files WHERE NOT coming AND id NOT IN (SELECT file FROM packs)"
            " AND id NOT IN (SELECT file FROM places) AND NOT EXISTS (SELECT 1 FROM sinks"
            " WHERE sinks.device = sink_files.device AND sinks.inode = sink_files.inode)"
        )
        self.forget()
        return dropped

    def _tail(self, mark: SinkMark) -> _Tail:
        key = mark.folder, mark.processor, mark.device, mark.inode
        tail = self._tails.get(key)
        if tail is None:
            tail = self._tails[key] = self._read_tail(mark)
        return tail

    def _read_tail(self, mark: SinkMark) -> _Tail:
        row = self._db.execute(
            "SELECT id FROM sink_files WHERE folder = ? AND processor = ? AND device = ? AND inode = ? AND NOT coming",
            (stored(mark.folder), mark.processor, mark.device, mark.inode),
        ).fetchone()
        if row is None:
            cursor = self._db.execute(
                "INSERT INTO sink_files (folder, processor, device, inode, base) VALUES (?, ?, ?, ?, ?)",
                (stored(mark.folder), mark.processor, mark.device, mark.inode, mark.length),
            )
            assert cursor.lastrowid is not None
            return _Tail(cursor.lastrowid, 0, 0, 0)
        seq, end, fine = self._db.execute(
            "SELECT ifnull(max(seq), -1), ifnull(max(end), 0), count(*) FROM places WHERE file = ?", row
        ).fetchone()
        (packed,) = self._db.execute("SELECT ifnull(max(end), 0) FROM packs WHERE file = ?", row).fetchone()
        return _Tail(row[0], seq + 1, max(end, packed), fine)

    def _insert(self, tail: _Tail, rows: Sequence[Place]) -> None:
        self._db.executemany(
            "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(tail.id, seq, *row) for seq, row in enumerate(rows, start=tail.next_seq)],
        )
        tail.next_seq += len(rows)
        tail.fine += len(rows)
        tail.end = rows[-1].end
        self._bytes = self._size() + ROW_BYTES * len(rows)

    def _cut(self, tail: _Tail, length: int) -> None:
        """Drop what lay beyond `length`: somebody has cut the file, and what comes now lies in its place."""
        self._db.execute("DELETE FROM places WHERE file = ? AND end > ?", (tail.id, length))
        beyond = self._db.execute("SELECT id, body FROM packs WHERE file = ? AND end > ?", (tail.id, length)).fetchall()
        for pack_id, body in beyond:
            self._db.execute("DELETE FROM packs WHERE id = ?", (pack_id,))
            if rows := [row for row in unpack(body) if row.end <= length]:
                put_pack(self._db, tail.id, rows)
        (tail.fine,) = self._db.execute("SELECT count(*) FROM places WHERE file = ?", (tail.id,)).fetchone()
        tail.end = length
        tail.cuts += 1
        self._bytes = -1

    def _pack(self, tail: _Tail) -> None:
        seqs, rows = self._oldest(tail.id)
        self._db.execute("DELETE FROM places WHERE file = ? AND seq <= ?", (tail.id, seqs[-1]))
        size = put_pack(self._db, tail.id, joined(rows))
        tail.fine -= len(rows)
        self._bytes = self._size() + size - ROW_BYTES * len(rows)

    def _oldest(self, file: int) -> tuple[list[int], list[Place]]:
        found = self._db.execute(
            "SELECT * FROM places WHERE file = ? ORDER BY seq LIMIT ?", (file, PACK_ROWS)
        ).fetchall()
        return [row[1] for row in found], [Place(*row[2:]) for row in found]

    def _size(self) -> int:
        """Return about how many bytes of the database all of it takes."""
        if self._bytes < 0:
            rows, bodies = self._db.execute(
                "SELECT (SELECT count(*) FROM places), (SELECT ifnull(sum(length(body) + ?), 0) FROM packs)",
                (PACK_BYTES,),
            ).fetchone()
            self._bytes = rows * ROW_BYTES + bodies
        return self._bytes

    def _drop_beyond(self, most_bytes: int) -> None:
        """Drop the oldest packs until the rest fits; where there are only rows, the oldest of these."""
        if any(tail.is_frozen for tail in self._tails.values()):
            return  # they are being read; then all that is too much goes at once
        while self._size() > most_bytes:
            oldest = self._db.execute("SELECT id, length(body) FROM packs ORDER BY id LIMIT 1").fetchone()
            if oldest is not None:
                self._db.execute("DELETE FROM packs WHERE id = ?", (oldest[0],))
                self._bytes -= oldest[1] + PACK_BYTES
                continue
            self._db.execute(
                "DELETE FROM places WHERE (file, seq) IN (SELECT file, seq FROM places ORDER BY at, file, seq LIMIT ?)",
                (PACK_ROWS,),
            )
            self._bytes = -1
            for tail in self._tails.values():
                (tail.fine,) = self._db.execute("SELECT count(*) FROM places WHERE file = ?", (tail.id,)).fetchone()


def put_pack(db: sqlite3.Connection, file: int, rows: Sequence[Place]) -> int:
    """Write rows of a file as one pack; return what it takes of the database, in bytes."""
    ready = packed(rows)
    db.execute("INSERT INTO packs VALUES (NULL, ?, ?, ?, ?, ?)", (file, *ready))
    return len(ready[3]) + PACK_BYTES


def packed(rows: Sequence[Place]) -> Packed:
    """Return rows of one file as the columns of a pack."""
    return rows[0].start, rows[-1].end, max(row.at for row in rows), pack(rows)


def files_of(db: sqlite3.Connection, processor: str) -> list[SinkFile]:
    """Return the files that were written of a processor."""
    rows = db.execute(
        "SELECT id, folder, processor, device, inode, base FROM sink_files WHERE processor = ? AND NOT coming",
        (processor,),
    )
    return [SinkFile(*row) for row in rows]


def file_at(db: sqlite3.Connection, device: int, inode: int, processor: str | None = None) -> SinkFile | None:
    """Return what is known of a file, or of a processor's part of one, or None when no sink wrote it."""
    row = db.execute(
        "SELECT id, folder, processor, device, inode, base FROM sink_files WHERE device = ? AND inode = ?"
        " AND (processor = ? OR ? IS NULL) AND NOT coming ORDER BY id DESC LIMIT 1",
        (device, inode, processor, processor),
    ).fetchone()
    return SinkFile(*row) if row else None


def is_coming(db: sqlite3.Connection, device: int, inode: int) -> bool:
    """Tell whether a file is about to take the place of a sink's."""
    found = db.execute("SELECT 1 FROM sink_files WHERE device = ? AND inode = ? AND coming", (device, inode)).fetchone()
    return found is not None


def place_at(db: sqlite3.Connection, file: int, offset: int) -> Place | None:
    """Return the batch whose records the byte at `offset` of a file belongs to, if it is kept."""
    row = db.execute(
        "SELECT * FROM places WHERE file = ? AND start <= ? AND end > ?", (file, offset, offset)
    ).fetchone()
    if row is not None:
        return Place(*row[2:])
    for (body,) in db.execute(
        "SELECT body FROM packs WHERE file = ? AND start <= ? AND end > ?", (file, offset, offset)
    ):
        found = next((place for place in unpack(body) if place.start <= offset < place.end), None)
        if found is not None:
            return found
    return None


def places_of(db: sqlite3.Connection, file: int, last_seq: int = 1 << 62) -> Iterator[Place]:
    """Yield all that is kept of a file up to a row, in the order in which it was written."""
    for (body,) in db.execute("SELECT body FROM packs WHERE file = ? ORDER BY start, end, id", (file,)):
        yield from unpack(body)
    for row in db.execute("SELECT * FROM places WHERE file = ? AND seq <= ? ORDER BY seq", (file, last_seq)):
        yield Place(*row[2:])


def reaches_back_to(db: sqlite3.Connection) -> int | None:
    """Return since when places are kept, in milliseconds since 1970; None when none are."""
    pack_row = db.execute("SELECT body FROM packs ORDER BY id LIMIT 1").fetchone()
    if pack_row is not None:
        return unpack(pack_row[0])[0].at
    oldest: int | None = db.execute("SELECT min(at) FROM places").fetchone()[0]
    return oldest
