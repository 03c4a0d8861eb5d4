"""Two beginnings of a stream: one of bytes, one of lines. What is not whole yet is kept, and is in the snapshot."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from contract.context import Context
from contract.processor import Stream, StreamProcessor
from contract.record import Record
from contract.rows import Rows
from contract.together import Together, describe

_LAYOUT = b"\x01"


class ByteStream:
    """A stream of bytes: derive from it, and define `take`.

    `kept` is what a record leaves behind for those that follow, as JSON values. The snapshot is `kept`, and the bytes
    that no record was made of yet.
    """

    def __init__(self, ctx: Context, state: bytes | None) -> None:
        self.ctx = ctx
        self.kept: dict[str, Any] = {}
        self.used = 0
        self._rest = b""
        if state is not None:
            if state[:1] != _LAYOUT:
                raise ValueError(f"a snapshot of layout {state[:1].hex()}; this version reads layout 01")
            kept, _, self._rest = state[1:].partition(b"\n")
            self.kept = json.loads(kept)

    def take(self, data: bytes, final: bool) -> Iterable[Record]:  # noqa: FBT001
        """Yield the records that `data` begins with, and set `used` to the end of each before yielding it.

        `data` begins where `used` ended the last time. `final` says that nothing follows: what is not used then is
        rejected.
        """
        raise NotImplementedError

    def feed(self, data: bytes, final: bool) -> Iterable[Record]:  # noqa: FBT001
        """See `Stream.feed`."""
        data = self._rest + data
        self.used = 0
        yield from self.take(data, final)
        self._rest = data[self.used :]
        if final and self._rest:
            self.ctx.reject(self._rest, f"the source ends inside this record, after {len(self._rest)} bytes of it")
            self._rest = b""

    def snapshot(self) -> bytes:
        """See `Stream.snapshot`."""
        return _LAYOUT + json.dumps(self.kept).encode() + b"\n" + self._rest


class LineStream(ByteStream):
    """A stream of lines whose meaning depends on the lines before: derive from it, and define `parse_line`.

    What a line leaves behind for those that follow is in `kept`, as JSON values, and nowhere else. `blank_lines` says
    whether empty lines are parsed too.
    """

    blank_lines = False

    def __init__(self, ctx: Context, state: bytes | None) -> None:
        super().__init__(ctx, state)
        self._together = Together(self.at_once) if type(self).at_once is not LineStream.at_once else None
        self._error: Exception | None = None

    def parse_line(self, line: str) -> Iterable[Record]:
        """Return the records that a line completes. An exception rejects the line alone.

        The line is decoded as UTF-8 (other bytes arrive as ``\\xNN``), and without its line end.
        """
        raise NotImplementedError

    def at_once(self, text: str, ctx: Context) -> list[Record] | Rows | None:  # noqa: ARG002
        """Return the records of many lines, without changing `kept`; None when one needs more.

        It is for speed alone: what it returns is what `parse_line` would. See `each_record`.
        """
        return None

    def finish(self) -> Iterable[Record]:
        """Return the records that the source's end completes."""
        return ()

    def feed(self, data: bytes, final: bool) -> Iterable[Record]:  # noqa: FBT001
        """See `Stream.feed`."""
        if self._together is None:
            return super().feed(data, final)
        data, self._rest = self._rest + data, b""
        end = len(data) if final else data.rfind(b"\n") + 1
        records = self._together.take(data[:end], self.ctx)
        if not isinstance(records, list | Rows):
            self._error = records
            return super().feed(data, final)
        self._rest = data[end:]
        return [*records, *self.finish()] if final else records

    def take(self, data: bytes, final: bool) -> Iterator[Record]:  # noqa: FBT001
        """See `ByteStream.take`."""
        self.used = len(data) if final else data.rfind(b"\n") + 1
        lines = data[: self.used].split(b"\n")
        if not lines[-1]:
            lines.pop()
        if self._together is None:
            yield from self._one_by_one(lines, self.ctx)
        else:
            yield from self._together.by_pieces(lines, b"\n", self._one_by_one, self.ctx, self._error)
        if final:
            yield from self.finish()

    def _one_by_one(self, lines: list[bytes], ctx: Context) -> Iterator[Record]:
        for raw in lines:
            line = raw.decode("utf-8", "backslashreplace").removesuffix("\r")
            if not line and not self.blank_lines:
                continue
            try:
                yield from self.parse_line(line)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the author's code raises rejects its line
                ctx.reject(raw, describe(error))


class _EachStream:
    """The stream processor that `each_stream` makes."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Context, bytes | None], Stream]) -> None:
        self._make = make

    def open(self, ctx: Context, state: bytes | None) -> Stream:
        return self._make(ctx, state)


def each_stream(make: Callable[[Context, bytes | None], Stream]) -> StreamProcessor:
    """Make a stream processor of what makes one stream, such as a class derived from `LineStream`."""
    return _EachStream(make)
