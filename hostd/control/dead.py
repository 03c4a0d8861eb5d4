"""Dead letters for an operator: looked at, parsed again, dropped, and given up when their time is over.

Every answer is a bounded page; the ledger is asked in the committer's thread.
"""

import asyncio
from collections import Counter
from typing import Any

from msgspec.structs import asdict

from hostd import clock, events
from hostd.control.pages import page_as_json, read_page, to_drop
from hostd.control.server import Arguments, Handler
from hostd.errors import HostdError, LedgerError
from hostd.pipeline.commit import Committer
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.letters import dead_totals
from hostd.pipeline.ledger.selection import Selection
from hostd.pipeline.replay import Replayer

KEEP_EVERY_S = 60.0
REPLAY_WAIT_S = 60.0
"""How long an answer waits for a replay, which goes on after it."""


class DeadLetterDesk:
    """Answers about dead letters on the control socket, and keeps what is kept of them within bounds."""

    def __init__(self, ledger: Ledger, committer: Committer, replayer: Replayer) -> None:
        self._ledger = ledger
        self._committer = committer
        self._replayer = replayer
        self._keep_at = 0.0

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return what answers which request."""
        return {
            ("GET", "/dead"): self._list,
            ("POST", "/dead/replay"): self._replay,
            ("POST", "/dead/drop"): self._drop,
        }

    async def status(self) -> dict[str, Any]:
        """Return what the status has of dead letters: how many there are of each plugin, and were, as far as known."""
        try:
            # Not in the committer's thread: what waits there for a sink must not keep the status waiting.
            totals = await asyncio.to_thread(dead_totals, self._ledger.path)
        except LedgerError as error:
            return {"dead_letters": None, "dead_letter_totals": None, "ledger_trouble": str(error)}
        under_way = self._replayer.under_way
        return {
            "dead_letters": {plugin: total.letters for plugin, total in totals.items() if total.letters},
            "dead_letter_totals": {
                plugin: {**asdict(total), "is_replaying": plugin in under_way} for plugin, total in totals.items()
            },
            "ledger_trouble": None,
        }

    async def keep(self) -> None:
        """Give up letters that are too old or too much, when it was not done lately."""
        if clock.monotonic() < self._keep_at:
            return
        self._keep_at = clock.monotonic() + KEEP_EVERY_S
        dead = self._ledger.dead
        gone: Counter[str] = Counter()
        before = -1
        while gone.total() != before:
            before = gone.total()
            await self._committer.until_done(lambda: gone.update(dead.expire()))
        if gone:
            dead.say_expired(gone, f"they were older than {dead.keep_days:g} days")
        await self._committer.until_done(dead.shrink)

    async def _list(self, arguments: Arguments) -> dict[str, Any]:
        return await self._committer.in_thread(lambda: page_as_json(*read_page(self._ledger.dead, arguments)))

    async def _replay(self, arguments: Arguments) -> dict[str, Any]:
        tally, task = self._replayer.replay(Selection.parse(arguments))
        await asyncio.wait({task}, timeout=REPLAY_WAIT_S)
        if task.done() and task.cancelled():
            raise HostdError("replay", "the daemon is stopping", "what is left is parsed again after its next start")
        return {
            "letters": tally.letters,
            "records": tally.records,
            "rejected": tally.rejected,
            "kept": tally.kept,
            "reason": tally.reason,
            "postponed": tally.postponed,
            "is_done": task.done(),
        }

    async def _drop(self, arguments: Arguments) -> dict[str, Any]:
        selection = to_drop(arguments)
        until = await self._committer.in_thread(self._ledger.dead.last_id)
        dropped = 0
        after: int | None = 0
        while after is not None:
            count, after = await self._committer.in_thread(self._ledger.dead.drop, selection.up_to(until), after)
            dropped += count
        if dropped:
            events.emit(events.LETTERS_DROPPED, letters=dropped, filter=selection.describe())
        return {"dropped": dropped}
