"""What goes to a worker, and what comes of it."""

from collections.abc import Sequence

from msgspec import Struct

BEFORE_BYTES = 64 << 10
"""How much of what a stream was fed earlier goes along with a piece at most, to find in it what the stream rejects."""


class _Wish(Struct, frozen=True, kw_only=True):
    """How records may come: as JSON lines, or with blocks of columns among them (`hostd.workers.block`)."""

    blocks: bool = False
    part_bytes: int = 0
    """Of how many bytes the parts are in which a worker parses a long batch of lines; 0 where it is no such."""


class Batch(_Wish, frozen=True):
    """A run of whole records' bytes from one source. `offset` and sizes in bytes."""

    source: str
    offset: int
    header: bytes
    data: bytes


class Piece(Batch, frozen=True):
    """The next bytes of a stream, cut anywhere, and the snapshot that belongs to the place before them.

    `stream` tells one stream from all others. `state` None begins it. `before` are the bytes just before `data`, as
    many as the stream may still hold some of. `final` says that the source ends after it.
    """

    stream: int
    state: bytes | None
    before: bytes = b""
    final: bool = False


class DeadLetter(Struct, frozen=True):
    """Input that a generation could not parse, kept with the reason. `offset` is its place in the source.

    `length` is that of all of it, where `raw` is only its start, and 0 otherwise.
    """

    offset: int
    raw: bytes
    reason: str
    traceback: str
    length: int = 0


class Yield(Struct, frozen=True):
    """What came of a batch: its records as JSON lines, with blocks among them if it says so, and its dead letters.

    `state` is the snapshot after a piece of a stream.
    """

    records: int
    lines: bytes | bytearray
    dead: tuple[DeadLetter, ...] = ()
    said: tuple[tuple[str, str], ...] = ()
    state: bytes | None = None


def join(parts: Sequence[Yield]) -> Yield:
    """Return what the parts of a batch yield as one."""
    return Yield(
        records=sum(part.records for part in parts),
        lines=b"".join(part.lines for part in parts),
        dead=tuple(letter for part in parts for letter in part.dead),
        said=tuple(line for part in parts for line in part.said),
    )


class UnfedError(Exception):
    """A stream that could not take a piece, in a worker that lives on.

    `at_open` says that it could not even be opened with the snapshot.
    """

    def __init__(self, reason: str, traceback: str, *, at_open: bool) -> None:
        self.reason = reason
        self.traceback = traceback
        self.at_open = at_open
        super().__init__(reason)
