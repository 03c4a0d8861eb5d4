"""How many files may be open as sources: each takes a descriptor, and what reads and writes for them needs some too.

What finds no room is left out, said once, and looked at again whenever files are: what is open is read on.
"""

import os
import resource

from hostd import events
from hostd.pipeline.faults import explain

RESERVED = 256
"""Descriptors left to workers, sinks, the ledger and clients; of a limit that is low, a half."""


class Room:
    """Counts the files that each look leaves out: `begin` one, ask with `takes` and `has_none`, and `end` it."""

    def __init__(self) -> None:
        self.left_out = 0
        """How many files the last look has found no room for."""
        self._now = 0
        self._trouble = ""
        self._limit = _limit()

    @property
    def reason(self) -> str:
        """Why files are left out, and what to do."""
        return (
            f"the daemon may have {self._limit} descriptors, and files {self._most} of them; raise the limit"
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
        self._now = 0
        self._limit = _limit()
        return True

    def takes(self, fd: int) -> bool:
        """Tell whether a file that was just opened may stay open; if not, count it."""
        # The system gives the lowest number that is free: all below are taken.
        self._now += fd >= self._most
        return fd < self._most

    def has_none(self) -> bool:
        """Tell whether this look has left a file out already; if so, count another, which need not be opened."""
        self._now += bool(self._now)
        return bool(self._now)

    def end(self) -> None:
        """Take the count for what is left out, and say when that begins and ends."""
        before, self.left_out = self.left_out, self._now
        if self.left_out and not before:
            events.emit(events.SOURCES_LEFT_OUT, count=self.left_out, reason=self.reason)
        if before and not self.left_out:
            events.emit(events.SOURCES_TAKEN_IN, count=before)

    @property
    def _most(self) -> int:
        return self._limit - min(RESERVED, self._limit // 2)


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30
