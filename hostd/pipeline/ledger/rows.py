"""What the ledger says of sources, sinks and batches."""

from msgspec import Struct
from msgspec.structs import astuple

from hostd.past import Hold, Past
from hostd.workers.batch import DeadLetter


class Checkpoint(Struct, frozen=True):
    """How far a source was read, and how to know it again.

    `fingerprint` is the hash of its first bytes, `marker` that of the bytes just before `offset`.
    """

    offset: int = 0
    fingerprint_length: int = 0
    fingerprint: bytes = b""
    marker_length: int = 0
    marker: bytes = b""


class SourceRow(Struct, frozen=True):
    """A source as the ledger knows it."""

    id: int
    name: str
    path: str
    device: int
    inode: int
    checkpoint: Checkpoint


class SinkMark(Struct, frozen=True):
    """How long a sink's file is, and which file it is."""

    folder: str
    processor: str
    length: int
    device: int
    inode: int


class StreamState(Struct, frozen=True):
    """What a stream needs to go on from `offset`: the snapshot there, and the generation that made it.

    `ended` says that it has been told that its source ends there. From the origin on, an earlier offset and the
    snapshot there, its last record can be found again.
    """

    plugin: str
    generation: int
    offset: int
    state: bytes
    ended: bool
    origin_offset: int
    origin_state: bytes | None


class Copy(Struct, frozen=True):
    """A file that turned out to be a copy of `original`, the number of a source, up to where that was read.

    With `is_left` the original itself is not read to its end any more: it holds something else by now, or is gone.
    """

    original: int
    is_left: bool


class Result(Struct, frozen=True):
    """What became of one batch: bytes `start` to `source.checkpoint.offset` were parsed by one generation.

    `header` and `framing` are what its dead letters are parsed again with; they matter only where there are any.
    `stream` is the state after a piece of a stream; `taken_over` is the source whose stream it goes on with, if that is
    another: this one is a copy of it.
    """

    source: SourceRow
    start: int
    plugin: str
    generation: int
    records: int
    lines: bytes | bytearray
    dead: tuple[DeadLetter, ...]
    header: bytes = b""
    framing: str = ""
    stream: StreamState | None = None
    taken_over: int | None = None

    @property
    def span(self) -> tuple[int, int, int]:
        """Which bytes of which source it is about: the source's number, from, and up to."""
        return self.source.id, self.start, self.source.checkpoint.offset


class Letter(Struct, frozen=True):
    """A dead letter as the ledger keeps it: `raw` may be only the start of its `length` bytes.

    `header` is None where it is not known, which is so for letters of an older hostd. `tried` is the last generation
    that could not even try to parse it again, and `note` says why. `digest` is the hash of all of it where that is not
    kept, if it was at hand.
    """

    id: int
    source: int
    name: str
    offset: int
    length: int
    raw: bytes
    plugin: str
    generation: int
    reason: str
    traceback: str
    at: str
    digest: bytes
    header: bytes | None
    framing: str
    tried: int
    note: str

    @property
    def end(self) -> int:
        """Where it ends in its source."""
        return self.offset + self.length

    @property
    def is_cut(self) -> bool:
        """Tell whether only its start is kept."""
        return len(self.raw) < self.length


class Replay(Struct, frozen=True):
    """What became of dead letters that lie side by side when another generation took them, parsed as one batch.

    `dead` is what it rejected of them. With a `note` it could not take them at all, and nothing came of it.
    """

    plugin: str
    generation: int
    records: int
    lines: bytes | bytearray
    letters: tuple[Letter, ...]
    dead: tuple[DeadLetter, ...] = ()
    note: str = ""
    header: bytes = b""
    framing: str = ""

    @property
    def span(self) -> tuple[int, int, int]:
        """Which bytes of which source it is about: the source's number, from, and up to."""
        return self.letters[0].source, self.letters[0].offset, self.letters[-1].end


def as_row(record: Checkpoint | SinkMark | Past | Hold) -> tuple[object, ...]:
    """Return a record's values in the order of its columns."""
    return tuple(map(stored, astuple(record)))


def stored(value: object) -> object:
    """Return a value as SQLite can hold it. A path need not be UTF-8; `os.fsdecode` gave it lone surrogates then."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value
