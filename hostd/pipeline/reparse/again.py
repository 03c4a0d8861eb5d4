"""Bytes of a source that were parsed once, parsed again by what is current: cut as its framing says, in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from hostd.errors import HostdError
from hostd.pipeline.framing import NOT_YET, Cut, next_cut
from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.parse import NotNowError, NotServedError, parse
from hostd.pipeline.reparse.plan import Segment
from hostd.pipeline.serving import Generation
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.decoders import Decoders
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.original import Repeated, find_original
from hostd.pipeline.sources.unpacked import Unpacked
from hostd.workers.batch import Batch, DeadLetter, Yield
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError

CUT_KINDS = ("lines", "multiline", "whole")
"""The framings whose batches mean the same wherever they are parsed."""


@dataclass(slots=True, eq=False)
class _Part(FileSource):
    """A file that ends at `until`."""

    until: int = 1 << 62

    def size(self) -> int:
        return min(FileSource.size(self), self.until)

    def read(self, offset: int, length: int) -> bytes:
        return FileSource.read(self, offset, max(0, min(length, self.until - offset)))


@dataclass(frozen=True, slots=True)
class Made:
    """What came of bytes `begin` to `until`, with this header before them, and by which generation."""

    begin: int
    until: int
    generation: Generation
    result: Yield
    header: bytes = b""


@dataclass(frozen=True, slots=True)
class _Work:
    begin: int
    cut: Cut
    header: bytes
    task: asyncio.Task[tuple[Generation, Yield]]


async def parse_again(
    segment: Segment, plugin: str, current: Callable[[], Generation | None], pool: Pool
) -> AsyncIterator[Made]:
    """Yield what the current generation makes of a segment, in order and without a gap.

    Raises HostdError when the source is gone, or the plugin cannot parse now.
    """
    row = segment.source
    found = await asyncio.to_thread(find_original, row)
    if isinstance(found, str):
        raise HostdError(row.name, found, "ask again: it is left out then")
    source = _Part(row.id, row.name, str(found.path), found.fd, row.device, row.inode)
    if isinstance(found.content, Repeated):
        source.content = Unpacked(found.fd, found.content.kind, Decoders())
    pending: deque[_Work] = deque()
    reached = segment.begin
    try:
        source.rewind(Checkpoint(segment.begin))
        while True:
            while len(pending) < pool.slots.capacity and source.offset < segment.until:
                begin = pending[-1].cut.end if pending else reached
                if (
                    work := await _begin(source, begin, segment.until, _serving(plugin, current), current, pool)
                ) is None:
                    break
                pending.append(work)
            if not pending:
                break
            try:
                generation, result = await pending[0].task
            except NotServedError:
                await _drop(pending)  # another one is current, and cuts otherwise
                source.rewind(Checkpoint(reached))
                continue
            except (GenerationBrokenError, NotNowError) as error:
                raise HostdError(plugin, f"it cannot parse now: {error}", "see its log, and ask again") from error
            work = pending.popleft()
            reached = work.cut.end if pending or source.offset < segment.until else segment.until
            yield Made(work.begin, reached, generation, result, work.header)
        if reached < segment.until:  # nothing but a header
            yield Made(reached, segment.until, _serving(plugin, current), Yield(0, b""))
    finally:
        await _drop(pending)
        source.close()


def _serving(plugin: str, current: Callable[[], Generation | None]) -> Generation:
    generation = current()
    if generation is None:
        raise HostdError(plugin, "no generation of it is in service", "drop it into the plugins folder first")
    if generation.framing.kind not in CUT_KINDS:
        raise HostdError(
            plugin,
            f"its framing is {generation.framing.kind}: what it makes of bytes depends on all that came before them",
            "hostd parse reads a file from its start, apart",
        )
    return generation


async def _begin(
    source: _Part,
    begin: int,
    until: int,
    generation: Generation,
    current: Callable[[], Generation | None],
    pool: Pool,
) -> _Work | None:
    """Cut the next batch and have it parsed; None when nothing but a header is left."""
    framing, limits = generation.framing, generation.manifest.limits
    while True:
        try:
            source.until = 1 << 62  # a header may end after what is parsed again
            source.find_header(framing, final=True)
            source.until = until
            if source.offset >= until:
                return None
            cut = next_cut(source, framing, limits.batch_kib << 10, limits.record_mib << 20, quiet=True, final=True)
        except NotLoadedError as missing:
            source.content.let_go(source.offset)
            await source.load(missing)
            continue
        if cut is NOT_YET:
            await asyncio.sleep(0)
            continue
        if cut is None:
            raise HostdError(source.name, "it was cut while it was parsed again", "ask again: it is left out then")
        source.offset, source.scanned = cut.end, 0
        task = asyncio.create_task(_work(source.name, source.header, cut, generation, current, pool))
        return _Work(begin, cut, source.header, task)


async def _work(
    name: str, header: bytes, cut: Cut, generation: Generation, current: Callable[[], Generation | None], pool: Pool
) -> tuple[Generation, Yield]:
    if cut.too_long:
        limit = generation.manifest.limits.record_mib
        reason = f"a record of {cut.end - cut.start} bytes is over the limit (limits.record_mib = {limit})"
        return generation, Yield(0, b"", (DeadLetter(cut.start, cut.data, reason, ""),))
    return await parse(Batch(name, cut.start, header, cut.data), generation.framing, current, pool)


async def _drop(pending: deque[_Work]) -> None:
    for work in pending:
        work.task.cancel()
    await asyncio.gather(*(work.task for work in pending), return_exceptions=True)
    pending.clear()
