"""One reparse from its plan to its end. Live data is parsed and committed meanwhile, but for one turn of the commits.

What is new is made beside, in full; the turn copies what came meanwhile, renames, and moves the ledger.
"""

import asyncio
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from hostd import clock, events
from hostd.errors import HostdError
from hostd.pipeline.commit import Committer
from hostd.pipeline.framing import declared
from hostd.pipeline.ledger import Ledger, Result
from hostd.pipeline.ledger.packing import Place, samples
from hostd.pipeline.ledger.reader import Reader, reading
from hostd.pipeline.ledger.rows import SinkMark
from hostd.pipeline.reparse.again import CUT_KINDS, parse_again
from hostd.pipeline.reparse.assemble import Assembled, Spool, StoppedError, assemble
from hostd.pipeline.reparse.plan import Account, Held, Plan, Segment, Serving, make_plan
from hostd.pipeline.reparse.turn import Turn, finished
from hostd.pipeline.said import log_yield
from hostd.pipeline.serving import Generation
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.rewrite import MovedError, new_path
from hostd.workers.pool import Pool

PACKS_AT_ONCE = 64
"""How many packs of rows are written in one transaction: commits go on in between."""


MAX_REJECTED_BYTES = 64 << 20
"""How much may be rejected, of what is held in memory until all of it is replaced."""


class State(StrEnum):
    """How far a reparse has come."""

    WAITING = "waiting"
    """For a replay of the plugin's dead letters."""
    PLANNING = "planning"
    PARSING = "parsing"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


class Progress(Struct):
    """What is said of a reparse while it runs, and after it. Sizes in bytes."""

    plugin: str
    generation: int
    state: State = State.PLANNING
    plan: Plan | None = None
    parsed: int = 0
    records_after: int = 0
    dead_before: int = 0
    dead_after: int = 0
    generations: set[int] = field(default_factory=set)
    error: HostdError | None = None


class Job:
    """Parses again what `generation` of a plugin made. `run` once; `stop` at any time."""

    def __init__(
        self,
        progress: Progress,
        *,
        current: Callable[[], Generation | None],
        pool: Pool,
        committer: Committer,
        ledger: Ledger,
    ) -> None:
        self.progress = progress
        self._current = current
        self._pool = pool
        self._committer = committer
        self._ledger = ledger
        self._stop = threading.Event()
        self._rejected = 0
        self._results: list[tuple[Generation, Result]] = []

    def stop(self) -> None:
        """End what copies. Returns at once; the task that runs the job is to be cancelled, too."""
        self._stop.set()

    async def plan(self) -> Plan:
        """Return what `run` would do. Raises HostdError when there is nothing known to do."""
        held = await self._committer.in_thread(self._hold)
        try:
            with reading(self._ledger.path) as reader:
                return await finished(asyncio.to_thread(self._make_plan, reader, held))
        finally:
            await self._committer.in_thread(self._let_go, held)

    async def run(self) -> None:
        """Do it: all of it or nothing. Raises HostdError, and everything is as it was then."""
        began = clock.monotonic()
        progress = self.progress
        held = await self._committer.in_thread(self._hold)
        try:
            with reading(self._ledger.path) as reader:
                plan = progress.plan = await finished(asyncio.to_thread(self._make_plan, reader, held))
                self._say_started(plan)
                if plan.segments:
                    await self._replace(reader, plan)
        except (OSError, sqlite3.Error, MovedError, StoppedError) as error:
            raise _said(progress, error) from error
        finally:
            await self._committer.in_thread(self._let_go, held)
        progress.state = State.DONE
        events.emit(
            events.REPARSE_FINISHED,
            plugin=progress.plugin,
            generation=progress.generation,
            bytes=plan.size,
            records_before=plan.records,
            records_after=progress.records_after,
            dead_before=progress.dead_before,
            dead_after=progress.dead_after,
            ms=clock.milliseconds_since(began),
        )

    def _make_plan(self, reader: Reader, held: list[Held]) -> Plan:
        plugin = self.progress.plugin
        takers = [sink for sink in self._committer.sinks if sink.takes(plugin)]
        others = [sink.name for sink in takers if not isinstance(sink, NdjsonSink)]
        current = self._current()
        if current is None:
            raise HostdError(plugin, "no generation of it is in service", "drop it into the plugins folder first")
        serving = Serving(current.number, current.framing.kind not in CUT_KINDS)
        return make_plan(reader, plugin, self.progress.generation, held, others, serving)

    def _say_started(self, plan: Plan) -> None:
        events.emit(
            events.REPARSE_STARTED,
            plugin=plan.plugin,
            generation=plan.generation,
            sources=len({segment.source.id for segment in plan.segments}),
            bytes=plan.size,
            records=plan.records,
            left=len(plan.left),
        )

    def _hold(self) -> list[Held]:
        """In the committer's thread: have what is known of the sinks' files stay readable until `_let_go`."""
        held = []
        for sink in self._committer.sinks:
            if isinstance(sink, NdjsonSink) and sink.takes(self.progress.plugin):
                mark = sink.present(self.progress.plugin)
                nowhere = replace(mark, length=0, device=0, inode=0)
                held.append(Held(sink.path(self.progress.plugin), self._freeze(mark), self._freeze(nowhere)))
        return held

    def _freeze(self, mark: SinkMark) -> Account:
        number, last_seq, cuts = self._ledger.places.freeze(mark)
        return Account(number, mark, last_seq, cuts)

    def _let_go(self, held: list[Held]) -> None:
        for each in held:
            self._ledger.places.thaw(each.file.mark)
            self._ledger.places.thaw(each.nowhere.mark)

    async def _replace(self, reader: Reader, plan: Plan) -> None:
        with ExitStack() as stack:
            folder = plan.targets[0].held.path.parent
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            spool = Spool(stack.enter_context(tempfile.TemporaryFile(dir=folder)).fileno())
            self.progress.state = State.PARSING
            for segment in plan.segments:
                await self._parse(segment, spool)
            self.progress.state = State.WRITING
            assembled: list[Assembled] = []
            stack.callback(_remove, plan, assembled)
            for target in plan.targets:
                made = await finished(asyncio.to_thread(assemble, reader, plan, target, spool, self._stop))
                assembled.append(made)
            await self._take_turn(plan, assembled)
            self.progress.records_after = sum(made.records for made in assembled)

    async def _parse(self, segment: Segment, spool: Spool) -> None:
        progress = self.progress
        async for made in parse_again(segment, progress.plugin, self._current, self._pool):
            log_yield(segment.source.name, made.generation, made.result)
            lines, now = made.result.lines, clock.epoch_ms()
            place = Place(
                spool.length,
                spool.length + len(lines),
                made.result.records,
                segment.source.id,
                made.begin,
                made.until,
                made.generation.number,
                now,
                *samples(lines),
            )
            await asyncio.to_thread(spool.add, place, lines)
            row = segment.source
            row = replace(row, checkpoint=replace(row.checkpoint, offset=made.until))
            self._results.append(
                (
                    made.generation,
                    Result(
                        row,
                        made.begin,
                        progress.plugin,
                        made.generation.number,
                        made.result.records,
                        b"",
                        made.result.dead,
                        made.header,
                        declared(made.generation.manifest).as_text() if made.result.dead else "",
                    ),
                )
            )
            self._rejected += sum(len(dead.raw) + len(dead.reason) + len(dead.traceback) for dead in made.result.dead)
            if self._rejected > MAX_REJECTED_BYTES:
                raise HostdError(
                    progress.plugin,
                    f"generation {made.generation.number} rejects more than {MAX_REJECTED_BYTES >> 20} MiB of what"
                    f" generation {progress.generation} parsed",
                    "mend it: this is no better version",
                )
            progress.generations.add(made.generation.number)
            progress.dead_after += len(made.result.dead)
            progress.parsed += made.until - made.begin

    async def _take_turn(self, plan: Plan, assembled: list[Assembled]) -> None:
        """Write the new accounts aside, between other commits; then have everything take its place in one turn."""
        thread = self._committer.in_thread
        turn = Turn(self._ledger, self._committer, plan, assembled)
        try:
            for made in assembled:
                await thread(turn.begin, made)
                for account, packs in turn.packs_of(made):
                    for at in range(0, len(packs), PACKS_AT_ONCE):
                        await thread(self._ledger.replacing.add, account, packs[at : at + PACKS_AT_ONCE])
                if made.mark is not None:
                    await turn.follow(made, self._stop)
            results = [result for _, result in self._results]
            # Not to be left half way: a turn that has begun is waited for.
            self.progress.dead_before = await finished(thread(turn.take, results))
        except BaseException:
            await finished(thread(turn.abandon))
            raise
        for generation, result in self._results:
            generation.records += result.records
            generation.rejected += len(result.dead)


def _remove(plan: Plan, assembled: list[Assembled]) -> None:
    """Remove new files that have not found their place, and close those that nobody has taken."""
    for made in assembled:
        if made.fd >= 0:
            os.close(made.fd)
            made.fd = -1
    for target in plan.targets:
        with suppress(FileNotFoundError):
            new_path(target.held.path).unlink()


def _said(progress: Progress, error: Exception) -> HostdError:
    if isinstance(error, MovedError):
        return HostdError(progress.plugin, "its output was renamed or cut meanwhile", "ask again")
    if isinstance(error, StoppedError):
        return HostdError(progress.plugin, "the daemon stops", "ask again when it runs")
    return HostdError(
        progress.plugin, f"its output cannot be replaced: {error}", "make room on the disk, and ask again"
    )
