"""What goes to a worker, and what comes of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of whole records' bytes from one source. `offset` and sizes in bytes."""

    source: str
    offset: int
    header: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Input that a generation could not parse, kept with the reason. `offset` is its place in the source.

    `length` is that of all of it, where `raw` is only its start, and 0 otherwise.
    """

    offset: int
    raw: bytes
    reason: str
    traceback: str
    length: int = 0


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of a batch: its records as JSON lines, and its dead letters."""

    records: int
    lines: bytes | bytearray
    dead: tuple[DeadLetter, ...] = ()
    said: tuple[tuple[str, str], ...] = ()
