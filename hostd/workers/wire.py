"""What the daemon and a worker say to each other: frames on a stream socket, typed, checked, never pickled.

A frame is a kind (1 byte), the lengths of its two parts (4 bytes each, big endian), a JSON array of the
message's fields, and raw bytes, its body. A large body does not travel through the socket, whose buffer would take
it in many pieces: it lies in a box of the sender's direction, and the kind has `IN_BOX` set.

Both ends refuse a frame over `MAX_FRAME_BYTES`, and the daemon one over what it has asked for: a worker runs foreign
code, and what it sends is input like any other. What the daemon has to look through in one go is bounded, so that
nothing that a worker sends holds up its event loop.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from hostd.workers.box import Box

try:
    from msgspec import json as fast_json
except ImportError:  # an environment of a plugin's own need not have it
    fast_json = None  # type: ignore[assignment]

HEAD = struct.Struct("!BII")
IN_BOX = 0x80
DEPTH = 2
"""How many frames may be under way in one direction; each direction has as many boxes, used in turn."""
LARGE_BYTES = 32 << 10
READ_BYTES = 64 << 10
"""How much is read from a socket at once: mostly all of a frame."""
MAX_FRAME_BYTES = 1 << 30
MAX_FIELDS_BYTES = 64 << 20
MAX_ANSWER_FIELDS_BYTES = 4 << 20
MAX_DEAD = 100
"""How many dead letters one frame carries; before the last of them, `Rejected` frames carry the others."""
MAX_REASON_CHARACTERS = 1000
MAX_TRACE_CHARACTERS = 4000
DOCUMENT_FACTOR = 4
"""How many bytes of records a byte of input may yield, whatever the limit: some documents are large."""
MAX_SAID = 20
MAX_SAID_CHARACTERS = 500


class WireError(Exception):
    """A frame that breaks the protocol."""


class Load(NamedTuple):
    """Daemon to worker: become a worker of this generation. The body is empty."""

    kind: str
    path: str
    digest: str
    display: str
    module: str
    attribute: str
    name: str
    contract: str
    options: dict[str, Any] | None
    framing: list[Any]
    samples: list[Any]
    memory_mib: int
    output_mib: int
    source_field: str
    snapshot_kib: int


class Loaded(NamedTuple):
    """Worker to daemon: the processor stands and its samples passed."""


class Broken(NamedTuple):
    """Worker to daemon: the generation cannot serve. `where` is `file` or `file:line`."""

    where: str
    problem: str
    remedy: str


class Parse(NamedTuple):
    """Daemon to worker: parse the body, which is the source's header and then the batch.

    The answer has `token` in it, so that nothing else is taken for it, and a body of `most_bytes` at most. With
    `blocks` there may be blocks of columns among its lines. With `part_bytes` it is of lines, and parsed in parts of so
    many bytes, each with the time and the output of a batch.
    """

    source: str
    offset: int
    header_length: int
    time_s: float
    most_bytes: int
    token: int
    blocks: bool
    part_bytes: int


class Parsed(NamedTuple):
    """Worker to daemon: the records of a batch, as JSON lines in the body, or as `Parse` asks for them.

    `dead` holds `[start, length, reason, traceback]`, in bytes of the batch, in order and apart from each other;
    `said` holds `[level, message]`; `mute` counts what was said beyond the limit.
    """

    records: int
    dead: list[list[Any]]
    said: list[list[str]]
    mute: int
    token: int


class Alive(NamedTuple):
    """Worker to daemon: a failing batch is being cut further; the deadline starts anew."""


class Rejected(NamedTuple):
    """Worker to daemon: dead letters of a batch, ahead of its `Parsed`."""

    dead: list[list[Any]]


class Crowded(NamedTuple):
    """Worker to daemon: the parts of a long batch yield more than one answer may; none of it is kept."""

    token: int


class Spent(NamedTuple):
    """Worker to daemon: this process can parse no more; a fresh one may."""

    reason: str


class Feed(NamedTuple):
    """Daemon to worker: feed a stream. The body is its snapshot, the bytes before, and then its next bytes.

    `state_length` is -1 for a stream that begins. The rest is as in `Parse`.
    """

    source: str
    offset: int
    stream: int
    state_length: int
    before_length: int
    final: bool
    time_s: float
    most_bytes: int
    token: int


class Fed(NamedTuple):
    """Worker to daemon: what a stream made of a `Feed`. The body is JSON lines, and the last bytes the new snapshot.

    As in `Parsed`; but the places of dead letters count from the first of the bytes before.
    """

    records: int
    dead: list[list[Any]]
    said: list[list[str]]
    mute: int
    token: int
    state_length: int


class Unfed(NamedTuple):
    """Worker to daemon: a stream could not be opened with its snapshot, or not be fed."""

    at_open: bool
    reason: str
    traceback: str
    token: int


Message = Load | Loaded | Broken | Parse | Parsed | Alive | Rejected | Spent | Feed | Fed | Unfed | Crowded
_KINDS: tuple[type[Any], ...] = (Load, Loaded, Broken, Parse, Parsed, Alive, Rejected, Spent, Feed, Fed, Unfed, Crowded)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_CHECKS: dict[type[Any], tuple[type | tuple[type, ...], ...]] = {
    Load: (str, str, str, str, str, str, str, str, (dict, type(None)), list, list, int, int, str, int),
    Loaded: (),
    Broken: (str, str, str),
    Parse: (str, int, int, (int, float), int, int, bool, int),
    Parsed: (int, list, list, int, int),
    Alive: (),
    Rejected: (list,),
    Spent: (str,),
    Crowded: (int,),
    Feed: (str, int, int, int, int, bool, (int, float), int, int),
    Fed: (int, list, list, int, int, int),
    Unfed: (bool, str, str, int),
}


def most_output(output_mib: int, length: int) -> int:
    """Return how many bytes of records `length` bytes of input may yield."""
    return max(output_mib << 20, DOCUMENT_FACTOR * length)


def pack(message: Message, body: Sequence[bytes], box: Box) -> tuple[bytes, Sequence[bytes]]:
    """Return a frame's head and fields, and the parts of its body that are to follow them.

    A large body is put into the box, if it is one, and nothing is to follow then.
    """
    fields = _encode(message)
    kind, length = _NUMBERS[type(message)], sum(map(len, body))
    if box.is_there and length >= LARGE_BYTES:
        box.put(body, length)
        kind, body = kind | IN_BOX, ()
    return HEAD.pack(kind, len(fields), length) + fields, body


def unpack_head(
    head: bytes | bytearray, most_fields: int = MAX_FIELDS_BYTES, most_body: int = MAX_FRAME_BYTES
) -> tuple[int, int, int, bool]:
    """Return a frame's kind, the lengths of its fields and body, and whether that is in the box.

    Raises WireError, also for lengths over `most_fields` or `most_body`.
    """
    kind, fields_length, body_length = HEAD.unpack(head)
    in_box = bool(kind & IN_BOX)
    kind &= ~IN_BOX
    if kind >= len(_KINDS) or fields_length > most_fields or body_length > most_body:
        raise WireError(f"a frame of kind {kind} with {fields_length} + {body_length} bytes")
    return kind, fields_length, body_length, in_box


def take(box: Box, length: int) -> bytes:
    """Return a body from a box. Raises WireError when it is not all there."""
    body = box.take(length)
    if len(body) != length:
        raise WireError(f"a body of {length} bytes of which {len(body)} are there")
    return body


def unpack(kind: int, fields: bytes | bytearray | memoryview) -> Message:
    """Return the message of a frame. Raises WireError when its fields are not what its kind declares."""
    cls = _KINDS[kind]
    try:
        values = _decode(bytes(fields))
    except (ValueError, RecursionError) as error:
        raise WireError(f"a {cls.__name__} that is not JSON: {error}") from error
    checks = _CHECKS[cls]
    if not isinstance(values, list) or len(values) != len(checks):
        raise WireError(f"a {cls.__name__} without its {len(checks)} fields")
    for value, check, field in zip(values, checks, cls._fields, strict=True):
        if not isinstance(value, check):
            raise WireError(f"a {cls.__name__} whose {field} is {type(value).__name__}")
    message: Message = cls(*values)
    return message


def _encode(fields: Message) -> bytes:
    if fast_json is not None:
        try:
            return fast_json.encode(fields)
        except (TypeError, ValueError):
            pass  # text with a lone surrogate, or what only the standard library takes
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _decode(fields: bytes) -> Any:
    if fast_json is not None:
        try:
            return fast_json.decode(fields)
        except ValueError:
            pass  # as above; if it is no JSON at all, that is said below
    return json.loads(fields)


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate, which Python and JSON let through, is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_said(parsed: Parsed | Fed) -> list[tuple[str, str]]:
    """Return what a plugin said as tuples. Raises WireError when that, or a count beside it, is none."""
    if not 0 <= parsed.records <= MAX_FRAME_BYTES or parsed.mute < 0 or len(parsed.said) > MAX_SAID + 1:
        raise WireError(f"counts of {parsed.records} records and {len(parsed.said)} + {parsed.mute} lines")
    said: list[tuple[str, str]] = []
    for entry in parsed.said:
        match entry:
            case [str(level), str(message)] if len(level) + len(message) <= 2 * MAX_SAID_CHARACTERS:
                said.append((clean(level), clean(message)))
            case _:
                raise WireError(f"a line {entry!r:.200} that nobody can have said")
    return said


def check_dead(dead: list[list[Any]], size: int, begin: int = 0) -> list[tuple[int, int, str, str]]:
    """Return dead letters as tuples that lie inside a batch of `size` bytes, from `begin` on, none in another.

    Raises WireError.
    """
    if len(dead) > MAX_DEAD:
        raise WireError(f"{len(dead)} dead letters in one frame")
    entries: list[tuple[int, int, str, str]] = []
    for entry in dead:
        match entry:
            case [int(start), int(length), str(reason), str(traceback)] if begin <= start < start + length <= size:
                entries.append((start, length, clean(reason), clean(traceback)))
                begin = start + length
            case _:
                raise WireError(f"a dead letter {entry!r:.200} outside its batch of {size} bytes, or twice in it")
    return entries


class Channel:
    """A worker's end: blocking, one frame at a time."""

    def __init__(self, sock: socket.socket, fds: Sequence[int] = ()) -> None:
        self._sock = sock
        boxes = [Box(fd) for fd in fds or [-1] * (2 * DEPTH)]
        self._inboxes, self._outboxes = boxes[:DEPTH], boxes[DEPTH:]
        self._received = 0
        self._answered = 0
        self._came = bytearray()

    def send(self, message: Message, body: Sequence[bytes] = ()) -> None:
        """Send one frame; blocks until the kernel has it. All but Alive and Rejected answer the oldest question."""
        head, rest = pack(message, body, self._outboxes[self._answered % DEPTH])
        self._answered += not isinstance(message, Alive | Rejected)
        self._sock.sendall(b"".join((head, *rest)))

    def receive(self) -> tuple[Message, bytes] | None:
        """Receive one frame; blocks. Returns None when the other end has gone. Raises WireError."""
        head = self._receive_exactly(HEAD.size)
        if head is None:
            return None
        kind, fields_length, body_length, in_box = unpack_head(head)
        fields = self._receive_exactly(fields_length)
        body = (
            take(self._inboxes[self._received % DEPTH], body_length) if in_box else self._receive_exactly(body_length)
        )
        if fields is None or body is None:
            return None
        self._received += 1
        return unpack(kind, fields), body

    def _receive_exactly(self, length: int) -> bytes | None:
        while len(self._came) < length:
            data = self._sock.recv(max(READ_BYTES, length - len(self._came)))
            if not data:
                return None
            self._came += data
        taken = bytes(self._came[:length])
        del self._came[:length]
        return taken
