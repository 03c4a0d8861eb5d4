"""How many files may be open as sources: each takes a descriptor, and what reads and writes for them needs some too.

What finds no room is left out, said once, and looked at again whenever files are: what is open is read on.
"""

import os
import resource

from hostd import events
from hostd.pipeline.faults import explain
from hostd.pipeline.sources.listing import Identity
from hostd.workers.pool import IDLE_MOST

RESERVED = 9 * (IDLE_MOST + 8) + 64
"""Descriptors left to workers, which take nine each, sinks, the ledger and clients; of a limit that is low, a half."""


class Room:
    """Which files each look leaves out: `begin` it, ask of each file with `takes`, `end` it."""

    def __init__(self) -> None:
        self.left_out = 0
        """How many files the last look has found no room for."""
        self._now: set[Identity] = set()
        self._trouble = ""
        self._limit = _limit()

    @property
    def most(self) -> int:
        """How many files may be open."""
        return self._limit - min(RESERVED, self._limit // 2)

    @property
    def is_short(self) -> bool:
        """Whether files were left out, or could not even be looked for."""
        return bool(self.left_out or self._trouble)

    @property
    def reason(self) -> str:
        """Why files are left out, and what to do."""
        return (
            f"the daemon may have {self._limit} descriptors, and files {self.most} of them; raise the limit"
            " (LimitNOFILE= of its unit, or ulimit -Hn before it starts), or have [[sources]] name fewer files"
        )

    def begin(self) -> bool:
        """Begin to count; False where no descriptor is free: all folders would look as if they were gone."""
        try:
            os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if not self._trouble:
                self._trouble = explain(error)
                events.emit(events.SOURCE_UNREADABLE, source="/", reason=self._trouble)
            return False
        self._trouble = ""
        self._now.clear()
        self._limit = _limit()
        return True

    def takes(self, identity: Identity, present: int) -> bool:
        """Tell whether a file may be opened beside those that are; if not, it counts as left out."""
        if present >= self.most:
            self._now.add(identity)
            return False
        return True

    def end(self) -> None:
        """Take the count for what is left out, and say when that begins and ends."""
        before, self.left_out = self.left_out, len(self._now)
        if self.left_out and not before:
            events.emit(events.SOURCES_LEFT_OUT, count=self.left_out, reason=self.reason)
        if before and not self.left_out:
            events.emit(events.SOURCES_TAKEN_IN, count=before)


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30
