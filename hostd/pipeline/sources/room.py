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
    """Counts what each look leaves out: `begin` it, ask with `takes`, when it `is_full` only `leave_out`, `end` it."""

    def __init__(self) -> None:
        self.left_out = 0
        """How many files the last look has found no room for."""
        self._now = 0
        self._trouble = ""
        self._limit = _limit()

    @property
    def is_short(self) -> bool:
        """Whether files were left out, or could not even be looked for."""
        return bool(self.left_out or self._trouble)

    @property
    def is_full(self) -> bool:
        """Whether this look has left a file out already: another need not be opened to know that it is, too."""
        return bool(self._now)

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

    def leave_out(self) -> None:
        """Count a file that is left out."""
        self._now += 1

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
