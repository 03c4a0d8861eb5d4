"""What the ledger says of sources, sinks and batches."""

from dataclasses import dataclass

from hostd.past import Hold, Past
from hostd.workers.batch import DeadLetter


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a source was read, and how to know it again.

    `fingerprint` is the hash of its first bytes, `marker` that of the bytes just before `offset`.
    """

    offset: int = 0
    fingerprint_length: int = 0
    fingerprint: bytes = b""
    marker_length: int = 0
    marker: bytes = b""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as the ledger knows it."""

    id: int
    name: str
    path: str
    device: int
    inode: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class SinkMark:
    """How long a sink's file is, and which file it is."""

    folder: str
    processor: str
    length: int
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class StreamState:
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


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one batch: bytes `start` to `source.checkpoint.offset` were parsed by one generation.

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
    stream: StreamState | None = None
    taken_over: int | None = None


def as_row(record: Checkpoint | SinkMark | Past | Hold) -> tuple[object, ...]:
    """Return a record's values in the order of its columns."""
    return tuple(stored(getattr(record, name)) for name in record.__slots__)


def stored(value: object) -> object:
    """Return a value as SQLite can hold it. A path need not be UTF-8; `os.fsdecode` gave it lone surrogates then."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value
