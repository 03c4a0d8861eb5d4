"""The one moment of a reparse in which commits wait: what came meanwhile is copied, and everything takes its place.

All of it runs in the committer's thread, so that no commit is half way. A failure leaves everything as it was.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from hostd import events
from hostd.pipeline.commit import RETRY_S, Committer
from hostd.pipeline.ledger import Ledger, Result, SinkMark
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.places import Packed
from hostd.pipeline.ledger.replacing import Account as NewAccount
from hostd.pipeline.ledger.replacing import Intent
from hostd.pipeline.reparse.assemble import Assembled, copy
from hostd.pipeline.reparse.plan import Plan
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.rewrite import MovedError, exchange, old_path, undo

T = TypeVar("T")

NONE = -1
"""The number of no account."""

CATCH_UP_BYTES = 8 << 20
CATCH_UP_TIMES = 8


class Turn:
    """`begin` and `packs_of` for each new file, then `take`; or `abandon`."""

    def __init__(self, ledger: Ledger, committer: Committer, plan: Plan, assembled: Sequence[Assembled]) -> None:
        self._ledger = ledger
        self._committer = committer
        self._plan = plan
        self._assembled = assembled
        self._accounts: dict[int, tuple[int, int]] = {}
        self._marks: dict[int, SinkMark] = {}

    def begin(self, made: Assembled) -> None:
        """Make the accounts of a new file."""
        target = made.target
        file = self._ledger.replacing.begin(made.mark, target.base) if made.mark is not None else NONE
        nowhere = self._ledger.replacing.begin(target.held.nowhere.mark, 0) if target.has_nowhere else NONE
        self._accounts[id(made)] = file, nowhere

    def packs_of(self, made: Assembled) -> list[tuple[int, list[Packed]]]:
        """Return what is to be written of a new file, by account."""
        file, nowhere = self._accounts[id(made)]
        pairs = [(file, made.file_rows), (nowhere, made.nowhere_rows)]
        return [(account, packs) for account, packs in pairs if account >= 0]

    def abandon(self) -> None:
        """Remove the new accounts."""
        self._ledger.replacing.abandon(
            [account for pair in self._accounts.values() for account in pair if account >= 0]
        )

    def take(self, results: Sequence[Result]) -> int:
        """Have everything take its place; return how many dead letters went.

        Raises MovedError, OSError or sqlite3.Error, and everything is as it was then.
        """
        sinks = {id(made): self._check(made) for made in self._assembled}
        files = [made for made in self._assembled if made.mark is not None]
        for made in files:
            self._last_part(made, sinks[id(made)])
        intents = [(made.target.held.path, self._intent(made)) for made in files]
        self._ledger.replacing.intend([intent for _, intent in intents])
        try:
            for path, intent in intents:
                exchange(path, intent)
            accounts = [account for made in self._assembled for account in self._new_accounts(made)]
            removed = self._ledger.replacing.finish(self._plan.plugin, self._plan.generation, accounts, results)
        except (MovedError, OSError, sqlite3.Error):
            self._undo(intents, [sinks[id(made)] for made in files])
            raise
        self._accounts.clear()  # they count now: nothing is to be abandoned any more
        for made in files:
            sinks[id(made)].adopt(self._marks[id(made)], made.fd)
            made.fd = -1
            with suppress(OSError):  # the next start removes it
                old_path(made.target.held.path).unlink()
        return removed

    def _check(self, made: Assembled) -> NdjsonSink:
        """Return the sink that a target is of. Raises MovedError when its file is another one, or was cut."""
        held, plugin = made.target.held, self._plan.plugin
        for sink in self._committer.sinks:
            if isinstance(sink, NdjsonSink) and sink.takes(plugin) and sink.path(plugin) == held.path:
                now, then = sink.present(plugin), held.file.mark
                if (now.device, now.inode) != (then.device, then.inode):
                    break
                if self._ledger.places.cuts(then) != held.file.cuts or now.length < then.length:
                    break
                if identity(held.path) != ((then.device, then.inode) if then.inode else None):
                    break
                return sink
        raise MovedError

    async def follow(self, made: Assembled, stop: threading.Event) -> None:
        """Copy what is committed meanwhile, while it goes on, until little is left for the turn."""
        for _ in range(CATCH_UP_TIMES):
            sink = await self._committer.in_thread(self._check, made)
            length = (await self._committer.in_thread(sink.present, self._plan.plugin)).length
            if length - made.copied < CATCH_UP_BYTES:
                return
            await finished(asyncio.to_thread(_catch_up, made, length, stop))

    def _last_part(self, made: Assembled, sink: NdjsonSink) -> None:
        """Copy what was committed since, and make the new file durable."""
        assert made.mark is not None
        length = sink.present(self._plan.plugin).length
        _catch_up(made, length, threading.Event())
        os.fdatasync(made.fd)
        mark = made.mark
        self._marks[id(made)] = SinkMark(mark.folder, mark.processor, made.length, mark.device, mark.inode)

    def _intent(self, made: Assembled) -> Intent:
        assert made.mark is not None
        old, new = made.target.held.file.mark, made.mark
        return Intent(old.folder, old.processor, old.device, old.inode, new.device, new.inode)

    def _new_accounts(self, made: Assembled) -> list[NewAccount]:
        held, (file, nowhere) = made.target.held, self._accounts[id(made)]
        accounts = []
        if file >= 0:
            accounts.append(
                NewAccount(
                    held.file.number if held.file.mark.inode else NONE,
                    file,
                    held.file.last_seq,
                    made.shift,
                    self._marks[id(made)],
                )
            )
        if nowhere >= 0:
            accounts.append(NewAccount(held.nowhere.number, nowhere, held.nowhere.last_seq, 0, None))
        return accounts

    def _undo(self, intents: Sequence[tuple[Path, Intent]], sinks: Sequence[NdjsonSink]) -> None:
        """Go back. Where the disk refuses even that, the sinks take no more: the next start goes back."""

        def go_back() -> None:
            for path, intent in intents:
                undo(path, intent)
            self._ledger.replacing.give_up()

        if not _until_done(go_back):
            for sink in sinks:
                sink.block(self._plan.plugin, "a reparse could not be undone; restart hostd when the disk is well")


def _until_done(function: Callable[[], None]) -> bool:
    for delay_s in (*RETRY_S, 0.0):
        try:
            function()
        except (OSError, sqlite3.Error) as error:
            events.emit(events.SINK_FAILED, sink="reparse", reason=str(error), retry_s=delay_s)
            time.sleep(delay_s)
        else:
            return True
    return False


def _catch_up(made: Assembled, length: int, stop: threading.Event) -> None:
    held, more = made.target.held, length - made.copied
    if not held.file.mark.inode or more <= 0:
        return
    old = os.open(held.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy(old, made.copied, made.fd, made.length, more, stop)
    finally:
        os.close(old)
    made.copied, made.length = made.copied + more, made.length + more


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of work in a thread; when cancelled, only once it has ended: it may be too late for that."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            return task.result()
        raise
