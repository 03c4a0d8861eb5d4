"""The streams of one generation, inside a worker: opened with a snapshot, fed, and kept open while that fits.

The daemon hands over the snapshot with every piece, so any worker can go on. One that has the stream open already, at
the same place and with the same snapshot, need not open it again: that is all that it remembers.
"""

import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from contract.adapter import MisfitError, as_stream, snapshot_of
from contract.context import Context
from contract.processor import Stream, StreamProcessor
from hostd.workers import wire
from hostd.workers.encode import Encoder, TooMuchError
from hostd.workers.loading import BrokenPluginError, blame
from hostd.workers.rejected import NotInInputError, find, send_all_but_last

MAX_OPEN = 64
MAX_OPEN_BYTES = 16 << 20
"""How many streams a worker keeps open, and with how much in their snapshots."""

MakeContext = Callable[[str, int, float, Callable[[bytes, str], None]], Context]


class OpenError(Exception):
    """A stream could not be opened; the cause says why."""


class _Open(Struct):
    """An open stream, where it stands, and its snapshot there. What it rejects goes to `rejected`."""

    stream: Stream
    ctx: Context
    offset: int
    state: bytes | None
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    most_rejected: int = 0

    def reject(self, raw: bytes, reason: str) -> None:
        if len(self.rejected) > self.most_rejected:
            raise TooMuchError("it rejects more often than its input has bytes")
        self.rejected.append((bytes(memoryview(raw)), str(reason)[: wire.MAX_REASON_CHARACTERS]))


class Streams:
    """Feeds streams and answers. `make_context(source, offset, time_s, reject)` makes what one is handed."""

    def __init__(
        self, processor: StreamProcessor, load: wire.Load, encoder: Encoder, make_context: MakeContext
    ) -> None:
        self._processor = processor
        self._load = load
        self._encoder = encoder
        self._make_context = make_context
        self._most_bytes = load.snapshot_kib << 10
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def check(self, ctx: Context) -> None:
        """Open a stream as for a source that begins, and another with its snapshot. Raises BrokenPluginError."""
        try:
            state = snapshot_of(as_stream(self._processor.open(ctx, None)), self._most_bytes)
            as_stream(self._processor.open(ctx, state))
        except MisfitError as error:
            raise BrokenPluginError(self._load.display, error.problem, error.remedy) from error
        except BaseException as error:
            line, text = blame(error, self._load)
            raise BrokenPluginError(
                line, f"opening a stream raises {text}", "mend open, which must take None and its own snapshots"
            ) from error

    def parse_whole(self, data: bytes, ctx: Context) -> Iterable[Any]:
        """Feed a sample in one piece."""
        return as_stream(self._processor.open(ctx, None)).feed(data, True)  # noqa: FBT003 - the protocol's order

    def parse_halves(self, data: bytes, ctx: Context) -> Iterator[Any]:
        """Feed a sample in two pieces, the second to a stream that is opened with the snapshot of the first."""
        middle = len(data) // 2
        first = as_stream(self._processor.open(ctx, None))
        yield from first.feed(data[:middle], False)  # noqa: FBT003
        second = as_stream(self._processor.open(ctx, snapshot_of(first, self._most_bytes)))
        yield from second.feed(data[middle:], True)  # noqa: FBT003

    def feed(self, request: wire.Feed, body: bytes, channel: wire.Channel) -> tuple[wire.Fed, list[bytes]]:
        """Feed a stream; return the answer, without what the plugin has said, and its body.

        Raises OpenError, or whatever the plugin raises; `explain` makes an answer of it. What has failed is closed.
        """
        state_end = max(0, request.state_length)
        before_end = state_end + request.before_length
        state = body[:state_end] if request.state_length >= 0 else None
        before, data = body[state_end:before_end], body[before_end:]
        opened = self._take(request, state)
        opened.rejected.clear()
        opened.most_rejected = len(before) + len(data)
        opened.ctx.offset, opened.ctx.deadline = request.offset, time.monotonic() + request.time_s
        count, lines = self._encoder.encode(opened.stream.feed(data, request.final), request.source, request.most_bytes)
        dead = find(before + data, opened.rejected, 0, len(before) + len(data), len(before))
        state = snapshot_of(opened.stream, self._most_bytes)
        opened.offset, opened.state = request.offset + len(data), state
        self._keep(request.stream, opened)
        rest = send_all_but_last(dead, channel)
        return wire.Fed(count, rest, [], 0, request.token, len(state)), [*lines, state]

    def forget(self) -> None:
        """Close all streams."""
        self._open.clear()

    def _take(self, request: wire.Feed, state: bytes | None) -> _Open:
        """Return the stream to feed. Raises OpenError, whose cause is what `open` raises."""
        opened = self._open.pop(request.stream, None)
        if opened is not None and state is not None and (opened.offset, opened.state) == (request.offset, state):
            return opened
        holder: list[_Open] = []
        early: list[tuple[bytes, str]] = []

        def reject(raw: bytes, reason: str) -> None:
            if holder:
                holder[0].reject(raw, reason)
            else:
                early.append((raw, reason))

        ctx = self._make_context(request.source, request.offset, request.time_s, reject)
        try:
            opened = _Open(as_stream(self._processor.open(ctx, state)), ctx, request.offset, state)
            if early:
                raise ValueError("open() rejects input; reject in feed what it was fed")
        except BaseException as error:
            raise OpenError from error
        holder.append(opened)
        return opened

    def _keep(self, number: int, opened: _Open) -> None:
        self._open[number] = opened
        while len(self._open) > MAX_OPEN or (
            len(self._open) > 1 and sum(len(each.state or b"") for each in self._open.values()) > MAX_OPEN_BYTES
        ):
            self._open.popitem(last=False)

    def explain(self, error: BaseException, token: int) -> wire.Unfed:
        """Return the answer for what feeding has raised."""
        at_open = isinstance(error, OpenError)
        if at_open and error.__cause__ is not None:
            error = error.__cause__
        if isinstance(error, NotInInputError | MisfitError):
            return wire.Unfed(at_open, str(error)[: wire.MAX_REASON_CHARACTERS], "", token)
        where, text = blame(error, self._load)
        trace = "".join(traceback.format_exception(error))[-wire.MAX_TRACE_CHARACTERS :]
        return wire.Unfed(at_open, f"{text} ({where})"[: wire.MAX_REASON_CHARACTERS], trace, token)
