"""What an operator asks for: one reparse at a time, and how far it has come."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hostd import events
from hostd.errors import HostdError
from hostd.pipeline.commit import Committer
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.reparse.job import Job, Progress, State
from hostd.pipeline.reparse.plan import Plan
from hostd.pipeline.serving import Catalog, Generation
from hostd.tasks import Tasks
from hostd.workers.pool import Pool


class Reparser:
    """Starts reparses, and tells of the last one. `close` ends the one that runs, and everything is as it was.

    `turns` is whose turn it is with what a plugin could not parse: a reparse and a replay of dead letters at once would
    both make records of the same bytes.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        pool: Pool,
        committer: Committer,
        ledger: Ledger,
        tasks: Tasks,
        turns: Callable[[str], asyncio.Lock],
    ) -> None:
        self._turns = turns
        self._catalog = catalog
        self._pool = pool
        self._committer = committer
        self._ledger = ledger
        self._tasks = tasks
        self._progress: Progress | None = None
        self._running: tuple[Job, asyncio.Task[None]] | None = None

    async def asked(self, arguments: dict[str, str]) -> dict[str, Any]:
        """Answer a request for a reparse, or with `dry_run` for its plan. Raises HostdError, or KeyError."""
        name, generation = arguments["name"], arguments["generation"]
        if not generation.isdecimal():
            raise HostdError("--generation", f"{generation!r} is no generation", "give its number, as in hostd status")
        if "dry_run" in arguments:
            return await self.plan(name, int(generation))
        return self.start(name, int(generation))

    async def told(self, _: dict[str, str]) -> dict[str, Any]:
        """Answer a request for the progress. Raises HostdError."""
        return self.progress()

    async def plan(self, plugin: str, generation: int) -> dict[str, Any]:
        """Return what `start` would do, as JSON values. Raises HostdError."""
        self._check(plugin, generation)
        plan = await self._job(Progress(plugin, generation)).plan()
        return {"plugin": plugin, "generation": generation, "state": "planned", **_plan(plan)}

    def start(self, plugin: str, generation: int) -> dict[str, Any]:
        """Begin, and return at once; `progress` tells how it goes on. Raises HostdError."""
        self._check(plugin, generation)
        self._progress = progress = Progress(plugin, generation)
        job = self._job(progress)
        self._running = job, self._tasks.start(self._run(job, progress), f"reparse {plugin}")
        return self.progress()

    def progress(self) -> dict[str, Any]:
        """Return how far the last reparse has come, as JSON values. Raises HostdError when there was none."""
        progress = self._progress
        if progress is None:
            raise HostdError("reparse", "none was asked for since the daemon has started", "ask: hostd reparse NAME")
        error = progress.error
        return {
            "plugin": progress.plugin,
            "generation": progress.generation,
            "state": progress.state.value,
            "parsed": progress.parsed,
            "records_after": progress.records_after,
            "dead_after": progress.dead_after,
            "by": sorted(progress.generations),
            "error": {"where": error.where, "problem": error.problem, "remedy": error.remedy} if error else None,
            **(_plan(progress.plan) if progress.plan is not None else {}),
        }

    async def close(self) -> None:
        """End what runs: nothing is replaced then, unless all of it is already."""
        if self._running is not None:
            job, task = self._running
            job.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, job: Job, progress: Progress) -> None:
        turn = self._turns(progress.plugin)
        if turn.locked():
            progress.state = State.WAITING
        try:
            async with turn:
                await self._committer.flush()  # what a replay has left
                progress.state = State.PLANNING
                await job.run()
        except HostdError as error:
            progress.error, progress.state = error, State.FAILED
        except asyncio.CancelledError:
            progress.error = HostdError(progress.plugin, "the daemon stops", "ask again when it runs")
            progress.state = State.FAILED
            raise
        finally:
            self._running = None
            if progress.error is not None:
                events.emit(
                    events.REPARSE_FAILED,
                    plugin=progress.plugin,
                    generation=progress.generation,
                    reason=str(progress.error),
                )

    def _job(self, progress: Progress) -> Job:
        return Job(
            progress,
            current=lambda: self._serving(progress.plugin),
            pool=self._pool,
            committer=self._committer,
            ledger=self._ledger,
        )

    def _serving(self, plugin: str) -> Generation | None:
        return self._catalog.current.get(plugin)

    def _check(self, plugin: str, generation: int) -> None:
        if self._running is not None and self._progress is not None:
            raise HostdError(
                plugin,
                f"{self._progress.plugin} generation {self._progress.generation} is being parsed again already",
                "wait for its end",
            )
        present = self._serving(plugin)
        if present is None:
            raise HostdError(plugin, "no generation of it is in service", "drop it into the plugins folder first")
        if present.number == generation:
            raise HostdError(
                plugin,
                f"generation {generation} is the one in service: it would make the same records",
                "drop a mended version into the plugins folder first",
            )


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "sources": len({segment.source.id for segment in plan.segments}),
        "ranges": [
            {"source": segment.source.name, "begin": segment.begin, "until": segment.until} for segment in plan.segments
        ],
        "bytes": plan.size,
        "records_before": plan.records,
        "dead_before": plan.dead,
        "files": [{"path": str(target.held.path), "records": target.records} for target in plan.targets],
        "left": [
            {"what": left.what, "reason": left.reason, "amount": left.amount, "unit": left.unit} for left in plan.left
        ],
    }
