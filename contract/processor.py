"""What a plugin's factory makes: a processor, and the rules that it keeps.

Rules: `parse` is a function of its arguments alone. The daemon may hand the same bytes to it again (after a
crash, or to find the one bad record in a batch), may cut the input anywhere between two records, and may run
several processors of one plugin side by side. What a stream yields is a function of the snapshot that it was opened
with and of the bytes that it was fed since, wherever these were cut.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from contract.context import Context
from contract.json_lines import JsonLines
from contract.record import Columns, Record
from contract.rows import Rows
from contract.together import AtOnce, Together, describe


@runtime_checkable
class Processor(Protocol):
    """Turns whole records' bytes into records."""

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record | Rows | JsonLines | Columns]:
        """Yield the records of `data`, in order, also as rows or columns.

        `data` holds whole records as the manifest's `framing` cuts them. An exception fails the batch: the
        daemon then parses it in halves until only the records that fail are left, and keeps those as dead
        letters. `ctx.reject` does the same for one record without an exception.
        """
        ...


@runtime_checkable
class Stream(Protocol):
    """One source being parsed by a stream processor.

    The bytes may be cut anywhere, in the middle of a record or a number too: what is not whole yet is kept, and is part
    of the snapshot.
    """

    def feed(self, data: bytes, final: bool) -> Iterable[Record | Rows | JsonLines | Columns]:  # noqa: FBT001
        """Take the source's next bytes, any number of them, and yield the records that they complete, in order.

        `final` says that the source ends here: yield what is held back, reject what is torn. It comes once, maybe
        with no data. Should the source go on after all (a file that is appended to after `hostd run --once`), the
        snapshot after it is gone on from.

        An exception says that the stream cannot go on from here. Which bytes become a dead letter then is told in the
        how-to "Parse a binary stream"; for a bad record that the stream can step over, `ctx.reject` is the better way.
        """
        ...

    def snapshot(self) -> bytes:
        """Return all that `feed` has left behind, for `open` to go on from: in another process, maybe another version.

        Called after `feed` has yielded its last record; it changes nothing. At most the manifest's
        `limits.snapshot_kib`. A first byte that is the layout's version lets a later version tell what it reads.
        """
        ...


@runtime_checkable
class StreamProcessor(Protocol):
    """Parses formats whose records depend on what came before: `framing = "stream"` in the manifest."""

    def open(self, ctx: Context, state: bytes | None) -> Stream:
        """Begin a source (`state` is None), or go on with one from a snapshot of this or an earlier version.

        `ctx` is the stream's for as long as it lives, and may be kept: `ctx.offset` and `ctx.deadline` are those of the
        `feed` under way, or of the next. `ctx.header` is empty.

        May refuse a snapshot by raising: the version that made it then keeps the source until it ends. For None it
        must not raise.
        """
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


class _EachRecord:
    """The processor that `each_record` makes."""

    __slots__ = ("_function", "_together")

    def __init__(self, function: Callable[[str, Context], Record | None], at_once: AtOnce | None) -> None:
        self._function = function
        self._together = None if at_once is None else Together(at_once)

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        if self._together is None:
            return self._one_by_one(ctx.split(data), ctx)
        records = self._together.take(data, ctx)
        if isinstance(records, list | Rows):
            return records
        return self._together.by_pieces(ctx.split(data), b"", self._one_by_one, ctx, records)

    def _one_by_one(self, parts: list[bytes], ctx: Context) -> Iterator[Record]:
        function = self._function
        for raw in parts:
            text = raw.decode("utf-8", "backslashreplace").replace("\r\n", "\n").rstrip("\r\n")
            if not text:
                continue
            try:
                record = function(text, ctx)
            except MemoryError:
                raise  # as in each_line
            except Exception as error:  # noqa: BLE001 - whatever the author's function raises rejects its record
                ctx.reject(raw, describe(error))
                continue
            if record is not None:
                yield record


def each_record(function: Callable[[str, Context], Record | None], *, at_once: AtOnce | None = None) -> Processor:
    """Make a processor of a function of one record as the manifest's `framing` cuts them: of several lines, mostly.

    The function gets each record that is not empty, and the batch's context. The record is decoded as UTF-8 (bytes that
    are not UTF-8 arrive as ``\\xNN``), has its line ends as ``\\n``, and lacks the last ones. What it returns is a
    record, None is no record, and an exception rejects that record alone.

    `at_once` makes it faster where most records are of one kind. It gets the text of a batch, or of 32 records, and
    returns the records of all of it; None when there is one that it does not know: the function then gets each. So it
    does after an exception, which is logged, once, unless the function rejects one of them too. The text has its line
    ends as ``\\n``, and lacks the last one; it may have blank lines.
    """
    return _EachRecord(function, at_once)
