"""The way in of one received source: bytes are spooled, and whoever sent them waits for room, or for the commit.

Nothing is counted as taken that is not in the spool, and nothing as committed that the ledger does not have.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from hostd import events
from hostd.pipeline.faults import explain
from hostd.pipeline.sources.file import HEAD_BYTES, FileSource
from hostd.pipeline.sources.spool import Spool

ROOM_AGAIN = 0.75
"""Who waits for room is told when no more than this part of the limit is taken."""
RETRY_S = 1.0
"""After how long an append that failed is worth another try."""


class MixedError(Exception):
    """A source is of one media type at a time: another has to wait."""


class Inlet:
    """Where the bytes of `source` go in. `limit` is how many may wait there. `on_data(source)` says that more came."""

    def __init__(self, source: FileSource, spool: Spool, limit: int, on_data: Callable[[FileSource], None]) -> None:
        self.source = source
        self.limit = limit
        self._spool = spool
        self._on_data = on_data
        self._acknowledged: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._waiting: list[Callable[[], None]] = []
        self._trouble = ""
        self._kept = ""
        """Why what is committed cannot be removed; empty when it can."""
        self._begins = False
        """Whether what comes next is the first of its kind."""
        self._may_try = True
        """Whether, in trouble, it is time for another try."""
        self._timer: asyncio.TimerHandle | None = None
        source.on_committed = self._committed

    @property
    def waiting(self) -> int:
        """How many bytes are not committed yet."""
        return self._spool.size() - self.source.committed.offset

    @property
    def received(self) -> int:
        """How many bytes came, ever."""
        return self._spool.size()

    @property
    def trouble(self) -> str:
        """Why nothing can be taken in; empty when it can."""
        return self._trouble

    def has_room(self) -> bool:
        """Tell whether more may come: as much as one sender sends at a time, over the limit then."""
        return self.waiting < self.limit and (not self._trouble or self._may_try)

    def declare(self, media_type: str, is_known: Callable[[str], bool]) -> None:
        """Take note of what comes next, where that is told.

        Raises MixedError while something of another kind waits. `is_known` tells whether a plugin accepts a kind: of
        two that none does, the second is taken for more of the first.
        """
        source = self.source
        if not media_type or media_type == source.media_type:
            return
        if not self.waiting:
            source.media_type, self._begins = media_type, True
        elif is_known(media_type) or is_known(source.media_type):
            raise MixedError(f"{source.media_type or 'what declares no media type'} is not committed yet")

    def append(self, *parts: bytes | bytearray | memoryview) -> int:
        """Spool bytes, all of them or none; return up to where this source has come. Raises OSError.

        What they are is read at once, so they should be whole lines, or all come from one sender.
        """
        try:
            end = self._spool.append(parts)
        except OSError as error:
            self._failed(error)
            raise
        if self._begins:
            self._begins, self.source.first = False, b"".join(parts)[:HEAD_BYTES]
        if self._trouble:
            self._trouble = ""
            events.emit(events.SPOOL_RECOVERED, source=self.source.name)
        self._on_data(self.source)
        return end

    def end_line(self) -> None:
        """Spool a line feed if what came last has none: what comes next is from another sender. Raises OSError."""
        if not self._spool.ends_line:
            self.append(b"\n")

    async def committed(self, end: int) -> None:
        """Wait until everything before `end`, which the last `append` has returned, is committed."""
        if self.source.committed.offset >= end:
            return
        done = asyncio.get_running_loop().create_future()
        self._acknowledged.append((end, done))
        self._spool.is_awaited = True
        await done

    def call_when_room(self, callback: Callable[[], None]) -> None:
        """Call back, once, when it is worth trying to append again."""
        self._waiting.append(callback)
        if self._trouble:
            self._try_later()

    def close(self) -> None:
        """Tell nobody anything any more; those who wait for a commit are cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        for _, done in self._acknowledged:
            done.cancel()
        self._acknowledged.clear()

    def _committed(self, offset: int) -> None:
        try:
            self._spool.committed(offset)
        except OSError as error:
            self._keep(error)
        else:
            self._kept = ""
        while self._acknowledged and self._acknowledged[0][0] <= offset:
            _, done = self._acknowledged.popleft()
            if not done.done():  # whoever waited may have gone
                done.set_result(None)
        self._spool.is_awaited = bool(self._acknowledged)
        if self._waiting and not self._trouble and self.waiting <= self.limit * ROOM_AGAIN:
            self._call()

    def _keep(self, error: OSError) -> None:
        """What is committed takes room yet: the next commit tries to remove it again."""
        if self._kept != str(error):
            self._kept = str(error)
            events.emit(events.SPOOL_KEPT, source=self.source.name, reason=explain(error))

    def _failed(self, error: OSError) -> None:
        self._may_try = False
        reason = error.strerror or str(error)
        if reason != self._trouble:
            self._trouble = reason
            events.emit(events.SPOOL_FAILED, source=self.source.name, reason=reason, retry_s=RETRY_S)
        self._try_later()

    def _try_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._try)

    def _try(self) -> None:
        self._timer = None
        self._may_try = True
        self._call()

    def _call(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()


class Tap:
    """What one sender sends, in order: kept while it cannot be spooled, and the sender held up meanwhile.

    `pause` has the sender wait, `resume` has it go on. A sender that may lose nothing is given one of these.
    """

    def __init__(self, inlet: Inlet, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._inlet = inlet
        self._pause = pause
        self._resume = resume
        self._kept: list[bytes] = []
        self._is_paused = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    def give(self, *parts: bytes) -> None:
        """Spool what came, now or when there is room. Returns at once."""
        if self._kept:
            self._kept += parts
            return
        if not self._append(parts):
            self._kept += parts
            self._emptied.clear()
        if self._kept or not self._inlet.has_room():
            self._hold()

    async def emptied(self) -> None:
        """Wait until all that was given is spooled."""
        await self._emptied.wait()

    def _append(self, parts: Sequence[bytes]) -> bool:
        try:
            self._inlet.append(*parts)
        except OSError:
            return False  # the inlet has said so
        return True

    def _hold(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._pause()
            self._inlet.call_when_room(self._again)

    def _again(self) -> None:
        if self._kept and not self._append(self._kept):
            self._inlet.call_when_room(self._again)
            return
        self._kept.clear()
        self._emptied.set()
        if not self._inlet.has_room():
            self._inlet.call_when_room(self._again)
            return
        self._is_paused = False
        self._resume()
