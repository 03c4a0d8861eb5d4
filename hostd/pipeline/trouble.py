"""A write that fails, or that has to wait: said when it begins to, and once more when it is over.

What is held up at the moment is `held_up`, for the status.
"""

import asyncio
import sqlite3
from types import TracebackType
from typing import Self

from msgspec import Struct

from hostd import clock, events
from hostd.pipeline.faults import explain

BLOCKED_S = 5.0
"""After how long a commit that neither fails nor succeeds is said to be blocked."""


class HeldUp(Struct, frozen=True):
    """What does not take what is written, why, and since when."""

    sink: str
    reason: str
    since: str


class Troubles:
    """All that is held up now. `place` says what is being written, and is set by whoever writes."""

    def __init__(self) -> None:
        self.place = ""
        self._open: list[Attempt] = []

    @property
    def held_up(self) -> HeldUp | None:
        """What has been held up for the longest, None when all goes well."""
        return next((attempt.held_up for attempt in self._open if attempt.held_up is not None), None)

    def attempt(self, *, may_block: bool = False) -> "Attempt":
        """Return the account of one write, to be entered; `may_block` has it said when that takes long."""
        return Attempt(self, may_block=may_block)

    def enter(self, attempt: "Attempt") -> None:
        """Count an attempt among those under way."""
        self._open.append(attempt)

    def leave(self, attempt: "Attempt") -> None:
        """Count it no more."""
        self._open.remove(attempt)


class Attempt:
    """One write, tried until it succeeds."""

    def __init__(self, troubles: Troubles, *, may_block: bool) -> None:
        self.tries = 0
        self.held_up: HeldUp | None = None
        self._troubles = troubles
        self._may_block = may_block
        self._began = clock.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._troubles.enter(self)
        if self._may_block:
            self._timer = asyncio.get_running_loop().call_later(BLOCKED_S, self._say_blocked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._troubles.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        if kind is None and self.held_up is not None:
            seconds = round(clock.monotonic() - self._began, 2)
            events.emit(events.SINK_RECOVERED, sink=self.held_up.sink, tries=self.tries, seconds=seconds)

    def failed(self, error: OSError | sqlite3.Error, retry_s: float) -> None:
        """Say that it has failed, and when it is tried again."""
        self.tries += 1
        place = "ledger" if isinstance(error, sqlite3.Error) else error.filename or self._troubles.place
        self._hold_up(str(place), explain(error))
        events.emit(events.SINK_FAILED, sink=str(place), reason=explain(error), retry_s=retry_s)

    def _say_blocked(self) -> None:
        if self.held_up is None:
            place = self._troubles.place
            self._hold_up(place, f"it has not taken what is written for {BLOCKED_S:g} s")
            events.emit(events.SINK_BLOCKED, sink=place, seconds=BLOCKED_S)

    def _hold_up(self, place: str, reason: str) -> None:
        since = self.held_up.since if self.held_up is not None else clock.timestamp()
        self.held_up = HeldUp(place, reason, since)
