"""A small format for the tests of streams, and a crew that feeds it in this process.

A record is its length in one byte, and its body. One that holds `!` raises when it is whole, one that holds `?` is
rejected, one that holds `+` kills its worker. `final` rejects what is torn. The snapshot is a count of the records, and
what is not whole yet; one that begins with `-` is not opened.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from contract.framing import Framing
from hostd.errors import WorkerLostError
from hostd.workers.batch import DeadLetter, Piece, UnfedError, Yield
from hostd.workers.intensity import Intensity
from tests.build import manifest

STREAM = Framing(kind="stream")


def record(body: bytes) -> bytes:
    """Return a record as bytes."""
    return bytes([len(body)]) + body


def feed(state: bytes | None, data: bytes, offset: int, final: bool) -> Yield:
    """Feed a stream that is opened with a snapshot. Raises UnfedError, WorkerLostError."""
    if state is not None and state.startswith(b"-"):
        raise UnfedError("not mine", "trace", at_open=True)
    count, _, rest = (state or b"0:").partition(b":")
    number, held = int(count), len(rest)
    data = rest + data
    position, records, dead = 0, list[dict[str, Any]](), list[DeadLetter]()
    while position < len(data) and (end := position + 1 + data[position]) <= len(data):
        body = data[position + 1 : end]
        if b"!" in body:
            raise UnfedError(f"bad {body!r}", "trace", at_open=False)
        if b"+" in body:
            raise WorkerLostError("exit status 9")
        if b"?" in body:
            dead.append(DeadLetter(offset - held + position, data[position:end], "odd", ""))
        else:
            number += 1
            records.append({"body": body.hex(), "number": number})
        position = end
    rest = data[position:]
    if final and rest:
        dead.append(DeadLetter(offset - held + position, rest, "torn", ""))
        rest = b""
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in records)
    return Yield(len(records), lines, tuple(dead), state=b"%d:%s" % (number, rest))


@dataclass
class FakeCrew:
    """A crew that feeds in this process. `lose` has, for its next calls, whether the worker is lost by chance."""

    lose: list[bool] = field(default_factory=list)
    calls: int = 0
    fed_bytes: int = 0
    intensity: Intensity = field(default_factory=lambda: Intensity(1_000_000, 60.0))

    async def parse(self, batch: Piece, time_s: float | None = None, *, behind: bool = True) -> Yield:
        self.calls += 1
        self.fed_bytes += len(batch.data)
        if self.lose and self.lose.pop():
            raise WorkerLostError("killed by signal 9")
        return feed(batch.state, batch.data, batch.offset, batch.final)


@dataclass
class FakeGeneration:
    """A generation whose crew is in this process."""

    number: int = 1
    crew: Any = field(default_factory=FakeCrew)
    framing: Framing = STREAM
    records: int = 0
    rejected: int = 0
    is_told_of: bool = False
    plugin: str = "demo"
    manifest: Any = field(default_factory=lambda: manifest(framing="stream"))


def bodies(result: Yield) -> list[bytes]:
    """Return the bodies of the records."""
    return [bytes.fromhex(json.loads(line)["body"]) for line in bytes(result.lines).splitlines()]
