"""Sources to workers and back: batches of one source side by side, their results in its order.

A source costs a task only while it has something to read. Memory under way is bounded by the budget; what does
not fit stays in the file.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from contract.framing import Framing
from hostd import clock, events
from hostd.pipeline.admission import Admission
from hostd.pipeline.commit import Committer, Entry
from hostd.pipeline.flow import COST_FACTOR, QUIET_S, RESULT_BYTES, Flow, Work, excess, weight
from hostd.pipeline.framing import NOT_YET, Cut, declared, has_parts, next_cut, next_piece
from hostd.pipeline.ledger import Result
from hostd.pipeline.parse import Fallback, NotNowError, NotServedError, note_loss, parse
from hostd.pipeline.routes import Routes
from hostd.pipeline.routing import Route
from hostd.pipeline.said import log_yield
from hostd.pipeline.serving import Catalog, Generation
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.streams import Streams, StuckError
from hostd.pipeline.waking import Waking
from hostd.tasks import Tasks
from hostd.workers.batch import Batch, DeadLetter, Yield
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError

GATHER_S = 0.005
"""How long after a small batch the next one of the same source may begin: an application that writes line by line costs
a batch and a commit now and then, not one a line. A line that comes after a while is read at once."""

SMALL_BYTES = 32 << 10

AHEAD_BYTES = 2 << 20
"""How much of a source is read ahead, beyond a batch for each place before a worker: what a swap has to wait for."""

BROKEN_RETRY_S = 1.0


class Pump:
    """Moves bytes.

    `on_rewritten` tells the owner of the sources what became of one, `on_parsed` gets every batch that was parsed, and
    `on_regression` every one that only the proven generation parses. `on_dead` gets the generation that has left dead
    letters behind, once they are durable.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        pool: Pool,
        committer: Committer,
        streams: Streams,
        memory_bytes: int,
        on_rewritten: Callable[[FileSource], None],
        on_parsed: Callable[[str, Framing, Batch], None],
        on_regression: Callable[[str, int, Batch, str], None],
        on_dead: Callable[[Generation], None] = lambda _: None,
        tasks: Tasks,
        final: bool = False,
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._committer = committer
        self._streams = streams
        self._admission = Admission(memory_bytes, pool.slots.capacity)
        self._budget = self._admission.budget
        self._routes = Routes(catalog, committer, pool, self._is_final, self._wake_later)
        self._on_rewritten = on_rewritten
        self._on_parsed = on_parsed
        self._on_regression = on_regression
        self._on_dead = on_dead
        self._final = final
        self._tasks = tasks
        self._window = 2 * pool.slots.capacity
        self._flows: dict[FileSource, Flow] = {}
        self._waking = Waking(self._wake_again)
        self._closed = False

    def wake(self, source: FileSource) -> None:
        """Read what `source` has. Returns at once; a source that is being read is looked at again."""
        if source.is_let_go:
            return
        flow = self._flows.get(source)
        if flow is None:
            flow = self._flows[source] = Flow(source)
        flow.woken = True
        if flow.task is not None or flow.queued or self._closed:
            return
        if (rest_s := self._gathers_for_s(flow)) > 0:
            self._wake_later(flow, rest_s)
            return
        if self._has_nothing(flow):
            return
        if self._admission.enter(flow, flow.route.plugin if flow.route else None):
            self._start(flow)

    def _start(self, flow: Flow) -> None:
        flow.since = math.inf
        flow.task = self._tasks.start(self._drain(flow), f"drain {flow.source.name}")

    def _leave(self, place: str | None) -> None:
        """Let another source in."""
        while (flow := self._admission.leave(place)) is not None:
            if self._flows.get(flow.source) is flow and not self._closed:
                self._start(flow)
                return

    def _moves(self, flow: Flow, plugin: str) -> bool:
        """Have a source that is read be at its plugin's place of the gate; False where it has to wait there."""
        if flow.place == plugin:
            return True
        before = flow.place
        entered = self._admission.enter(flow, plugin)
        self._leave(before)
        return entered

    def _has_nothing(self, flow: Flow) -> bool:
        """Route a source that is read to its end, and tell whether it is one: it need not cost a task.

        There may be many thousands of them, and all are woken at every start and every swap.
        """
        try:
            if not flow.source.is_at_rest() or not self._streams.has_ended(flow.source):
                return False
            self._routes.generation_for(flow)
        except (OSError, NotLoadedError):
            return False  # the task will say so
        flow.woken = False
        return True

    def wake_all(self) -> None:
        """Route and read every source anew: another generation is live, or one is gone.

        Returns at once: what is being read finds out by itself, and the others are woken a slice at a time.
        """
        for flow in self._flows.values():
            flow.gathers_until = 0.0
        self._waking.start(self._flows.values())

    def _wake_again(self, flow: Flow) -> None:
        if self._flows.get(flow.source) is flow:
            self.wake(flow.source)

    def try_again(self) -> None:
        """Forget how often generations have lost their workers, and read all sources: an operator asks for it."""
        for generation in self._catalog.current.values():
            if generation.crew.intensity.heal():
                events.emit(events.GENERATION_RECOVERED, plugin=generation.plugin, generation=generation.number)
        self._streams.try_again()
        self.wake_all()

    def route_anew(self) -> None:
        """Route and read every source anew: another sink takes, or no sink takes, what they yield."""
        for flow in self._flows.values():
            flow.routed_at_epoch = -1
        self.wake_all()

    def knows(self, media_type: str) -> bool:
        """Tell whether any plugin accepts a media type."""
        return any(media_type in each.accepts.media_types for each in self._catalog.manifests.values())

    def route_of(self, source: FileSource) -> Route:
        """Return where a source's batches go."""
        if why := self._streams.why_waiting(source):
            return Route(None, why)
        flow = self._flows.get(source)
        if source.trouble and not (flow and flow.route):
            return Route(None, source.trouble)
        return flow.route if flow and flow.route else Route(None, "nothing of it is to be read")

    def has_ended(self, source: FileSource) -> bool:
        """Tell whether nothing is held of a source any more: its stream, if it is one, was told that it ends."""
        return self._streams.has_ended(source)

    def kept_by(self, source: FileSource) -> int | None:
        """Return the generation that keeps a source's stream, instead of the current one."""
        return self._streams.kept_by(source)

    def finish(self) -> None:
        """Take what the sources hold now as all there will be."""
        self._final = True

    async def settle(self) -> None:
        """Wait until no source is being read."""
        while True:
            await self._waking.ended()
            tasks = [flow.task for flow in self._flows.values() if flow.task is not None]
            if not tasks:
                return
            await asyncio.wait(tasks)

    async def settle_one(self, source: FileSource) -> None:
        """Wait until a source is not being read."""
        flow = self._flows.get(source)
        while flow is not None and flow.task is not None:
            await asyncio.wait([flow.task])

    async def forget(self, source: FileSource) -> None:
        """Finish what is under way for a source, read no more of it, and drop it."""
        source.is_let_go = True
        await self.settle_one(source)
        self._streams.forget(source)
        flow = self._flows.pop(source, None)
        if flow is None:
            return
        if flow.timer is not None:
            flow.timer.cancel()
        self._admission.give_up(flow)

    async def close(self, timeout_s: float) -> None:
        """Read no more; wait for what is under way, and drop what is not done by then."""
        self._closed = True
        self._waking.stop()
        for flow in self._flows.values():
            if flow.timer is not None:
                flow.timer.cancel()
        tasks = [flow.task for flow in self._flows.values() if flow.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, flow: Flow) -> None:
        """Read, parse and deliver until the source has no more."""
        pending: deque[Work] = deque()
        try:
            while True:
                flow.woken = False
                if not self._closed and not flow.source.is_let_go:
                    await self._fill(flow, pending)
                if pending:
                    await self._deliver(flow, pending)
                elif flow.queued:
                    return
                elif self._admission.gives_way(flow):
                    flow.woken = True
                    return
                elif self._closed or flow.source.is_let_go or not flow.woken:
                    self._streams.rest(flow.source)
                    return
        except OSError as error:
            events.emit(events.SOURCE_UNREADABLE, source=flow.source.name, reason=str(error))
            self._wake_later(flow, BROKEN_RETRY_S)
        finally:
            self._abandon(flow, pending)
            self._admission.let_go(flow)
            flow.task = None
            if not flow.queued:
                self._leave(flow.place)
            if flow.woken and not self._closed:
                self.wake(flow.source)

    async def _fill(self, flow: Flow, pending: deque[Work]) -> None:
        """Start work until the window or the budget is full, or there is nothing more to read."""
        source = flow.source
        while self._has_room(pending) and not flow.given_up and not self._admission.gives_way(flow):
            if not await self._prepare(flow):
                return
            try:
                generation = await self._next_generation(flow, alone=not pending)
                cut = None if generation is None else self._cut(flow, generation)
            except NotLoadedError as missing:
                await source.load(missing)
                continue
            if generation is None or cut is None:
                return
            if cut is NOT_YET:
                await asyncio.sleep(0)
                continue
            cost, plugin = len(cut.data) * COST_FACTOR, generation.plugin
            if not self._admission.keep(flow, cost, plugin) and not self._budget.try_take(cost, plugin):
                if pending:
                    return  # ours come back first
                await self._budget.take(cost, plugin)
                flow.held = cost, plugin
                continue  # the file may have changed while we waited
            if len(cut.data) < SMALL_BYTES:
                flow.gathers_until = clock.monotonic() + GATHER_S
            before = source.reached
            try:
                source.advance(cut.end, cut.data if not cut.too_long else b"")
            except OSError:
                self._budget.give(cost, plugin)
                raise
            flow.since = min(flow.since, clock.monotonic())
            blocks = generation.framing.kind != "stream" and self._committer.takes_blocks(plugin)
            task = asyncio.create_task(self._work(source, cut, generation, blocks=blocks))
            pending.append(Work(cut, plugin, source.header, before, source.row(), blocks, task))

    def _has_room(self, pending: deque[Work]) -> bool:
        """Tell whether to read ahead: one batch more than workers have before them, and more of short ones."""
        if len(pending) <= self._pool.slots.capacity:
            return True
        return len(pending) < self._window and sum(len(work.cut.data) for work in pending) < AHEAD_BYTES

    async def _prepare(self, flow: Flow) -> bool:
        """Find out how to read a source; False when that cannot be told yet."""
        wait_s = await flow.source.prepare(final=self._final)
        if wait_s is not None and wait_s < math.inf:
            self._wake_later(flow, wait_s)
        return wait_s is None

    async def _next_generation(self, flow: Flow, *, alone: bool) -> Generation | None:
        """Return who gets the source's next batch, None when nothing is to be read now. `alone`: none is under way."""
        source = flow.source
        if source.was_rewritten():
            if not alone:
                return None  # what was read before comes first
            self._on_rewritten(source)
            flow.routed_at_epoch = -1
            raise NotLoadedError(0, 0)  # what it holds now may have to be unpacked: that is found out first
        generation = self._routes.generation_for(flow)
        if generation is not None and alone and not self._moves(flow, generation.plugin):
            return None
        if generation is not None and self._streams.concern(source, generation):
            if not alone:
                return None  # a stream is fed one piece after the other
            generation = await self._streams.serving(source, generation)
        if generation is None or self._final:
            return generation
        rest_s = generation.crew.intensity.rest_s(clock.monotonic())
        if source.size() - source.offset < generation.manifest.limits.batch_kib << 10:
            rest_s = max(rest_s, self._gathers_for_s(flow))
        if rest_s > 0:
            self._wake_later(flow, rest_s)
            return None
        return generation

    def _cut(self, flow: Flow, generation: Generation) -> Cut | None:
        """Cut what a source's next batch is, None when it is not there yet. Raises NotLoadedError."""
        source, framing, limits = flow.source, generation.framing, generation.manifest.limits
        final = (self._final and not source.is_cut_short() and not source.is_coming) or source.has_ended()
        batch_bytes = limits.batch_kib << 10
        if not source.find_header(framing, final=final):
            return None
        if framing.kind == "stream":
            return next_piece(source, batch_bytes, final=final, ended=self._streams.has_ended(source))
        quiet = framing.kind != "lines" and source.idle_for_s() >= QUIET_S
        final = final or source.takes_partial_line()
        if has_parts(framing):
            batch_bytes *= generation.crew.parts_at_once(batch_bytes)
        cut = next_cut(source, framing, batch_bytes, limits.record_mib << 20, quiet=quiet, final=final)
        if cut is None and source.size() > source.offset:
            if framing.kind != "lines" and not quiet:
                self._wake_later(flow, QUIET_S)
            if (wait_s := source.whole_in_s()) is not None:
                self._wake_later(flow, wait_s)
        return cut

    async def _work(
        self, source: FileSource, cut: Cut, generation: Generation, *, blocks: bool
    ) -> tuple[Generation, Yield]:
        if cut.too_long:
            limit = generation.manifest.limits.record_mib
            reason = f"a record of {cut.end - cut.start} bytes is over the limit (limits.record_mib = {limit})"
            return generation, Yield(0, b"", (DeadLetter(cut.start, cut.data, reason, "", cut.end - cut.start),))
        part_bytes = generation.manifest.limits.batch_kib << 10 if has_parts(generation.framing) else 0
        batch = Batch(source.name, cut.start, source.header, cut.data, blocks=blocks, part_bytes=part_bytes)
        plugin = generation.plugin
        fallback = Fallback(lambda: self._catalog.warm.get(plugin), self._on_regression)
        async with self._budget.turn(plugin):
            if generation.framing.kind == "stream":
                generation, result, batch = await self._streams.feed(source, cut, generation, fallback)
            else:
                generation, result = await parse(
                    batch, generation.framing, lambda: self._catalog.current.get(plugin), self._pool, fallback
                )
            self._budget.charge(excess(cut, result), plugin)
        if result.records:
            self._on_parsed(plugin, generation.framing, batch)
        return generation, result

    async def _deliver(self, flow: Flow, pending: deque[Work]) -> None:
        """Wait for the oldest batch and hand its result on; if it cannot be parsed now, read it again later."""
        work = pending[0]
        try:
            generation, result = await work.task
        except NotServedError:
            self._abandon(flow, pending)
            flow.routed_at_epoch = -1
            flow.woken = True
            return
        except StuckError as error:
            self._abandon(flow, pending)
            events.emit(events.SOURCE_UNPARSED, source=flow.source.name, plugin=work.plugin, reason=str(error))
            await asyncio.sleep(BROKEN_RETRY_S)
            flow.given_up = self._final
            flow.woken = True
            return
        except (GenerationBrokenError, NotNowError) as error:
            self._abandon(flow, pending)
            self._note_broken(flow, work.plugin, str(error))
            await asyncio.sleep(BROKEN_RETRY_S)
            flow.given_up = self._final and self._is_failing(work.plugin)
            flow.woken = True
            return
        committer, plugin = self._committer, generation.plugin
        if not committer.takes(plugin) or (work.blocks and not committer.takes_blocks(plugin)):
            self._abandon(flow, pending)  # its sinks are others meanwhile: it is read again, or waits in its file
            flow.routed_at_epoch = -1
            flow.woken = True
            return
        self._submit(flow.source, work, generation, result)
        pending.popleft()

    def _note_broken(self, flow: Flow, plugin: str, reason: str) -> None:
        """A generation cannot be started any more, or loses every worker to something else: losses like any other."""
        generation = self._catalog.current.get(plugin)
        if generation is not None and self._streams.kept_by(flow.source) is None:
            note_loss(generation, reason)
        events.emit(events.SOURCE_UNPARSED, source=flow.source.name, plugin=plugin, reason=reason)

    def _is_failing(self, plugin: str) -> bool:
        generation = self._catalog.current.get(plugin)
        return generation is not None and generation.crew.intensity.is_failing

    def _submit(self, source: FileSource, work: Work, generation: Generation, result: Yield) -> None:
        log_yield(source.name, generation, result)
        row = work.after
        stream, taken_over = self._streams.accept(source) if generation.framing.kind == "stream" else (None, None)
        plugin, over = work.plugin, excess(work.cut, result)
        # From here on only the result is held. It would halve what workers can have, were it to count as the batch did.
        kept = min(work.cost, weight(result) + RESULT_BYTES)
        self._budget.give(work.cost - kept, plugin)

        def done() -> None:
            self._budget.give(kept, plugin)
            self._budget.discharge(over, plugin)
            generation.records += result.records
            generation.rejected += len(result.dead)
            if source.id == row.id:
                source.account_for(row.checkpoint)
            if result.dead:
                self._on_dead(generation)

        self._committer.submit(
            Entry(
                Result(
                    row,
                    work.before.offset,
                    generation.plugin,
                    generation.number,
                    result.records,
                    result.lines,
                    result.dead,
                    work.header,
                    declared(generation.manifest).as_text() if result.dead else "",
                    stream,
                    taken_over,
                ),
                done,
                source.is_awaited,
            )
        )

    def _abandon(self, flow: Flow, pending: deque[Work]) -> None:
        """Forget work under way; the source is read again from the first of it."""
        if not pending:
            return
        flow.source.rewind(pending[0].before)
        for work in pending:
            self._budget.give(work.cost, work.plugin)
            if not work.task.cancel() and not work.task.cancelled() and work.task.exception() is None:
                self._budget.discharge(excess(work.cut, work.task.result()[1]), work.plugin)
        pending.clear()

    def _is_final(self, source: FileSource) -> bool:
        """Tell whether what a source holds is all there will be."""
        return (self._final and not source.is_coming) or source.has_ended()

    def _gathers_for_s(self, flow: Flow) -> float:
        return 0.0 if self._final else flow.gathers_for_s()

    def _wake_later(self, flow: Flow, delay_s: float) -> None:
        """Wake a source in `delay_s`, or earlier if that was asked for: whoever is woken in vain asks again."""
        flow.ring_in(delay_s, self._ring)

    def _ring(self, flow: Flow) -> None:
        flow.timer = None
        self.wake(flow.source)
