"""A packed or UTF-16 file's plain bytes, of which a window is in memory: it moves on as they are read.

Threads unpack; the event loop never does. What lies before the window is unpacked again from the file's start,
which is rare: a start of hostd, or a batch that comes back to be read again.
"""

import asyncio
import os
import threading

from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.sources.content import Fingerprinted, NotLoadedError
from hostd.pipeline.sources.decoders import Decoders
from hostd.pipeline.sources.kinds import DamagedError, Kind
from hostd.pipeline.sources.marks import FINGERPRINT_BYTES, MARKER_BYTES, digest, is_continued
from hostd.pipeline.sources.unpacking import Unpacking
from hostd.pipeline.sources.zipped import UnsuitableError
from hostd.workers.batch import BEFORE_BYTES

STEP_BYTES = 512 << 10
"""How much is unpacked at once: a thread's work of some ten milliseconds."""
HEAD_BYTES = 8192


class Unpacked(Fingerprinted):
    """The plain bytes of the file open at `fd`. `damage` says why there are no more, if they end too early.

    `is_stale` says that the file was written over since: what was made of it may not be what it holds now.
    """

    def __init__(self, fd: int, kind: Kind, decoders: Decoders) -> None:
        super().__init__()
        self.kind = kind
        self.damage = ""
        self.is_stale = False
        self._fd = fd
        self._decoders = decoders
        self._pass: Unpacking | None = None
        self._packed = Checkpoint()
        self._head = b""
        self._window = bytearray()
        self._start = 0
        self._keep_from = 0
        self._made = 0
        self._end_of: tuple[int, int] | None = None
        self._is_cut_short = False
        self._lock = threading.Lock()

    @property
    def is_at_end(self) -> bool:
        """Tell whether all that the file holds now was unpacked."""
        return self._end_of is not None and self._end_of == self._version()

    @property
    def is_sealed(self) -> bool:
        """Tell whether it is an archive that was unpacked to its end, and is whole."""
        return self.kind.is_packed and self.is_at_end and not self.damage

    def size(self) -> int:
        """Return how many bytes were made so far; one more while there is more to unpack."""
        return self._made if self.is_at_end else self._made + 1

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end. Raises NotLoadedError."""
        if offset + length <= len(self._head) or (self._made <= len(self._head) and self.is_at_end):
            return self._head[offset : offset + length]
        if not self._holds(offset, length):
            raise NotLoadedError(offset, length)
        first = offset - self._start
        return bytes(memoryview(self._window)[first : first + length])

    async def load(self, offset: int, length: int) -> None:
        """Unpack until these bytes are in the window, or it `is_stale`. Raises OSError."""
        if not self.kind.is_packed:
            await self._unpack(offset, length)
            return
        async with self._decoders.use(self):
            await self._unpack(offset, length)
        if self.is_at_end and not self._is_cut_short:
            self.rest()

    async def _unpack(self, offset: int, length: int) -> None:
        while not self.is_stale and not self._holds(offset, length):
            await asyncio.to_thread(self._step, offset)

    def was_rewritten(self, reached: Checkpoint, looked_at: int) -> bool:  # noqa: ARG002
        """Tell whether the file was written over: what was made of it is to be compared again."""
        return self.is_stale

    def let_go(self, committed: int) -> None:
        """Keep nothing before `committed` but its marker, and what a stream is told of it again."""
        self._keep_from = max(0, committed - max(MARKER_BYTES, BEFORE_BYTES))
        if not self._lock.locked():
            self._trim(self._keep_from)

    def rest(self) -> None:
        """Give the decoder back. Where it was between two members, it goes on there; else from the start."""
        self._decoders.give_back(self)
        if self._pass is not None and self._pass.is_inside_a_member:
            self._pass = None

    def seal(self) -> bytes:
        """Return how to know the packed bytes again; archives end with a sum of all that is in them."""
        size = os.fstat(self._fd).st_size
        first = self._read_packed(0, FINGERPRINT_BYTES)
        last = self._read_packed(max(0, size - MARKER_BYTES), MARKER_BYTES)
        return digest(b"%d:%b:%b" % (size, first, last))

    def skip(self, made: int) -> None:
        """Take the whole file as unpacked before: `made` bytes."""
        self._made = self._start = made
        self._window.clear()
        self._end_of = self._version()
        size = os.fstat(self._fd).st_size
        self._note_packed(size)

    def close(self) -> None:
        """Give up what is held. Waits for the thread, if one is at it."""
        with self._lock:
            self._decoders.give_back(self)
            self._pass = None
            self._window.clear()
            self._fd = -1

    def _holds(self, offset: int, length: int) -> bool:
        end = self._start + len(self._window)
        return offset >= self._start and (offset + length <= end or self.is_at_end)

    def _step(self, offset: int) -> None:
        """Unpack a little more, towards `offset`. Runs in a thread."""
        with self._lock:
            if self._fd < 0:
                raise OSError("the file was closed")
            version = self._version()
            if self._packed.offset and not is_continued(self._packed, self._read_packed, version[0]):
                self.is_stale = True
                return
            if self.damage and not self._is_cut_short and version != self._end_of:
                self.is_stale = True  # other bytes where it was damaged: nothing of it can be relied on
                return
            if self._pass is None or offset < self._start or self._pass.made != self._start + len(self._window):
                self._pass = Unpacking(self._fd, self.kind)
                self._window, self._start = bytearray(), 0
            plain = self._make(self._pass)
            self._note_packed(self._pass.consumed)
            self._end_of = version if not plain else None
            self._trim(min(self._keep_from, offset))

    def _make(self, pass_: Unpacking) -> bytes:
        """Have the pass go on, and append what it makes to the window."""
        before = pass_.made
        try:
            plain = pass_.read(STEP_BYTES)
        except DamagedError as error:
            self.damage = str(error) if isinstance(error, UnsuitableError) else f"it is damaged: {error}"
            self._is_cut_short, plain = False, b""
        else:
            self._is_cut_short = not plain and pass_.cut_short
            self.damage = "it ends too early" if self._is_cut_short else ""
        self._window += plain
        self._made = max(self._made, pass_.made)
        if before == len(self._head):
            self._head += plain[: HEAD_BYTES - before]
        return plain

    def _trim(self, keep_from: int) -> None:
        spare = min(keep_from - self._start, len(self._window))
        if spare > 0:
            del self._window[:spare]
            self._start += spare

    def _note_packed(self, consumed: int) -> None:
        """Take note of the packed bytes that were read, as the checkpoint of a plain file does."""
        first = self._read_packed(0, min(FINGERPRINT_BYTES, consumed))
        length = min(MARKER_BYTES, consumed)
        last = self._read_packed(consumed - length, length)
        self._packed = Checkpoint(consumed, len(first), digest(first), len(last), digest(last))

    def _read_packed(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def _version(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_size, status.st_mtime_ns
