"""A piece of a stream that cannot be fed as a whole: what of it can, and which bytes are dead.

There are no records to cut at. So the piece is fed in smaller ones, each from the snapshot after the one before, down
to the byte that cannot be fed. Dead is what lies between the last record before that byte and the byte itself, both
told by feeding again; the stream goes on behind it, from the snapshot after that last record. So a record that raises
when it is whole is dead as a whole and alone. A stream that fails a thousand times and yields nothing in between has
lost its way: from then on what is dead grows, each time by twice as much.

Every step moves forward, whatever a stream does, also one that breaks the contract's rules.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hostd.errors import WorkerLostError
from hostd.workers.batch import UnfedError, Yield

Failure = UnfedError | WorkerLostError

MAX_BARREN = 1000
"""After how many failures without a record between them what is dead grows."""
FIRST_SIZE = 256
"""How many bytes are fed first behind a dead piece; then twice as many each time."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place, in bytes, and the snapshot there, None where the stream begins."""

    position: int
    state: bytes | None


Ask = Callable[[Point, int, bool], Awaitable[Yield | Failure]]
"""Feed what lies between a point and an end, as final or not."""


@dataclass(slots=True)
class Dead:
    """Bytes that cannot be fed, and why."""

    start: int
    end: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class _Span:
    """A piece that has yielded something; how often, None if that was not counted yet. `after` is its end."""

    start: Point
    after: Point
    count: int | None


@dataclass(slots=True)
class Narrowing:
    """Feeds `length` bytes from `here` on.

    `origin` is a point before that since which the stream is known to have yielded something, if any.
    """

    ask: Ask
    here: Point
    length: int
    origin: Point | None
    parts: list[Yield] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    unopened: Failure | None = None
    """Why there is no snapshot in the end, where there is none."""
    _good: Point = field(init=False)
    _last: _Span | None = field(init=False)
    _size: int = field(init=False)
    _barren: int = 0

    def __post_init__(self) -> None:
        self._good = self.here
        self._last = _Span(self.origin, self.here, None) if self.origin is not None else None
        self._size = max(1, self.length // 2)

    async def run(self, *, final: bool) -> Point:
        """Feed all; return the point from which the stream's last record can be found again."""
        while self.here.position < self.length:
            end = min(self.length, self.here.position + self._size)
            result = await self.ask(self.here, end, False)  # noqa: FBT003
            if isinstance(result, Yield):
                self._accept(result, end)
                self._size *= 2
            elif end - self.here.position > 1:
                self._size = (end - self.here.position) // 2
            else:
                await self._step_over(end, result)
        if final:
            await self._finish()
        if self.here.state is None:
            await self._begin_anew()
        return self._last.start if self._last is not None else self._good

    async def _begin_anew(self) -> None:
        """All was dead from the stream's begin on: it begins behind that, and its first snapshot is of there."""
        result = await self.ask(self.here, self.here.position, False)  # noqa: FBT003
        if isinstance(result, Yield):
            self._accept(result, self.here.position)
        else:
            self.unopened = result

    async def _finish(self) -> None:
        result = await self.ask(self.here, self.length, True)  # noqa: FBT003
        if isinstance(result, Yield):
            self._accept(result, self.length)
        else:
            await self._set_aside(self.length, result)

    def _accept(self, result: Yield, end: int) -> None:
        after = Point(end, result.state)
        self.parts.append(result)
        if count := _count(result):
            self._last = _Span(self.here, after, count)
            self._barren = 0
        self.here = after

    async def _step_over(self, end: int, failure: Failure) -> None:
        """Go on behind a byte that cannot be fed."""
        if isinstance(failure, WorkerLostError):
            # Whatever takes it down may have nothing to do with this byte: a second worker says more.
            again = await self.ask(self.here, end, False)  # noqa: FBT003
            if isinstance(again, Yield):
                self._accept(again, end)
                return
        await self._set_aside(end, failure)
        self._size = FIRST_SIZE

    async def _set_aside(self, end: int, failure: Failure) -> None:
        self._barren += 1
        if self._barren > MAX_BARREN:
            end = self.dead[-1].end = min(self.length, end + (1 << min(self._barren - MAX_BARREN, 40)))
        else:
            self._good = await self._find_good()
            self.dead.append(Dead(self._good.position, end, failure))
            self._last = None
        self.here = self._good = Point(end, self._good.state)

    async def _find_good(self) -> Point:
        """Return the first point at which all had been yielded that was before the failure."""
        span = self._last
        if span is None:
            return self._good
        start, end, count = span.start, span.after.position, span.count
        if count is None:
            whole = await self.ask(start, end, False)  # noqa: FBT003
            if not isinstance(whole, Yield):
                return span.after
            if not (count := _count(whole)):
                return start
        while end - start.position > 1:
            middle = (start.position + end) // 2
            part = await self.ask(start, middle, False)  # noqa: FBT003
            if not isinstance(part, Yield):
                return span.after
            if _count(part) >= count:
                end = middle
            else:
                count -= _count(part)
                start = Point(middle, part.state)
        last = await self.ask(start, end, False)  # noqa: FBT003
        return Point(end, last.state) if isinstance(last, Yield) else span.after


def _count(result: Yield) -> int:
    return result.records + len(result.dead)
