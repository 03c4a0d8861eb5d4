"""One piece of a stream to what it yields, through whichever generation serves it, and through the loss of workers.

As a batch is: tried once more on a fresh worker when it loses one, by the proven generation while the current one is on
probation, and then in smaller pieces, until what cannot be fed is alone. A snapshot that a generation refuses is no
failure of the piece: that is the caller's to decide.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from contract.framing import Framing
from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.pipeline.narrow import Failure, Narrowing, Point
from hostd.pipeline.parse import (
    SHORTEST_TIME_S,
    Current,
    Fallback,
    OvertakenError,
    Task,
    note_loss,
    say_retried,
    serving,
)
from hostd.pipeline.serving import Generation
from hostd.workers.batch import BEFORE_BYTES, DeadLetter, Piece, UnfedError, Yield, join
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError


class Fed(Struct, frozen=True):
    """What came of a piece, and the one generation that made all of it.

    From `origin`, an offset and the snapshot there, on the stream's last record can be found again.
    """

    generation: Generation
    result: Yield
    origin: Point


class RefusedError(Exception):
    """A generation does not open a stream with the snapshot that it was handed."""

    def __init__(self, generation: Generation, reason: str) -> None:
        self.generation = generation
        self.reason = reason
        super().__init__(reason)


def before_of(earlier: bytes, state: bytes | None) -> bytes:
    """Return as much of the bytes before a piece as the stream may hold some of."""
    length = min(len(state or b""), BEFORE_BYTES)
    return earlier[-length:] if length else b""


class Feeding(Struct, frozen=True):
    """One piece being fed. `read(offset, length)` reads its source, `origin` is as in `Fed`.

    Raises as `parse` does, and RefusedError.
    """

    piece: Piece
    origin: Point | None
    read: Callable[[int, int], Awaitable[bytes]]
    framing: Framing
    current: Current
    pool: Pool
    fallback: Fallback | None

    async def run(self) -> Fed:
        """Feed it, whatever that takes."""
        task = Task(self.framing, self.current, self.pool)
        while True:
            generation = serving(self.current, self.framing)
            try:
                result = await self._try(task, generation)
                failed = not isinstance(result, Yield) or result.dead
                if failed and task.is_overtaken(generation):
                    continue  # what serves now may be better at it
                if failed and (better := await self._fall_back(task, generation, result)) is not None:
                    return better
                if isinstance(result, Yield):
                    return Fed(generation, result, self._next_origin(result))
                return await self._narrow(task, generation)
            except OvertakenError:
                continue
            except GenerationBrokenError as broken:
                lost = WorkerLostError(f"cannot be started again: {broken}")
                better = await self._fall_back(task, generation, lost)
                if better is None:
                    raise
                return better

    async def _try(self, task: Task, generation: Generation) -> Yield | Failure:
        result = await ask(task, generation, self.piece)
        if isinstance(result, WorkerLostError):
            note_loss(generation, result.reason)
            say_retried(generation, self.piece, result.reason)
            result = await ask(task, generation, self.piece)
        elif generation.crew.intensity.succeeded(clock.monotonic()):
            events.emit(events.GENERATION_RECOVERED, plugin=generation.plugin, generation=generation.number)
        refusal = result
        if isinstance(result, WorkerLostError):
            # Of what it died is told by feeding it nothing: then it is opening the stream, unless that is by chance.
            nothing = replace(self.piece, data=b"", final=False)
            refusal = await ask(task, generation, nothing)
            if isinstance(refusal, WorkerLostError):
                refusal = await ask(task, generation, nothing)
        if isinstance(refusal, WorkerLostError) or (isinstance(refusal, UnfedError) and refusal.at_open):
            raise RefusedError(generation, refusal.reason)
        return result

    async def _fall_back(self, task: Task, generation: Generation, result: Yield | Failure) -> Fed | None:
        """Have the proven generation feed what the one on probation failed; None where it is no better at it."""
        proven, better = await task.fall_back(self.piece, generation, result, self.fallback)
        return Fed(proven, better, self._next_origin(better)) if better is not None else None

    def _next_origin(self, result: Yield) -> Point:
        if self.origin is None or result.records or result.dead:
            return Point(self.piece.offset, self.piece.state)
        return self.origin

    async def _narrow(self, task: Task, generation: Generation) -> Fed:
        piece, offset = self.piece, self.piece.offset
        origin = self.origin if self.origin is not None and self.origin.position < offset else None
        window = await self.read(origin.position, offset - origin.position) if origin is not None else b""
        if origin is not None and len(window) < offset - origin.position:
            origin, window = None, b""  # the file was cut meanwhile
        earlier = max(window, piece.before, key=len)
        data = earlier + piece.data
        limit_s = generation.manifest.limits.time_s

        async def ask_between(start: Point, end: int, final: bool) -> Yield | Failure:  # noqa: FBT001
            begin = len(earlier) + start.position
            part = replace(
                piece,
                offset=offset + start.position,
                data=data[begin : len(earlier) + end],
                state=start.state,
                before=before_of(data[:begin], start.state),
                final=final,
            )
            share = (end - start.position) / max(1, len(piece.data))
            return await ask(task, generation, part, min(limit_s, max(SHORTEST_TIME_S, limit_s * share)))

        relative = Point(origin.position - offset, origin.state) if origin is not None else None
        narrowing = Narrowing(ask_between, Point(0, piece.state), len(piece.data), relative)
        last = await narrowing.run(final=piece.final)
        if narrowing.unopened is not None:
            raise RefusedError(generation, narrowing.unopened.reason)
        whole = join(narrowing.parts)
        letters = [
            DeadLetter(
                offset + dead.start, data[len(earlier) + dead.start : len(earlier) + dead.end], *words(dead.failure)
            )
            for dead in narrowing.dead
        ]
        in_order = sorted((*whole.dead, *letters), key=lambda letter: letter.offset)
        result = replace(whole, dead=tuple(in_order), state=narrowing.here.state)
        return Fed(generation, result, Point(offset + last.position, last.state))


async def ask(task: Task, generation: Generation, piece: Piece, time_s: float | None = None) -> Yield | Failure:
    """Feed a piece once, by this generation or none. Raises as `Task.attempt` does."""
    try:
        _, result = await task.attempt(piece, generation, time_s)
    except UnfedError as error:
        return error
    return result


def words(failure: Failure) -> tuple[str, str]:
    """Return the reason and the traceback of a dead letter."""
    if isinstance(failure, UnfedError):
        return failure.reason, failure.traceback
    return f"worker lost: {failure.reason}", ""
