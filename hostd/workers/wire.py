"""What the daemon and a worker say to each other: frames on a stream socket, typed, checked, never pickled.

A frame is a kind (1 byte), the lengths of its two parts (4 bytes each, big endian), a JSON array of the
message's fields, and raw bytes. Both ends refuse a frame over `MAX_FRAME_BYTES`: a worker runs foreign code,
and what it sends is input like any other.
"""

import json
import socket
import struct
from typing import Any, NamedTuple

HEAD = struct.Struct("!BII")
MAX_FRAME_BYTES = 1 << 30


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
    options: dict[str, Any] | None
    framing: list[Any]
    samples: list[Any]
    memory_mib: int
    source_field: str


class Loaded(NamedTuple):
    """Worker to daemon: the processor stands and its samples passed."""

    ms: float


class Broken(NamedTuple):
    """Worker to daemon: the generation cannot serve. `where` is `file` or `file:line`."""

    where: str
    problem: str
    remedy: str
    traceback: str


class Parse(NamedTuple):
    """Daemon to worker: parse the body, which is the source's header and then the batch."""

    source: str
    offset: int
    header_length: int
    time_s: float


class Parsed(NamedTuple):
    """Worker to daemon: the records of a batch, as JSON lines in the body.

    `dead` holds `[start, length, reason, traceback]`, in bytes of the batch; `said` holds `[level, message]`;
    `mute` counts what was said beyond the limit.
    """

    records: int
    dead: list[list[Any]]
    said: list[list[str]]
    mute: int


class Alive(NamedTuple):
    """Worker to daemon: a failing batch is being cut further; the deadline starts anew."""

    attempts: int


Message = Load | Loaded | Broken | Parse | Parsed | Alive
_KINDS: tuple[type[Any], ...] = (Load, Loaded, Broken, Parse, Parsed, Alive)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_CHECKS: dict[type[Any], tuple[type | tuple[type, ...], ...]] = {
    Load: (str, str, str, str, str, str, str, (dict, type(None)), list, list, int, str),
    Loaded: ((int, float),),
    Broken: (str, str, str, str),
    Parse: (str, int, int, (int, float)),
    Parsed: (int, list, list, int),
    Alive: (int,),
}


def pack(message: Message, body_length: int = 0) -> bytes:
    """Return the bytes that precede a frame's body."""
    fields = json.dumps(message, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return HEAD.pack(_NUMBERS[type(message)], len(fields), body_length) + fields


def unpack_head(head: bytes | bytearray) -> tuple[int, int, int]:
    """Return a frame's kind and the lengths of its fields and body. Raises WireError."""
    kind, fields_length, body_length = HEAD.unpack(head)
    if kind >= len(_KINDS) or fields_length + body_length > MAX_FRAME_BYTES:
        raise WireError(f"a frame of kind {kind} with {fields_length} + {body_length} bytes")
    return kind, fields_length, body_length


def unpack(kind: int, fields: bytes | bytearray | memoryview) -> Message:
    """Return the message of a frame. Raises WireError when its fields are not what its kind declares."""
    cls = _KINDS[kind]
    try:
        values = json.loads(bytes(fields))
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


def check_dead(dead: list[list[Any]], size: int) -> list[tuple[int, int, str, str]]:
    """Return a `Parsed.dead` as tuples that lie inside a batch of `size` bytes. Raises WireError."""
    entries: list[tuple[int, int, str, str]] = []
    for entry in dead:
        match entry:
            case [int(start), int(length), str(reason), str(traceback)] if 0 <= start <= start + length <= size:
                entries.append((start, length, reason, traceback))
            case _:
                raise WireError(f"a dead letter {entry!r:.200} outside its batch of {size} bytes")
    return entries


def send(sock: socket.socket, message: Message, body: bytes = b"") -> None:
    """Send one frame; blocks until the kernel has it."""
    head = pack(message, len(body))
    sent = sock.sendmsg([head, body])
    if sent < len(head):
        sock.sendall(head[sent:])
        sent = len(head)
    if sent - len(head) < len(body):
        sock.sendall(memoryview(body)[sent - len(head) :])


def receive(sock: socket.socket) -> tuple[Message, bytearray] | None:
    """Receive one frame; blocks. Returns None when the other end has gone. Raises WireError."""
    head = _receive_exactly(sock, HEAD.size)
    if head is None:
        return None
    kind, fields_length, body_length = unpack_head(head)
    fields = _receive_exactly(sock, fields_length)
    body = _receive_exactly(sock, body_length)
    if fields is None or body is None:
        return None
    return unpack(kind, fields), body


def _receive_exactly(sock: socket.socket, length: int) -> bytearray | None:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return buffer
