"""Where the workers of one place come from: its zygote, and one worker forked ahead so that a swap does not wait.

Every worker that was handed out has one owner, which is told when it ends.
"""

import asyncio
from typing import Protocol

from hostd.errors import WorkerLostError
from hostd.workers.confinement import Confinement
from hostd.workers.launch import Launched, Place
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

    def __init__(self, place: Place, confinement: Confinement, launched: Launched | None = None) -> None:
        self._spawner = Spawner(place, confinement, self._on_exit, launched)
        self._owners: dict[int, tuple[Owner | None, Worker]] = {}
        self._spare: Worker | None = None
        self._spare_task: asyncio.Task[None] | None = None
        self._spare_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def ready(self) -> None:
        """Wait until there is a zygote. Raises as `fork` does."""
        await self._spawner.ready()

    async def fork(self, owner: Owner) -> Worker:
        """Return a new worker; it has loaded nothing yet. Raises WorkerLostError, or OSError when there can be none."""
        worker, self._spare = self._spare, None
        if worker is None:
            worker = await self._fork()
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
        if self._spare_timer is not None:
            self._spare_timer.cancel()
        if self._spare_task is not None:
            await asyncio.wait([self._spare_task])
        for _, worker in self._owners.values():
            worker.dismiss()
        await self._spawner.close()

    async def _fork(self) -> Worker:
        worker = Worker()
        await worker.fork(self._spawner)
        return worker

    def _fork_spare(self) -> None:
        self._spare_task = asyncio.get_running_loop().create_task(self._keep_spare(), name="spare worker")

    async def _keep_spare(self) -> None:
        try:
            if self._spare is None and not self._closed:
                self._spare = await self._fork()
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
