"""Workers of all generations: forked on demand, one limit for the machine, killed at deadlines, ended when idle.

A crew is the workers of one generation. A worker belongs to one crew for life.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.batch import Batch, Yield
from hostd.workers.confinement import Confinement
from hostd.workers.intensity import Intensity
from hostd.workers.launch import SHARED, Launched, Place
from hostd.workers.nursery import Nursery
from hostd.workers.parts import Speed
from hostd.workers.peer import EXIT_TIMEOUT_S, Worker
from hostd.workers.questions import NotBegunError
from hostd.workers.sandbox import Sandbox
from hostd.workers.slots import Slots

IDLE_MOST = 64
"""How many workers may be idle at once: each holds a few MiB, and another is forked in milliseconds."""


class Crew:
    """The workers of one generation.

    `close` takes no more batches; `drain` waits for those under way; `kill` ends the processes now.
    """

    def __init__(
        self, pool: "Pool", nursery: Nursery, place: Place, load: wire.Load, time_s: float, generation: int
    ) -> None:
        self._pool = pool
        self.intensity = Intensity(pool.losses, pool.losses_window_s)
        self._nursery = nursery
        self._place = place
        self._load = load
        self._time_s = time_s
        self._speed = Speed()
        self._generation = generation
        self._idle: deque[tuple[float, Worker]] = deque()
        self._workers: dict[int, Worker] = {}
        self._leaving: set[Worker] = set()
        self._hiring: asyncio.Event | None = None
        self._freed = asyncio.Event()
        self._forking = 0
        self._in_flight = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._closed = False
        self._killed = False
        self._reaper: asyncio.TimerHandle | None = None

    @property
    def workers(self) -> int:
        """How many processes run now."""
        return len(self._workers)

    @property
    def place(self) -> Place:
        """What its workers are surrounded by."""
        return self._place

    @property
    def confined_by(self) -> str:
        """What confines its workers, which is known for certain after `settle`."""
        return self._pool.confinement.by

    @property
    def in_flight(self) -> int:
        """How many batches are under way."""
        return self._in_flight

    def parts_at_once(self, part_bytes: int) -> int:
        """Return how many parts of a size a batch of lines is to have now."""
        return self._speed.parts(part_bytes)

    def forbear(self) -> None:
        """Have no long batches for a while."""
        self._speed.forbear()

    def apart(self) -> "Crew":
        """Return a crew without workers for the same generation: what it loses is its own. `kill` it in the end."""
        return self._pool.crew(self._load, self._time_s, self._generation, self._place)

    async def settle(self) -> None:
        """Wait until it is known what confines its workers. Raises SandboxError, as the pool does."""
        await self._pool.settle()

    async def start(self) -> int:
        """Start the first worker; return its pid.

        Raises GenerationBrokenError or WorkerLostError; nothing is left behind then.
        """
        async with self._pool.starts.take(self._load.name):
            worker = await self._hire()
        self._rest(worker)
        return worker.pid

    async def parse(
        self, batch: Batch, time_s: float | None = None, *, behind: bool = True, forks: bool = True
    ) -> Yield:
        """Have a worker parse `batch`, forking one if need be. The caller holds one of the pool's slots.

        It may be put `behind` another batch in the line of a worker, and may then share the loss of that worker: where
        as many workers are busy as may be, or, unless `forks`, where there is such a line.
        Raises WorkerLostError when the worker is lost or none can be forked, GenerationBrokenError when none can be
        started, CrowdedError for a long batch, and UnfedError for a piece of a stream. When the caller is cancelled the
        worker is not: its answer is dropped.
        """
        time_s = time_s or self._time_s
        try:
            return await (await self._begin(batch, time_s, queue=behind, forks=forks))
        except NotBegunError:
            # The batch ahead of it in that worker's line takes long: do not share its fate.
            return await (await self._begin(batch, time_s, queue=False, forks=True))

    async def _begin(self, batch: Batch, time_s: float, *, queue: bool, forks: bool) -> asyncio.Future[Yield]:
        """Hand a batch to a worker; what is returned becomes its answer, or raises as `parse` does."""
        self._in_flight += 1
        self._settled.clear()
        try:
            worker = await self._seat(queue=queue, forks=forks)
        except OSError as error:
            self._land()
            raise WorkerLostError(f"none can be forked: {error}", innocent=True) from error
        except BaseException:
            self._land()
            raise
        most = wire.most_output(self._load.output_mib, len(batch.data)), self._load.snapshot_kib << 10
        return worker.parse(batch, time_s, most, self._pool.handoff_s, partial(self._answered, worker, batch))

    def _answered(self, worker: Worker, batch: Batch, lost: WorkerLostError | None) -> None:
        if lost is None:
            self._speed.note(len(batch.data), worker.took_s)
        elif not lost.innocent:
            if batch.part_bytes:  # it may be what several parts need together
                self.forbear()
            self._dismiss(worker)
        self._leave(worker)
        self._land()

    def _land(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._settled.set()

    async def _seat(self, *, queue: bool, forks: bool) -> Worker:
        """Return a worker for one more batch: an idle one, a new one, or one that parses, when cores are taken."""
        while not self._idle:
            if self._killed:
                raise WorkerLostError("its generation was retired", innocent=True)
            if queue and (not forks or self._pool.busy >= self._pool.busy_limit):
                with_room = [
                    each for each in self._workers.values() if 0 < each.outstanding < wire.DEPTH and each.in_reach
                ]
                if with_room:
                    with_room[0].outstanding += 1
                    return with_room[0]
                if self._hiring is not None:
                    await self._hiring.wait()
                    continue
            hired = len(self._workers) + self._forking
            if not hired or hired < self._pool.busy_limit:
                return await self._hire_busy()
            # One plugin has no more workers than there may be busy ones, even when all of them hang.
            self._freed.clear()
            await self._freed.wait()
        worker = self._idle.pop()[1]
        self._pool.idle.pop(worker, None)
        worker.outstanding = 1
        self._pool.busy += 1
        return worker

    async def _hire_busy(self) -> Worker:
        """Return a new worker that has a batch coming; others of the crew may wait for it to be there."""
        hiring = self._hiring = self._hiring or asyncio.Event()
        self._pool.busy += 1
        try:
            worker = await self._hire()
        except BaseException:
            self._pool.busy -= 1
            raise
        finally:
            hiring.set()
            if self._hiring is hiring:
                self._hiring = None
        worker.outstanding = 1
        return worker

    def _leave(self, worker: Worker) -> None:
        self._freed.set()
        worker.outstanding -= 1
        if not worker.outstanding:
            self._pool.busy -= 1
            if worker.pid in self._workers:
                self._rest(worker)

    def close(self) -> None:
        """Let idle workers end, and those that are busy after their batch. Returns at once."""
        self._closed = True
        while self._idle:
            self._dismiss(self._idle.pop()[1])

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no batch is under way; tell whether that was within `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), timeout_s)
        return not self._in_flight

    async def kill(self) -> None:
        """End all processes of the generation, and wait until they are reaped. A second call does nothing."""
        if self._killed:
            return
        self._killed = True
        self.close()
        self._freed.set()
        if self._reaper is not None:
            self._reaper.cancel()
        for worker in list(self._workers.values()):
            self._dismiss(worker)
        if self._leaving:
            await asyncio.wait([worker.exited for worker in self._leaving], timeout=EXIT_TIMEOUT_S)
        await self._pool.release(self._place)

    def lost(self, worker: Worker, reason: str) -> None:
        """Take note that a worker has ended."""
        expected = self._workers.pop(worker.pid, None) is None
        self._leaving.discard(worker)
        self._freed.set()
        self._forget_idle(worker)
        if not expected:
            worker.hang_up()
            events.emit(
                events.WORKER_EXITED,
                plugin=self._load.name,
                generation=self._generation,
                pid=worker.pid,
                reason=reason,
            )

    async def _hire(self) -> Worker:
        self._forking += 1
        try:
            await self._pool.settle()
            worker = await self._nursery.fork(self)
        finally:
            self._forking -= 1
            self._freed.set()
        self._workers[worker.pid] = worker
        try:
            await worker.load(self._load, self._pool.start_timeout_s)
        except BaseException:
            self._dismiss(worker)
            raise
        return worker

    def _rest(self, worker: Worker) -> None:
        if self._closed:
            self._dismiss(worker)
            return
        if not worker.in_reach:
            self._nursery.kill(worker)  # it has ended, or closed its socket: `lost` says so when that is known
            return
        self._idle.append((clock.monotonic(), worker))
        if self._reaper is None:
            self._reap_after(self._pool.idle_s)
        self._pool.idle[worker] = self._dismiss
        if len(self._pool.idle) > IDLE_MOST:
            longest, dismiss = next(iter(self._pool.idle.items()))
            dismiss(longest)

    def _forget_idle(self, worker: Worker) -> None:
        self._idle = deque(entry for entry in self._idle if entry[1] is not worker)
        self._pool.idle.pop(worker, None)

    def _dismiss(self, worker: Worker) -> None:
        self._forget_idle(worker)
        if self._workers.pop(worker.pid, None) is not None:
            self._leaving.add(worker)
        worker.dismiss()
        self._nursery.kill(worker)
        self._freed.set()

    def _reap_after(self, delay_s: float) -> None:
        self._reaper = asyncio.get_running_loop().call_later(delay_s, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        oldest = clock.monotonic() - self._pool.idle_s
        while self._idle and self._idle[0][0] <= oldest:
            self._dismiss(self._idle.popleft()[1])
        if self._idle:
            self._reap_after(max(0.01, self._idle[0][0] - oldest))


class Pool:
    """All workers of the daemon, by the place that they are in; `launched` is the shared place's zygote, if it runs.

    A generation that loses its worker with more than `losses` batches within `losses_window_s` is failing.
    """

    def __init__(
        self,
        busy: int,
        idle_s: float,
        launched: Launched | None = None,
        *,
        sandbox: Sandbox | None = None,
        handoff_s: float = 0.25,
        losses: int = 5,
        losses_window_s: float = 60.0,
        start_timeout_s: float = 30.0,
    ) -> None:
        self.confinement = Confinement(sandbox)
        # Each worker that parses has the next batch in its other inbox.
        self.slots = Slots(busy * wire.DEPTH, handoff_s)
        # More starts at once take longer each, and memory: a thousand plugins are started one after the other, those
        # first that something waits for.
        self.starts = Slots(busy * 2, handoff_s)
        self.idle: dict[Worker, Callable[[Worker], None]] = {}
        """The idle workers of all crews, the one that has been so for longest first, and what ends it."""
        self.busy_limit = busy
        self.busy = 0
        self.handoff_s = handoff_s
        self.idle_s = idle_s
        self.losses = losses
        self.losses_window_s = losses_window_s
        self.start_timeout_s = start_timeout_s
        self._nurseries = {SHARED: Nursery(SHARED, self.confinement, idle_s, launched)}
        self._crews: Counter[Place] = Counter()

    def crew(
        self, load: wire.Load, time_s: float, generation: int, place: Place = SHARED, uses: Sequence[str] = ()
    ) -> Crew:
        """Return a crew without workers for a generation. `kill` it in the end, also when it never started one.

        `uses` are modules of `preload` that its workers will import.
        """
        nursery = self._nurseries.get(place)
        if nursery is None:
            nursery = self._nurseries[place] = Nursery(place, self.confinement, self.idle_s)
        nursery.expect(uses)
        self._crews[place] += 1
        return Crew(self, nursery, place, load, time_s, generation)

    async def settle(self) -> None:
        """Wait until it is known whether plugins are confined. Raises SandboxError when they must be and cannot."""
        if not self.confinement.decided:
            await self._nurseries[SHARED].ready()

    async def release(self, place: Place) -> None:
        """Take note that a crew has ended; the zygote of a place that nobody uses any more ends with the last one."""
        self._crews[place] -= 1
        if not self._crews[place]:
            del self._crews[place]
            if place != SHARED:
                await self._nurseries.pop(place).close()

    async def close(self) -> None:
        """End all workers and zygotes."""
        await asyncio.gather(*(nursery.close() for nursery in self._nurseries.values()))
