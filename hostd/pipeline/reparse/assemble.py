"""The file that takes a sink's place: what others made copied as it is, what one generation made replaced.

And its account: which batch's records lie where in it.
"""

import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from hostd.pipeline.ledger import SinkMark
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.packing import Place
from hostd.pipeline.ledger.places import PACK_ROWS, Packed, packed
from hostd.pipeline.ledger.reader import Reader
from hostd.pipeline.reparse.plan import Plan, Target, rows_of
from hostd.pipeline.sinks.rewrite import MovedError, create

COPY_BYTES = 1 << 20


class StoppedError(Exception):
    """The daemon stops, or whoever asked for it does not want it any more."""


class Spool(Struct):
    """The new records, in the order in which they were made, and which of them came of which bytes."""

    fd: int
    length: int = 0
    pieces: dict[int, list[Place]] = field(default_factory=dict)

    def add(self, place: Place, lines: bytes | bytearray) -> None:
        """Append records; `place` says where they begin. Blocks."""
        self.pieces.setdefault(place.source, []).append(place)
        write_all(self.fd, lines, place.start)
        self.length = place.end

    def made_of(self, row: Place) -> list[Place]:
        """Return what came of the bytes that begin within those of a batch."""
        pieces = self.pieces.get(row.source, [])
        first = bisect_left(pieces, row.begin, key=lambda piece: piece.begin)
        last = bisect_left(pieces, row.until, key=lambda piece: piece.begin)
        return pieces[first:last]


class Assembled(Struct):
    """A new file up to what was frozen, or none (`fd` < 0), and the accounts that go with it."""

    target: Target
    fd: int = -1
    mark: SinkMark | None = None
    copied: int = 0
    length: int = 0
    records: int = 0
    file_rows: list[Packed] = field(default_factory=list)
    nowhere_rows: list[Packed] = field(default_factory=list)

    @property
    def shift(self) -> int:
        """By how many bytes what follows has moved."""
        return self.length - self.copied


def assemble(reader: Reader, plan: Plan, target: Target, spool: Spool, stop: threading.Event) -> Assembled:
    """Write the new file of one target. Raises OSError, MovedError, StoppedError; nothing is left of it then."""
    held = target.held
    made = Assembled(target)
    homeless, kept = _nowhere(reader, plan, target, spool)
    made.nowhere_rows = _packs(kept)
    if not target.has_file and not homeless:
        return made
    old = -1
    try:
        if held.file.mark.inode:
            old = os.open(held.path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(old)
            if (status.st_dev, status.st_ino) != (held.file.mark.device, held.file.mark.inode):
                raise MovedError
        elif identity(held.path) is not None:
            raise MovedError
        held.path.parent.mkdir(parents=True, exist_ok=True)
        made.fd = create(held.path, old if old >= 0 else None)
        made.file_rows = _packs(_Writer(made, old, spool, stop).write(reader, plan, homeless))
        os.fsync(made.fd)
        status = os.fstat(made.fd)
        made.mark = SinkMark(held.file.mark.folder, held.file.mark.processor, made.length, status.st_dev, status.st_ino)
    except BaseException:
        if made.fd >= 0:
            os.close(made.fd)
        raise
    finally:
        if old >= 0:
            os.close(old)
    return made


def _nowhere(reader: Reader, plan: Plan, target: Target, spool: Spool) -> tuple[list[Place], list[Place]]:
    """Return the new records of batches that had none, and the rows of the batches that have none still."""
    homeless: list[Place] = []
    kept: list[Place] = []
    taken: set[tuple[int, int]] = set()
    for row in rows_of(reader, target.held.nowhere):
        if not plan.replaces(row):
            kept.append(row)
            continue
        for piece in spool.made_of(row):
            if (piece.source, piece.begin) not in taken:
                taken.add((piece.source, piece.begin))
                (homeless if piece.records else kept).append(piece if piece.records else piece.moved(0))
    return homeless, kept


class _Writer:
    """Writes one new file from its start, and yields its rows."""

    def __init__(self, made: Assembled, old: int, spool: Spool, stop: threading.Event) -> None:
        self._made = made
        self._old = old
        self._spool = spool
        self._stop = stop
        self._taken: set[tuple[int, int]] = set()

    def write(self, reader: Reader, plan: Plan, homeless: Iterable[Place]) -> Iterator[Place]:
        made, account = self._made, self._made.target.held.file
        if not account.mark.inode:
            yield from self._put(homeless)
            return
        self._copy_up_to(made.target.base)
        yield from self._put(homeless)
        for row in rows_of(reader, account):
            self._copy_up_to(row.start)
            if made.target.has_file and plan.replaces(row):
                made.copied = row.end
                yield from self._put(self._spool.made_of(row))
            else:
                start = made.length
                self._copy_up_to(row.end)
                yield row.moved(start)
        self._copy_up_to(account.mark.length)

    def _put(self, pieces: Iterable[Place]) -> Iterator[Place]:
        made = self._made
        for piece in pieces:
            if (piece.source, piece.begin) in self._taken:
                continue
            self._taken.add((piece.source, piece.begin))
            start = made.length
            copy(self._spool.fd, piece.start, made.fd, start, piece.end - piece.start, self._stop)
            made.length += piece.end - piece.start
            made.records += piece.records
            yield piece.moved(start)

    def _copy_up_to(self, end: int) -> None:
        made = self._made
        if end > made.copied:
            copy(self._old, made.copied, made.fd, made.length, end - made.copied, self._stop)
            made.length += end - made.copied
            made.copied = end


def copy(source: int, start: int, target: int, at: int, count: int, stop: threading.Event) -> None:
    """Copy `count` bytes between files. Raises OSError, also where there are fewer, and StoppedError."""
    while count:
        if stop.is_set():
            raise StoppedError
        chunk = os.pread(source, min(COPY_BYTES, count), start)
        if not chunk:
            raise OSError("the file is shorter than it was: somebody has cut it")
        write_all(target, chunk, at)
        start, at, count = start + len(chunk), at + len(chunk), count - len(chunk)


def write_all(fd: int, content: bytes | bytearray, at: int) -> None:
    """Write all of `content` at a place. Raises OSError."""
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _packs(rows: Iterable[Place]) -> list[Packed]:
    packs: list[Packed] = []
    waiting: list[Place] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == PACK_ROWS:
            packs.append(packed(waiting))
            waiting = []
    if waiting:
        packs.append(packed(waiting))
    return packs
