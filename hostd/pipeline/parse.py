"""One batch to what it yields, through whichever generation is current, and through the loss of workers.

A batch that loses its worker is tried once more on a fresh one, then cut in halves until the records that kill or
hang are alone; those are dead letters. When another generation goes live meanwhile, it gets the batch as a whole.
"""

from collections.abc import Callable

from contract.framing import Framing
from hostd import events
from hostd.errors import WorkerLostError
from hostd.pipeline.serving import Generation
from hostd.workers.pool import Batch, DeadLetter, Pool, Yield

SHORTEST_TIME_S = 1.0

Current = Callable[[], Generation | None]


class NotServedError(Exception):
    """No generation serves the batch as it was cut: it must be cut, or routed, again."""


async def parse(batch: Batch, framing: Framing, current: Current, pool: Pool) -> tuple[Generation, Yield]:
    """Return what `batch` yields and the one generation that made all of it.

    Raises NotServedError, and GenerationBrokenError when its generation can start no worker any more.
    """
    while True:
        async with pool.slots.take():
            # Chosen only now: a batch that waited for its turn goes to what is live when its turn comes.
            generation = _serving(current, framing)
            try:
                return generation, await generation.crew.parse(batch)
            except WorkerLostError as lost:
                _say_retried(generation, batch, lost.reason)
        async with pool.slots.take():
            if _serving(current, framing) is not generation:
                continue
            try:
                return generation, await generation.crew.parse(batch)
            except WorkerLostError as lost:
                reason = lost.reason
        parts = await _halve(batch, framing, current, pool, generation, reason)
        if parts is not None:
            return generation, join(parts)


async def _halve(
    batch: Batch, framing: Framing, current: Current, pool: Pool, generation: Generation, reason: str
) -> list[Yield] | None:
    """Parse a batch that loses its worker in halves; None when another generation has gone live meanwhile."""
    starts = framing.starts(batch.data)
    if len(starts) <= 1:
        return [Yield(0, b"", (DeadLetter(batch.offset, batch.data, f"worker lost: {reason}", ""),))]
    middle = starts[len(starts) // 2]
    whole_s = generation.manifest.limits.time_s
    yields: list[Yield] = []
    for start, end in ((0, middle), (middle, len(batch.data))):
        half = Batch(batch.source, batch.offset + start, batch.header, batch.data[start:end])
        # Half of the input gets half of the time, so that finding a record that hangs takes three times the limit.
        time_s = (
            max(SHORTEST_TIME_S, whole_s * (end - start) / len(batch.data)) if whole_s > SHORTEST_TIME_S else whole_s
        )
        async with pool.slots.take():
            if _serving(current, framing) is not generation:
                return None
            try:
                yields.append(await generation.crew.parse(half, time_s))
                continue
            except WorkerLostError as lost:
                again = lost.reason
        parts = await _halve(half, framing, current, pool, generation, again)
        if parts is None:
            return None
        yields += parts
    return yields


def _serving(current: Current, framing: Framing) -> Generation:
    generation = current()
    if generation is None or generation.framing != framing:
        raise NotServedError
    return generation


def join(parts: list[Yield]) -> Yield:
    """Return what the parts of a batch yield as one."""
    return Yield(
        records=sum(part.records for part in parts),
        lines=b"".join(part.lines for part in parts),
        dead=tuple(letter for part in parts for letter in part.dead),
        said=tuple(line for part in parts for line in part.said),
    )


def _say_retried(generation: Generation, batch: Batch, reason: str) -> None:
    events.emit(
        events.BATCH_RETRIED,
        plugin=generation.plugin,
        generation=generation.number,
        source=batch.source,
        offset=batch.offset,
        size=len(batch.data),
        reason=reason,
    )
