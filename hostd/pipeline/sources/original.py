"""The file that a source was read from, found again by what the ledger knows of it: by identity, else by its bytes.

A log that was rotated and packed since is found in its archive. All calls block.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.sources.content import Fingerprinted, Plain
from hostd.pipeline.sources.kinds import KIND_BYTES, DamagedError, Kind, MissingLibraryError, kind_of
from hostd.pipeline.sources.marks import FINGERPRINT_BYTES, is_continued
from hostd.pipeline.sources.memory import list_files
from hostd.pipeline.sources.spool import NOT_KEPT, is_spooled
from hostd.pipeline.sources.unpacking import Unpacking

PIECE_BYTES = 512 << 10
ANY_SIZE = 1 << 62


class Original(Struct, frozen=True):
    """An open file that holds what was read of a source. The caller closes `fd`.

    `content` has those bytes as plugins have seen them: what a packed or UTF-16 file unpacks to.
    """

    path: Path
    fd: int
    content: "Plain | Repeated"


def find_original(row: SourceRow) -> Original | str:
    """Open the file that holds what was read of a source, also after a rename or a rotation that copied or packed it.

    Return why not when there is none: it is gone, rewritten, or may not be read.
    """
    if is_spooled(row):
        return NOT_KEPT
    why = f"{row.path} is gone"
    for path, is_it in _candidates(row):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if is_it:
                why = f"{path} cannot be read: {error.strerror}"
            continue
        problem = "was rewritten, or cut"
        try:
            if (content := holding(fd, row.checkpoint)) is not None:
                return Original(path, fd, content)
        except MissingLibraryError as error:
            problem = f"cannot be unpacked: {error}"
        os.close(fd)
        if is_it:
            why = f"{path} {problem}"
    return why


def holding(fd: int, checkpoint: Checkpoint) -> "Plain | Repeated | None":
    """Return the content of the file open at `fd` if it holds what was read up to `checkpoint`, None if it does not.

    Raises MissingLibraryError where it may, but cannot be unpacked, and OSError.
    """
    plain = Plain(fd)
    if is_continued(checkpoint, plain.read, plain.size()):
        return plain
    kind = kind_of(os.pread(fd, KIND_BYTES, 0), final=True)
    if kind is None or kind is Kind.PLAIN:
        return None
    repeated = Repeated(fd, kind)
    return repeated if is_continued(checkpoint, repeated.read, ANY_SIZE) else None


class Repeated(Fingerprinted):
    """What a packed or UTF-16 file unpacks to, once more. Reading back begins at its start again."""

    def __init__(self, fd: int, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self._fd = fd
        self._pass: Unpacking | None = None
        self._window = bytearray()
        self._start = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer at the end, and before what is damaged."""
        if self._pass is None or offset < self._start:
            self._pass, self._window, self._start = Unpacking(self._fd, self.kind), bytearray(), 0
        while self._start + len(self._window) < offset + length:
            try:
                piece = self._pass.read(PIECE_BYTES)
            except DamagedError:
                break
            if not piece:
                break
            self._window += piece
            spare = min(offset - self._start, len(self._window))
            del self._window[:spare]
            self._start += spare
        return bytes(memoryview(self._window)[offset - self._start :][:length])


def _candidates(row: SourceRow) -> Iterator[tuple[Path, bool]]:
    """Yield where it may be, and whether that is the same file by identity."""
    path, identity = Path(row.path), (row.device, row.inode)
    here = list_files(path.parent)
    if identity in here:
        yield here[identity], True
    if row.checkpoint.fingerprint_length < FINGERPRINT_BYTES:
        return  # too short to tell a copy of it from another file that begins alike
    for other in sorted(here.values()):
        if other.name.startswith(path.name) and here.get(identity) != other:
            yield other, False
