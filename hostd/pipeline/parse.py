"""One batch to what it yields, through whichever generation is current, and through the loss of workers.

A batch that loses its worker is tried once more on a fresh one, then cut in halves until the records that kill or
hang are alone; those are dead letters. When another generation goes live meanwhile, it gets the batch as a whole.
While the current one is on probation, a batch that it fails goes to the proven one, as a whole too.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from contract.framing import Framing
from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.pipeline.narrow import Failure
from hostd.pipeline.serving import Generation
from hostd.workers.batch import Batch, DeadLetter, UnfedError, Yield, join
from hostd.workers.parts import CrowdedError
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError

SHORTEST_TIME_S = 1.0
MAX_INNOCENT_LOSSES = 2
"""How often a batch that was lost through no fault of its own is tried again at once, before it waits in its source."""

INNOCENT_PAUSE_S = 0.02

Current = Callable[[], Generation | None]


class Fallback(Struct, frozen=True):
    """What to do with a batch that fails while its generation is on probation.

    `warm()` is the proven generation that is kept ready, and `on_regression(plugin, generation, batch, reason)` is told
    of a batch that only that one parses.
    """

    warm: Current
    on_regression: Callable[[str, int, Batch, str], None]


class NotServedError(Exception):
    """No generation serves the batch as it was cut: it must be cut, or routed, again."""


class NotNowError(Exception):
    """Workers are lost again and again, and it is not the batch that they are lost with: it must wait."""


class OvertakenError(Exception):
    """Another generation has gone live meanwhile."""


async def parse(
    batch: Batch, framing: Framing, current: Current, pool: Pool, fallback: Fallback | None = None
) -> tuple[Generation, Yield]:
    """Return what `batch` yields and the one generation that made all of it.

    Raises NotServedError, also for a long batch that has to be cut into short ones, GenerationBrokenError when its
    generation can start no worker any more, and NotNowError.
    """
    try:
        return await _parse(batch, Task(framing, current, pool), fallback)
    except CrowdedError as crowded:
        serving(current, framing).crew.forbear()
        raise NotServedError from crowded


async def _parse(batch: Batch, task: "Task", fallback: Fallback | None) -> tuple[Generation, Yield]:
    while True:
        try:
            generation, result = await task.attempt(batch)
            if isinstance(result, WorkerLostError):
                note_loss(generation, result.reason)
                say_retried(generation, batch, result.reason)
                _, result = await task.attempt(batch, generation)
            elif generation.crew.intensity.succeeded(clock.monotonic()):
                events.emit(events.GENERATION_RECOVERED, plugin=generation.plugin, generation=generation.number)
            failed = isinstance(result, WorkerLostError) or result.dead
            if failed and task.is_overtaken(generation):
                continue  # what serves now may be better at it
            if failed:
                proven, better = await task.fall_back(batch, generation, result, fallback)
                if better is not None:
                    return proven, better
            if isinstance(result, WorkerLostError):
                result = join(await task.halve(batch, generation, result.reason))
        except OvertakenError:
            continue
        except GenerationBrokenError as broken:
            generation = serving(task.current, task.framing)
            lost = WorkerLostError(f"cannot be started again: {broken}")
            generation, better = await task.fall_back(batch, generation, lost, fallback)
            if better is None:
                raise
            result = better
        return generation, result


class Task(Struct, frozen=True):
    """What all attempts at one batch share."""

    framing: Framing
    current: Current
    pool: Pool

    async def attempt(
        self, batch: Batch, only: Generation | None = None, time_s: float | None = None
    ) -> tuple[Generation, Yield | WorkerLostError]:
        """Parse a batch once, by the current generation; return who did, and what came of it.

        A loss that has nothing to do with the batch does not count. Raises NotServedError, CrowdedError for a long
        batch that has to be cut into short ones, OvertakenError when the current generation is not `only`, NotNowError,
        and UnfedError for a piece of a stream.
        """
        losses = 0
        while True:
            async with self.pool.slots.take():
                # Chosen only now: a batch that waited for its turn goes to what is live when its turn comes.
                generation = serving(self.current, self.framing)
                if only is not None and generation is not only:
                    raise OvertakenError
                try:
                    return generation, await generation.crew.parse(batch, time_s, behind=not losses)
                except WorkerLostError as lost:
                    if not lost.innocent:
                        return generation, lost
                    losses += 1
                    if losses > MAX_INNOCENT_LOSSES:
                        raise NotNowError(lost.reason) from lost
                except GenerationBrokenError:
                    if self.is_overtaken(generation):
                        raise OvertakenError from None
                    raise
            await asyncio.sleep(INNOCENT_PAUSE_S * losses)  # whatever it was, give it time to pass

    def is_overtaken(self, generation: Generation) -> bool:
        """Tell whether another generation is current by now."""
        present = self.current()
        return present is not None and present is not generation

    async def fall_back(
        self, batch: Batch, generation: Generation, result: Yield | Failure, fallback: Fallback | None
    ) -> tuple[Generation, Yield | None]:
        """Have the proven generation parse what the one on probation failed; None where it is no better at it.

        Raises CrowdedError.
        """
        proven = fallback.warm() if fallback is not None else None
        if fallback is None or proven is None or proven is generation or proven.framing != self.framing:
            return generation, None
        try:
            async with self.pool.slots.take():
                better = await proven.crew.parse(batch)
        except (WorkerLostError, GenerationBrokenError, UnfedError):
            return generation, None  # the failure that counts is the other one, and it is logged
        if isinstance(result, Yield) and len(better.dead) >= len(result.dead):
            return generation, None
        reason = result.dead[0].reason if isinstance(result, Yield) else result.reason
        fallback.on_regression(generation.plugin, generation.number, batch, reason)
        return proven, better

    async def halve(self, batch: Batch, generation: Generation, reason: str) -> list[Yield]:
        """Parse a batch that loses its worker in ever smaller parts; a record that does so alone is dead."""
        # In a thread: some plugins' batches are of many megabytes, and the loop must not wait for each of their lines.
        starts = await asyncio.to_thread(self.framing.starts, batch.data)
        if len(starts) <= 1:
            return [Yield(0, b"", (DeadLetter(batch.offset, batch.data, f"worker lost: {reason}", ""),))]
        middle = starts[len(starts) // 2]
        limit_s = generation.manifest.limits.time_s
        yields: list[Yield] = []
        for start, end in ((0, middle), (middle, len(batch.data))):
            half = replace(batch, offset=batch.offset + start, data=batch.data[start:end])
            # Half of the input gets half of the time: finding a record that hangs takes about three times the limit.
            whole = min(len(batch.data), batch.part_bytes or len(batch.data))
            time_s = min(limit_s, max(SHORTEST_TIME_S, limit_s * (end - start) / whole))
            _, result = await self.attempt(half, generation, time_s)
            if isinstance(result, WorkerLostError):
                yields += await self.halve(half, generation, result.reason)
            else:
                yields.append(result)
        return yields


def serving(current: Current, framing: Framing) -> Generation:
    """Return the generation that serves a batch of this framing. Raises NotServedError."""
    generation = current()
    if generation is None or generation.framing != framing:
        raise NotServedError
    return generation


def note_loss(generation: Generation, reason: str) -> None:
    """Count a batch that lost its worker; past what is allowed, the generation is failing."""
    intensity = generation.crew.intensity
    retry_s = intensity.lost(clock.monotonic(), reason)
    if retry_s is not None:
        events.emit(
            events.GENERATION_FAILING,
            plugin=generation.plugin,
            generation=generation.number,
            losses=intensity.losses,
            reason=reason,
            retry_s=retry_s,
        )


def say_retried(generation: Generation, batch: Batch, reason: str) -> None:
    """Log that a batch is parsed again."""
    events.emit(
        events.BATCH_RETRIED,
        plugin=generation.plugin,
        generation=generation.number,
        source=batch.source,
        offset=batch.offset,
        size=len(batch.data),
        reason=reason,
    )
