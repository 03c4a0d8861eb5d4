"""Where the workers of one place come from: its zygote, and one worker forked ahead so that a swap does not wait.

Every worker that was handed out has one owner, which is told when it ends. The zygote of an environment costs a
process, and so ends when nobody has had a worker of it for a while; whoever needs the next worker starts another.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from hostd import events
from hostd.errors import WorkerLostError
from hostd.workers.confinement import Confinement
from hostd.workers.launch import SHARED, Launched, Place
from hostd.workers.peer import Worker
from hostd.workers.spawner import Spawner

SPARE_DELAY_S = 0.05
"""How long after a worker was taken the next one is forked ahead; by then the one that was taken is up."""


class Owner(Protocol):
    """Who uses a worker."""

    def lost(self, worker: Worker, reason: str) -> None:
        """Take note that a worker has ended."""
        ...


class Nursery:
    """The zygote of one place and its workers. The zygote is `launched`, or started when it is needed."""

    def __init__(self, place: Place, confinement: Confinement, idle_s: float, launched: Launched | None = None) -> None:
        self._place = place
        self._confinement = confinement
        self._idle_s = idle_s if place != SHARED else None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._waiting = 0
        self._spawner = Spawner(place, confinement, self._on_exit, launched)
        self._owners: dict[int, tuple[Owner | None, Worker]] = {}
        self._spare: Worker | None = None
        self._spare_task: asyncio.Task[None] | None = None
        self._spare_timer: asyncio.TimerHandle | None = None
        self._preload: set[str] = set()
        self._closed = False

    def expect(self, modules: Sequence[str]) -> None:
        """Have the zygote import these before it forks again: workers that need them will be asked for.

        One with an environment of its own imports them from there, which is foreign, and so in each worker only.
        """
        if self._place.packages or self._preload >= {*modules}:
            return
        self._preload |= {*modules}
        self._end_spare()

    async def ready(self) -> None:
        """Wait until there is a zygote. Raises as `fork` does."""
        await self._spawner.ready()

    async def fork(self, owner: Owner) -> Worker:
        """Return a new worker; it has loaded nothing yet. Raises WorkerLostError, or OSError when there can be none."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        worker, self._spare = self._spare, None
        if worker is None:
            self._waiting += 1
            try:
                worker = await self._fork()
            finally:
                self._waiting -= 1
                self._rest_if_idle()
        self._owners[worker.pid] = owner, worker
        if self._spare_timer is None and not self._closed:
            self._spare_timer = asyncio.get_running_loop().call_later(SPARE_DELAY_S, self._fork_spare)
        return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL a worker and what it started."""
        self._spawner.kill(worker.pid)

    async def close(self) -> None:
        """End all workers and the zygote."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._ending is not None:
            await asyncio.wait([self._ending])
        if self._spare_timer is not None:
            self._spare_timer.cancel()
        if self._spare_task is not None:
            await asyncio.wait([self._spare_task])
        for _, worker in self._owners.values():
            worker.dismiss()
        await self._end(self._spawner, "no plugin needs it")

    async def _fork(self, *, ahead: bool = False) -> Worker:
        worker = Worker()
        await worker.fork(self._spawner, sorted(self._preload), ahead=ahead)
        return worker

    def _fork_spare(self) -> None:
        self._spare_task = asyncio.get_running_loop().create_task(self._keep_spare(), name="spare worker")

    async def _keep_spare(self) -> None:
        try:
            if self._spare is None and not self._closed:
                self._spare = await self._fork(ahead=True)
                self._owners[self._spare.pid] = None, self._spare
        except (WorkerLostError, OSError):
            return  # the zygote has ended, which it says itself; whoever needs a worker starts another
        finally:
            self._spare_timer = None

    def _on_exit(self, pid: int, reason: str, blameless: bool) -> None:  # noqa: FBT001
        owner, worker = self._owners.pop(pid, (None, None))
        if worker is None:
            return
        if worker is self._spare:
            self._spare = None
            worker.hang_up()
        worker.blameless = blameless
        if not worker.exited.done():
            worker.exited.set_result(reason)
        if owner is not None:
            owner.lost(worker, reason)
        self._rest_if_idle()

    def _rest_if_idle(self) -> None:
        """Have the zygote end if nobody has a worker of it, nor gets one, until `idle_s` from now."""
        if self._idle_s is not None and self._is_idle() and self._idle_timer is None and not self._closed:
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._rest)

    def _is_idle(self) -> bool:
        return not self._waiting and all(owner is None for owner, _ in self._owners.values())

    def _rest(self) -> None:
        self._idle_timer = None
        if not self._is_idle():
            return
        if self._spare_task is not None and not self._spare_task.done():
            self._rest_if_idle()
            return
        if self._spare_timer is not None:
            self._spare_timer.cancel()
            self._spare_timer = None
        self._end_spare()
        # Whoever needs a worker from now on must not get one of a zygote that is ending.
        spawner, self._spawner = self._spawner, Spawner(self._place, self._confinement, self._on_exit)
        self._ending = asyncio.create_task(
            self._end(spawner, f"idle for {self._idle_s:g} s"), name="end an idle zygote"
        )

    def _end_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            del self._owners[spare.pid]
            spare.dismiss()

    async def _end(self, spawner: Spawner, reason: str) -> None:
        pid = spawner.zygote_pid
        await spawner.close()
        if pid is not None and self._place != SHARED:
            events.emit(events.ZYGOTE_RETIRED, pid=pid, reason=reason)
