"""Many records at once where all are ordinary, one by one where one is not: what comes out is the same."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from contract.context import Context
from contract.record import Record
from contract.rows import Rows

AtOnce = Callable[[str, Context], list[Record] | Rows | None]
"""Takes many records at once, or none of them."""

BROKEN = "at_once raises "
"""What begins the message about a function that is broken."""
_RECORDS_IN_A_PIECE = 32
_said: set[object] = set()
"""Of which functions it was said that they are broken: once in a process, which has one generation and many streams."""


class Together:
    """Asks a processor's `at_once`, and says once when that is broken."""

    __slots__ = ("_at_once",)

    def __init__(self, at_once: AtOnce) -> None:
        self._at_once = at_once

    def take(self, data: bytes, ctx: Context) -> list[Record] | Rows | Exception | None:
        """Return what `at_once` makes of whole records' bytes; None, or what it raises, when it takes them not."""
        text = data.decode("utf-8", "backslashreplace")
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        text = text.removesuffix("\n")
        if not text or "\r" in text:
            return None
        try:
            records = self._at_once(text, ctx)
            if isinstance(records, Rows):
                records.rows = list(records.rows)  # what it raises, it raises here
        except MemoryError:
            raise  # these records need not be what has taken the memory: whoever runs us can tell
        except Exception as error:  # noqa: BLE001 - of one record mostly, such as an impossible time: see by_pieces
            return error
        else:
            return records

    def by_pieces(
        self,
        parts: list[bytes],
        between: bytes,
        one_by_one: Callable[[list[bytes], Context], Iterable[Record]],
        ctx: Context,
        error: Exception | None,
    ) -> Iterator[Record]:
        """Yield the records of a few parts at a time, and those that cannot be had so one by one.

        `error` is what all of them together raised. An exception that no rejection explains is one of `at_once` itself.
        """
        remaining = iter(parts)
        while piece := list(islice(remaining, _RECORDS_IN_A_PIECE)):
            records = self.take(between.join(piece), ctx)
            if isinstance(records, list | Rows):
                yield from records
                continue
            rejections = ctx.rejections
            yield from one_by_one(piece, ctx)
            if isinstance(records, Exception):
                error = None
                if ctx.rejections == rejections:
                    self._say(records, ctx)
        if error is not None:
            self._say(error, ctx)

    def _say(self, error: Exception, ctx: Context) -> None:
        function = getattr(self._at_once, "__func__", self._at_once)
        if function in _said:
            return
        _said.add(function)
        ctx.log.warning(
            f"{BROKEN}{describe(error)}{_line(error, self._at_once)}, of records that are taken one by one: this"
            " costs time, and nothing else; have it return None for what it does not know"
        )


def _line(error: Exception, at_once: AtOnce) -> str:
    """Return which line of the plugin raised, as far as that is known."""
    lines = []
    frames = error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == getattr(getattr(at_once, "__code__", None), "co_filename", None):
            lines.append(frames.tb_lineno)
        frames = frames.tb_next
    return f" (line {lines[-1]})" if lines else ""


def describe(error: BaseException) -> str:
    """Return an exception as one line: its type and its text."""
    text = str(error)
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind
