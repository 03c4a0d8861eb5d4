"""Results to the sinks, then to the ledger: in groups, in order, exactly once.

While one group is being made durable the next gathers, so that the cost of a commit is shared by as many batches
as arrive meanwhile. A commit that fails is tried again, whole, and reading waits behind it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from msgspec import Struct

from hostd import clock
from hostd.errors import StateError
from hostd.pipeline.faults import explain, is_corrupt, ledger_error
from hostd.pipeline.ledger import Ledger, Replay, Result, SinkMark
from hostd.pipeline.ledger.places import lay
from hostd.pipeline.sinks import Sink
from hostd.pipeline.trouble import Troubles

GROUP_BYTES = 16 << 20
"""From how much on a group takes no more. With half of it, what a commit costs whatever is in it takes a tenth of the
fastest throughput."""
MEMORY_SHARE = 8
"""Which part of the memory for what is under way a group has at most. One plugin may have four times as much: were it
all in one group, the workers would wait for the commit, and then the commit for them."""
BUSY_BYTES = 1 << 20
GATHER_S = 0.02
"""How long at most to gather after a group of at least `BUSY_BYTES`: fewer and larger commits cost less. A whole group,
or one with a result that somebody waits for, goes at once: else the workers would soon have nothing left to parse."""
COMPANY_S = 0.02
"""How long what is only for the ledger's book waits for results to be committed with: a new generation's first batch
comes back in about that time, and would have to wait for the end of a commit without it."""
RETRY_S = (0.2, 1.0, 5.0, 15.0)

T = TypeVar("T")


class Entry(Struct, frozen=True):
    """A result waiting for its commit; `done` is called in the event loop once it is durable.

    `is_awaited` says that somebody waits for that, and sends no more before it.
    """

    result: Result | Replay
    done: Callable[[], None]
    is_awaited: bool = False


class _Write(Struct, frozen=True):
    """Something else to write to the ledger; `done` is resolved once it is durable."""

    function: Callable[[], None]
    done: asyncio.Future[None]

    def end(self) -> None:
        """Say that it is durable; whoever asked may have gone."""
        if not self.done.done():
            self.done.set_result(None)


class _Switch(Struct, frozen=True):
    """From here on, other sinks."""

    sinks: list[Sink]


class Committer:
    """The one writer of the sinks and the ledger, in a thread of its own.

    Of `memory_bytes`, what may be under way at once, a part makes a group. With `give_up`, a commit that fails ends
    `run` with its error instead of being tried again.
    """

    def __init__(
        self, ledger: Ledger, sinks: list[Sink], *, memory_bytes: int = 128 << 20, give_up: bool = False
    ) -> None:
        self.sinks = sinks
        self.troubles = Troubles()
        self._group_bytes = min(GROUP_BYTES, memory_bytes // MEMORY_SHARE)
        self._give_up = give_up
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._coming = sinks
        self._left: list[Sink] = []
        """Sinks that others have taken the place of, and that deliver their last."""
        self._waiting: list[Entry | _Write | _Switch] = []
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._pressing = asyncio.Event()
        self._asked = asyncio.Event()
        self._hurried = 0
        """How many do not want anything to wait for company."""
        self._submitted = 0
        self._committed = 0
        self._progress = asyncio.Event()

    def takes(self, processor: str) -> bool:
        """Tell whether any sink takes this processor's records, of the sinks that will get what is submitted now."""
        return any(sink.takes(processor) for sink in self._coming)

    def takes_blocks(self, processor: str) -> bool:
        """Tell whether all those sinks that take this processor's records take blocks of columns."""
        return all(sink.takes_blocks for sink in self._coming if sink.takes(processor))

    def submit(self, entry: Entry) -> None:
        """Have a result committed after all that were submitted before it. Returns at once."""
        self._waiting.append(entry)
        self._submitted += 1
        self._arrived.set()
        self._waiting_bytes += len(entry.result.lines)
        if entry.is_awaited or self._waiting_bytes >= self._group_bytes:
            self._pressing.set()

    async def write(self, function: Callable[..., None], *args: object) -> None:
        """Have `function` write to the ledger, and wait until that is durable: in one transaction with what waits too.

        What is submitted from now on is durable no sooner.
        """
        await self.queue(function, *args)

    def queue(self, function: Callable[..., None], *args: object) -> asyncio.Future[None]:
        """Have `function` write as `write` does, and return at once with what is resolved when that is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(partial(function, *args), done))
        self._arrived.set()
        self._asked.set()
        return done

    async def replace_sinks(self, sinks: list[Sink]) -> None:
        """Have what is submitted from now on written to other sinks; what was before goes to the present ones yet.

        Raises OSError and LedgerError, and the present ones stay then.
        """
        try:
            for sink in sinks:
                await self.in_thread(sink.recover)
        except BaseException:
            for sink in sinks:
                self._thread.submit(sink.close)
            raise
        self._coming = sinks
        self._waiting.append(_Switch(sinks))
        self._arrived.set()

    async def flush(self) -> None:
        """Wait until all that was submitted so far is durable."""
        until = self._submitted
        self.hurry()
        try:
            while self._committed < until:
                self._progress.clear()
                await self._progress.wait()
        finally:
            self._hurried -= 1

    def hurry(self) -> None:
        """Commit from now on what waits as it comes: little more will come that could be committed with it."""
        self._hurried += 1
        self._pressing.set()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Run a call to the ledger or a sink after the commits before it.

        Raises what it raises, but LedgerError for what the ledger raises.
        """
        try:
            return await self._call(function, *args)
        except sqlite3.Error as error:
            raise ledger_error(error, self._ledger.path) from error

    async def recover(self, first: Callable[[], None] = lambda: None) -> None:
        """Undo what the sinks hold past the ledger, after `first`.

        Raises LedgerError; StateError when a sink cannot be written.
        """
        for name, step in [("sinks", first), *((sink.name, sink.recover) for sink in self.sinks)]:
            try:
                await self.in_thread(step)
            except OSError as error:
                problem, _, remedy = explain(error).partition("; ")
                raise StateError(name, f"cannot be cut back to what was committed: {problem}", remedy) from error

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def run(self) -> None:
        """Commit what is submitted until cancelled. Raises LedgerError when the ledger turns out to be broken."""
        busy = False
        while True:
            await self._arrived.wait()
            if busy and not self._hurried:
                await self._gather()
            if not self._hurried and all(isinstance(each, _Write) for each in self._waiting):
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), COMPANY_S)
                self._arrived.set()
            if isinstance(self._waiting[0], _Switch):
                await self._switch()
            else:
                busy = await self._commit_group()
            if not self._waiting:
                self._arrived.clear()

    async def _commit_group(self) -> bool:
        """Commit a group, and hold nothing of it any longer; tell whether it was a large one."""
        entries, writes = self._take_group()
        results: list[Result | Replay] = [entry.result for entry in entries]
        await self._until_done(self._commit, results, writes, may_block=True, meanwhile=writes)
        for entry in entries:
            entry.done()
        for write in writes:
            write.end()
        self._committed += len(entries)
        self._progress.set()
        return sum(len(result.lines) for result in results) >= BUSY_BYTES

    async def _switch(self) -> None:
        switch = self._waiting.pop(0)
        assert isinstance(switch, _Switch)  # `run` has looked
        self._left, self.sinks = [*self._left, *self.sinks], switch.sinks
        # A server or a conversion may take long over the last of what one delivers, and commits do not wait for it.
        self._left = [sink for sink in self._left if await self.in_thread(sink.leave)]

    def close(self) -> None:
        """Close sinks and ledger after what is under way; a sink that waits for its reader is not waited for."""
        for sink in (*self._left, *self.sinks):
            sink.interrupt()
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def _gather(self) -> None:
        """Wait for more, until to wait is of no use: a whole group waits, or somebody for the commit."""
        self._pressing.clear()
        entries = [each for each in self._waiting if isinstance(each, Entry)]
        if self._waiting_bytes < self._group_bytes and not any(each.is_awaited for each in entries):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._pressing.wait(), GATHER_S)

    def _take_group(self) -> tuple[list[Entry], list[_Write]]:
        size = 0
        entries: list[Entry] = []
        writes: list[_Write] = []
        for each in self._waiting:
            if isinstance(each, _Switch) or size >= self._group_bytes:
                break
            if isinstance(each, Entry):
                size += len(each.result.lines)
                entries.append(each)
            else:
                writes.append(each)
        del self._waiting[: len(entries) + len(writes)]
        self._waiting_bytes -= size
        return entries, writes

    async def until_done(self, function: Callable[..., None], *args: object) -> None:
        """Run a call that writes, in the thread, again and again until the disk takes it.

        With `give_up` raises OSError or sqlite3.Error instead; LedgerError when the ledger turns out to be broken.
        """
        await self._until_done(function, *args)

    async def _until_done(
        self,
        function: Callable[..., None],
        *args: object,
        may_block: bool = False,
        meanwhile: list[_Write] | None = None,
    ) -> None:
        """As `until_done`; of a commit that fails, what is only for the ledger is written `meanwhile`."""
        with self.troubles.attempt(may_block=may_block) as attempt:
            while True:
                try:
                    await self._call(function, *args)
                except (OSError, sqlite3.Error) as error:
                    self._refuse_corrupt(error)
                    if self._give_up:
                        raise
                    delay_s = RETRY_S[min(attempt.tries, len(RETRY_S) - 1)]
                    attempt.failed(error, delay_s)
                    if meanwhile is None:
                        await asyncio.sleep(delay_s)
                    else:
                        await self._write_for(delay_s, meanwhile)
                else:
                    return

    async def _write_for(self, delay_s: float, writes: list[_Write]) -> None:
        """Write what is only for the ledger as it comes, for a while: no decision waits for a sink that takes nothing.

        `writes` are those of the commit that has failed; what was written is taken out of them.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + delay_s
        while True:
            self._asked.clear()
            writes += [each for each in self._waiting if isinstance(each, _Write)]
            self._waiting = [each for each in self._waiting if not isinstance(each, _Write)]
            if writes:
                try:
                    await self._call(self._ledger.commit, [], [], [], [write.function for write in writes])
                except (OSError, sqlite3.Error) as error:
                    self._refuse_corrupt(error)
                else:
                    for write in writes:
                        write.end()
                    writes.clear()
            try:
                await asyncio.wait_for(self._asked.wait(), until - loop.time())
            except TimeoutError:
                return

    def _refuse_corrupt(self, error: OSError | sqlite3.Error) -> None:
        """Raise LedgerError for what says that the ledger is broken, which no further try mends."""
        if isinstance(error, sqlite3.Error) and is_corrupt(error):
            raise ledger_error(error, self._ledger.path) from error

    def _commit(self, results: list[Result | Replay], writes: Sequence[_Write] = ()) -> None:
        try:
            self._try_to_commit(results, [write.function for write in writes])
        except (OSError, sqlite3.Error):
            for sink in self.sinks:
                sink.abandon()
            raise

    def _try_to_commit(self, results: list[Result | Replay], writes: Sequence[Callable[[], None]]) -> None:
        by_processor: dict[str, list[Result | Replay]] = {}
        for result in results:
            by_processor.setdefault(result.plugin, []).append(result)
        placed, now = [], clock.epoch_ms()
        for processor, group in by_processor.items():
            chunks = [result.lines for result in group if result.lines]
            for sink in self.sinks:
                if sink.takes(processor):
                    self.troubles.place = sink.name
                    if chunks:
                        sink.write(processor, chunks)
                    # Dead letters that came to nothing again have no place; a batch that did has one, for a reparse.
                    laid = [each for each in group if each.lines or isinstance(each, Result)]
                    if laid and (mark := sink.place(processor)) is not None:
                        placed.append(lay(mark, laid, now, by_records=sink.unit == "records"))
        marks: list[SinkMark] = []
        for sink in self.sinks:
            self.troubles.place = sink.name
            marks += sink.sync()
        self.troubles.place = "ledger"
        self._ledger.commit(results, marks, placed, writes)
        for sink in self.sinks:
            sink.accept()

    def _close(self) -> None:
        for sink in (*self._left, *self.sinks):
            sink.close()
        self._ledger.close()
