"""One file being read as it grows, whatever it is called by now.

A file is known by device and inode, by a fingerprint of its first bytes, and by a marker: the hash of the bytes
just before the checkpoint. Its `content` is what plugins see of it: the file's bytes, or what they unpack to.
"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from contract.framing import Framing
from hostd import events
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.sources.content import Content, NotLoadedError, Plain
from hostd.pipeline.sources.decoders import Decoders
from hostd.pipeline.sources.fifo import Fifo
from hostd.pipeline.sources.kinds import (
    KIND_BYTES,
    SUFFIXES,
    UTF8_BOM,
    Kind,
    MissingLibraryError,
    kind_of,
    unpacks,
)
from hostd.pipeline.sources.marks import FINGERPRINT_BYTES as FINGERPRINT_BYTES
from hostd.pipeline.sources.marks import MARKER_BYTES as MARKER_BYTES
from hostd.pipeline.sources.marks import digest, is_continued
from hostd.pipeline.sources.spool import Spool
from hostd.pipeline.sources.unpacked import HEAD_BYTES, Unpacked

MAX_HEADER_BYTES = 1 << 20
NOTHING_READ = Checkpoint()
ENDED_S = 2.0
"""After how long without a write a file that was moved away or removed counts as ended, and an archive as whole."""
SNIFFED_S = 0.5
"""After how long without a write the first bytes of a file are all that there is to tell its kind by."""
HOLE_BYTES = 64 << 10
"""How many NULs are looked at at once where a file begins with a hole."""
TRAIL = 8
Identify = Callable[["FileSource", bool], Awaitable[float | None]]


def is_continued_by(checkpoint: Checkpoint, fd: int, size: int) -> bool:
    """Tell whether the file open at `fd` holds what was read up to `checkpoint`, and maybe more."""
    return is_continued(checkpoint, Plain(fd).read, size)


@dataclass(slots=True, eq=False)
class FileSource:
    """One open file, or the spool of what was received.

    `reached` is how far it was read, `committed` how far that is accounted for.

    `offset` is where the next read begins; it is past `reached` only when a header, or a hole, was skipped. `path` is a
    string, since a Path holds six times as much and there may be many thousands of them.
    """

    id: int
    name: str
    path: str
    fd: int
    device: int
    inode: int
    processor: str | None = None
    offset: int = 0
    reached: Checkpoint = NOTHING_READ
    committed: Checkpoint = NOTHING_READ
    scanned: int = 0
    """How far was looked, in vain, for the end of a record that is over the limit."""
    too_long: bytes = b""
    """How that record begins."""
    globbed_as: str = ""
    """What plugins' globs are compared with, if that is not its name."""
    is_let_go: bool = False
    """Nothing more of it is to be read: it is about to be closed."""
    moved_away: bool = False
    """The path names another file now, or none: nothing will be appended for long."""
    header: bytes = b""
    partial_line_s: float = 0.0
    decode: bool = True
    decoders: Decoders | None = None
    identify: Identify | None = None
    """Finds out what of this file's plain bytes was read, here or in another; asked before the first of them is."""
    media_type: str = ""
    """What it declares to be, where it does."""
    first: bytes = b""
    """The first bytes of what declares that, where others came before."""
    trouble: str = ""
    """Why it cannot be read at all, or no further."""
    on_committed: Callable[[int], None] = lambda _: None
    """Is told up to where the source is accounted for, each time that this has moved on."""
    content: Content = field(init=False)
    trail: tuple[tuple[int, bytes], ...] = ()
    """Some of the places where reading stopped, with the markers of the bytes before them: the first, and the last."""
    _is_sniffed: bool = False
    _is_identified: bool = False
    copy_of: Copy | None = None
    """What this one is a copy of, and goes on where that was read to."""
    _framed_by: Framing | None = None
    _begin: int = 0
    _hole_end: int = 0

    def __post_init__(self) -> None:
        """Read the file as it is, until its first bytes are looked at."""
        self.content = Plain(self.fd)

    def size(self) -> int:
        """Return the content's size in bytes; where it is not known yet, one more than is known."""
        return self.content.size()

    @property
    def unpacked(self) -> Unpacked | None:
        """The content, if it is not the file's own bytes."""
        return self.content if isinstance(self.content, Unpacked) else None

    @property
    def is_read_in_place(self) -> bool:
        """Whether any of its bytes are had at the same cost."""
        return isinstance(self.content, Plain | Spool)

    @property
    def routed_as(self) -> str:
        """The name that plugins' globs are compared with: that of what is in an archive."""
        name = self.globbed_as or self.name
        if self.unpacked is not None and self.unpacked.kind.is_packed:
            return next((name[: -len(s)] for s in SUFFIXES if name.endswith(s)), name)
        return name

    def is_unpacked(self, *, final: bool) -> bool:
        """Tell whether the file is packed or UTF-16, as far as its first bytes say by now."""
        self._sniff(final=final)
        return self.unpacked is not None

    def stream_from(self, base: int, on_data: Callable[[], None]) -> None:
        """Read the file as a pipe, counting its bytes from `base`."""
        self.content = Fifo(self.fd, base, on_data)
        self.offset, self.reached = base, Checkpoint(base)
        self.committed = self.reached
        self._is_sniffed = self._is_identified = True

    @property
    def is_coming(self) -> bool:
        """Whether it is being received, and its end is not the end of it."""
        return isinstance(self.content, Spool) and self.content.is_open

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for its commit."""
        return isinstance(self.content, Spool) and self.content.is_awaited

    def receive_into(self, spool: Spool, checkpoint: Checkpoint) -> None:
        """Read what is spooled, on from `checkpoint`."""
        self.content = spool
        self.go_on(checkpoint)
        self._is_sniffed = self._is_identified = True

    def idle_for_s(self) -> float:
        """Return for how many seconds nothing was written."""
        if isinstance(self.content, Fifo | Spool):
            return self.content.idle_for_s()
        status, now = os.fstat(self.fd), time.time()
        # A time of modification in the future was set by hand; that of the change of the inode cannot be.
        return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime)

    def has_ended(self) -> bool:
        """Tell whether nothing more will come: the writer has let go of a file that was moved away, or of an archive.

        What is cut short has not ended: its last line is not one.
        """
        archive = self.unpacked is not None and self.unpacked.kind.is_packed
        if archive and not (self.unpacked and self.unpacked.is_sealed):
            return False
        return (self.moved_away or archive) and self.idle_for_s() >= ENDED_S

    def takes_partial_line(self) -> bool:
        """Tell whether the end of a last line has been waited for as long as it is to be."""
        return bool(self.partial_line_s) and self.idle_for_s() >= self.partial_line_s and not self.is_cut_short()

    def whole_in_s(self) -> float | None:
        """Return after how many seconds the last line counts as whole, if it does without an end, and nothing comes."""
        if self.unpacked is not None and self.unpacked.is_sealed:
            return max(0.0, ENDED_S - self.idle_for_s()) + 0.05
        return max(0.0, self.partial_line_s - self.idle_for_s()) + 0.05 if self.partial_line_s else None

    def is_at_rest(self) -> bool:
        """Tell whether it is a plain file, read to its end. Raises OSError."""
        is_plain = self._is_sniffed and isinstance(self.content, Plain)
        return is_plain and self.offset == self.size() and not self.scanned and not self.was_rewritten()

    def is_read(self) -> bool:
        """Tell whether everything was read that will ever be a line: of what is cut short, half a one never will."""
        if self.offset >= self.size() or not self.is_cut_short():
            return self.offset >= self.size()
        try:
            return b"\n" not in self.read(self.offset, self.size() - self.offset)
        except (NotLoadedError, OSError):
            return False  # not as far as can be told; who reads on says why

    def is_cut_short(self) -> bool:
        """Tell whether the last bytes that are there are not the last that were meant to be."""
        return self.unpacked is not None and bool(self.unpacked.damage)

    async def prepare(self, *, final: bool) -> float | None:
        """Find out how the file is to be read, and from where.

        Return None when that is so, else after how many seconds to ask again: infinitely many for "when it changes".
        """
        if not self._is_sniffed:
            wait_s = self._sniff(final=final)
            if wait_s is not None:
                return wait_s
        if not self._is_identified and self.unpacked is not None and self.identify is not None:
            wait_s = await self.identify(self, not final)
            if wait_s is not None:
                return wait_s
        self._is_identified = True
        return None

    def _sniff(self, *, final: bool) -> float | None:
        head = os.pread(self.fd, KIND_BYTES, 0) if self.decode else b"-"
        if not head:
            return math.inf
        kind = kind_of(head, final=final or self.idle_for_s() >= SNIFFED_S)
        if kind is None:
            return SNIFFED_S
        if kind is not Kind.PLAIN:
            try:
                unpacks(kind)
            except MissingLibraryError as error:
                if not self.trouble:
                    self.trouble = str(error)
                    events.emit(events.SOURCE_UNREADABLE, source=self.name, reason=self.trouble)
                return math.inf
            self.decoders = self.decoders or Decoders()
            self.content = Unpacked(self.fd, kind, self.decoders)
            events.emit(events.SOURCE_DECODED, source=self.name, kind=kind.value)
        self.trouble = ""
        self._is_sniffed = True
        return None

    async def load(self, missing: NotLoadedError) -> None:
        """Have what could not be read be readable. Raises OSError."""
        await self.content.load(missing.offset, missing.length)
        await asyncio.sleep(0)  # it may have been too much for one turn, not missing
        self.note_damage()

    def note_damage(self) -> None:
        """Say why there is no more in an archive, once."""
        unpacked = self.unpacked
        if unpacked is not None and unpacked.damage != self.trouble:
            self.trouble = unpacked.damage
            if self.trouble:
                events.emit(events.SOURCE_DAMAGED, source=self.name, offset=unpacked.size(), reason=self.trouble)

    async def read_loaded(self, offset: int, length: int) -> bytes:
        """Return what `read` does, loading it if need be; nothing where it is not there any more."""
        while not self.was_rewritten():
            try:
                return self.read(offset, length)
            except NotLoadedError as missing:
                try:
                    await self.load(missing)
                except OSError:  # whoever reads on finds that too, and says so
                    break
        return b""

    def head(self) -> bytes:
        """Return the content's first bytes, at most `HEAD_BYTES`; those after a hole, if it begins with one.

        Of what is posted these are the first since it was declared to be something else.
        """
        if self.first:
            return self.first
        head = self.read(self._begin, HEAD_BYTES)
        return head if head.strip(b"\0") else self.read(self._find_begin(), HEAD_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end. Raises NotLoadedError."""
        return self.content.read(offset, length)

    def was_rewritten(self) -> bool:
        """Tell whether what was read is not what the file holds now: it was truncated, or written over."""
        return self.content.was_rewritten(self.reached, max(self.offset, self.scanned, self._begin))

    def begin_again(self, new_id: int) -> None:
        """Read the file from its start, as another source for the ledger; unless it turns out to be one it knows."""
        self.id = new_id
        self.content.close()
        self.content = Plain(self.fd)
        self._is_sniffed = self._is_identified = False
        self.trouble = ""
        self._begin = self._hole_end = 0
        self.trail = ()
        self.copy_of = None
        self.rewind(NOTHING_READ)
        self.committed = NOTHING_READ

    def rewind(self, checkpoint: Checkpoint) -> None:
        """Read on from `checkpoint`; its header is looked for again."""
        self.reached = checkpoint
        self.offset = checkpoint.offset
        self.scanned, self.too_long = 0, b""
        self._framed_by = None

    def go_on(self, checkpoint: Checkpoint) -> None:
        """Take what is before `checkpoint` as read, and accounted for."""
        self.rewind(checkpoint)
        self.committed = checkpoint
        self.content.let_go(checkpoint.offset)

    def account_for(self, checkpoint: Checkpoint) -> None:
        """Take note that everything before `checkpoint` is committed."""
        self.committed = checkpoint
        self.on_committed(checkpoint.offset)

    def find_header(self, framing: Framing, *, final: bool) -> bool:
        """Read the header that `framing` declares, once, and skip it; False when it is not all there yet.

        Before it, and before the first line where there is none, a hole is skipped. Raises NotLoadedError.
        """
        if self._framed_by == framing:
            return True
        looks = framing.kind not in ("whole", "stream") and (framing.has_header or not self.reached.offset)
        begin = self._find_begin() if looks else 0
        if not self.reached.offset and self.size() <= begin:
            return False
        if begin > max(self._hole_end, len(UTF8_BOM)):
            self._hole_end = begin
            events.emit(events.SOURCE_HOLE_SKIPPED, source=self.name, offset=begin)
        end = begin
        if framing.has_header:
            found = self._header_end(framing, begin, final=final)
            if found is None:
                return False
            end += found
        self.header, self._framed_by = self.read(begin, end - begin) if end > begin else b"", framing
        self.offset = max(self.reached.offset, end)
        return True

    def _header_end(self, framing: Framing, begin: int, *, final: bool) -> int | None:
        leading = self.read(begin, HEAD_BYTES - begin) if begin < HEAD_BYTES else b""
        end = framing.header_end(leading) if leading else None
        if end is None:
            leading = self.read(begin, MAX_HEADER_BYTES)
            end = framing.header_end(leading, final=final or len(leading) == MAX_HEADER_BYTES)
        return end

    def _find_begin(self) -> int:
        """Return where the text begins: after the NULs that a writer leaves who kept its place in a truncated file.

        Raises NotLoadedError when it was not found within one turn's share.
        """
        if not self._begin and self.read(0, len(UTF8_BOM)) == UTF8_BOM:
            self._begin = len(UTF8_BOM)
        if isinstance(self.content, Plain):
            self._begin = _data_after(self.fd, self._begin)
        content = self.read(self._begin, HOLE_BYTES)
        nuls = len(content) - len(content.lstrip(b"\0"))
        self._begin += nuls
        if not self.reached.offset:
            self.offset = max(self.offset, self._begin)
        if nuls == HOLE_BYTES:
            raise NotLoadedError(self._begin, HOLE_BYTES)
        return self._begin

    def advance(self, end: int, tail: bytes) -> None:
        """Take note that everything before `end` was read; `tail` is what was read just before it."""
        self.reached = self.content.checkpoint(end, tail)
        self.offset = end
        self.scanned, self.too_long = 0, b""
        self.content.let_go(self.committed.offset)
        trail = *self.trail, (end, self.reached.marker)
        self.trail = trail if len(trail) <= TRAIL else (trail[0], *trail[2:])

    def scan(self, start: bytes, position: int) -> None:
        """Take note that a record which begins with `start` goes on to `position` at least."""
        self.too_long, self.scanned = start, position
        self.content.let_go(position)

    def row(self) -> SourceRow:
        """Return what the ledger is to know once everything up to `reached` is accounted for."""
        return SourceRow(self.id, self.name, self.path, self.device, self.inode, self.reached)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self.fd >= 0:
            self.content.close()
            os.close(self.fd)
            self.fd = -1


def _data_after(fd: int, offset: int) -> int:
    """Return where the next bytes are that the file system has stored, or `offset` where it does not say."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError:
        return offset


__all__ = ["ENDED_S", "FINGERPRINT_BYTES", "HEAD_BYTES", "MARKER_BYTES", "FileSource", "digest", "is_continued_by"]
