"""What a plugin's factory makes: a processor, and the rules that it keeps.

Rules: `parse` is a function of its arguments alone. The daemon may hand the same bytes to it again (after a
crash, or to find the one bad record in a batch), may cut the input anywhere between two records, and may run
several processors of one plugin side by side.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from contract.context import Context
from contract.record import Record


@runtime_checkable
class Processor(Protocol):
    """Turns whole records' bytes into records."""

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        """Yield the records of `data`, in order.

        `data` holds whole records as the manifest's `framing` cuts them. An exception fails the batch: the
        daemon then parses it in halves until only the records that fail are left, and keeps those as dead
        letters. `ctx.reject` does the same for one record without an exception.
        """
        ...


class Stream(Protocol):
    """One source being parsed by a stream processor; reserved for contract 1.1."""

    def feed(self, data: bytes, final: bool) -> Iterable[Record]:  # noqa: FBT001
        """Take the next bytes and yield the records they complete."""
        ...

    def snapshot(self) -> bytes:
        """Return the state after the last `feed`, to be handed to a later `open`."""
        ...


class StreamProcessor(Protocol):
    """Parses formats whose records depend on what came before; reserved for contract 1.1."""

    def open(self, ctx: Context, state: bytes | None) -> Stream:
        """Begin a source, or go on with it from a snapshot."""
        ...


class _EachLine:
    """The processor that `each_line` makes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[str], Record | None]) -> None:
        self._function = function

    def parse(self, data: bytes, ctx: Context) -> Iterator[Record]:
        function = self._function
        for raw in data.split(b"\n"):
            line = raw.decode("utf-8", "backslashreplace").removesuffix("\r")
            if not line:
                continue
            try:
                record = function(line)
            except MemoryError:
                raise  # this line need not be what has taken the memory: whoever runs us can tell
            except Exception as error:  # noqa: BLE001 - whatever the author's function raises rejects its line
                ctx.reject(raw, describe(error))
                continue
            if record is not None:
                yield record


def each_line(function: Callable[[str], Record | None]) -> Processor:
    """Make a processor of a function of one line.

    The function gets each non-empty line decoded as UTF-8 (bytes that are not UTF-8 arrive as ``\\xNN``),
    without its line end. What it returns is a record, None is no record, and an exception rejects that line
    alone.
    """
    return _EachLine(function)


def describe(error: BaseException) -> str:
    """Return an exception as one line: its type and its text."""
    text = str(error)
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind
