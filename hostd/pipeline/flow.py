"""A source on its way through the pump: what it is at, and the batches of it that are under way."""

import asyncio
import math
from collections.abc import Callable

from msgspec import Struct, field

from hostd import clock
from hostd.pipeline.detection import Memory
from hostd.pipeline.framing import Cut
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.routing import Route
from hostd.pipeline.serving import Generation
from hostd.pipeline.sources.file import FileSource
from hostd.workers.batch import Yield

QUIET_S = 0.5
"""After how long without a write a document, or a record of several lines, counts as whole."""

COST_FACTOR = 4
"""Bytes of budget for a byte of input, until it is parsed: the batch, its records, and their copies on the way."""

RESULT_BYTES = 4 << 10
"""What a result takes beside its own bytes, until it is committed. Results of single lines are all but nothing else."""


class Work(Struct, frozen=True):
    """A batch under way: where the source stood before it, what the ledger is to know after it."""

    cut: Cut
    plugin: str
    header: bytes
    before: Checkpoint
    after: SourceRow
    blocks: bool
    task: asyncio.Task[tuple[Generation, Yield]]

    @property
    def cost(self) -> int:
        """What it takes of the budget, in bytes."""
        return len(self.cut.data) * COST_FACTOR


class Flow(Struct, eq=False):
    """A source's place in the pump."""

    source: FileSource
    route: Route | None = None
    routed_at_epoch: int = -1
    media_type: str = ""
    """What its source declared when it was routed."""
    task: asyncio.Task[None] | None = None
    woken: bool = False
    timer: asyncio.TimerHandle | None = None
    given_up: bool = False
    memory: Memory = field(default_factory=Memory)
    place: str | None = None
    """Where it is in the gate, while it has a task."""
    queued: bool = False
    """It waits at the gate."""
    held: tuple[int, str] = (0, "")
    """What it was given of the budget for its next batch, and for which plugin."""
    since: float = math.inf
    """Since when (monotonic) batches of it are begun in this turn."""
    gathers_until: float = 0.0
    """Until when (monotonic) it is not worth a batch what has been written since a small one."""

    def gathers_for_s(self) -> float:
        """Return for how long it is not worth a batch yet what it has; not above 0 when it is."""
        return self.gathers_until - clock.monotonic()

    def ring_in(self, delay_s: float, ring: "Callable[[Flow], None]") -> None:
        """Have `ring` called with it in `delay_s`, or earlier if that was asked for before."""
        loop = asyncio.get_running_loop()
        if self.timer is not None:
            if self.timer.when() <= loop.time() + delay_s:
                return
            self.timer.cancel()
        self.timer = loop.call_later(delay_s, ring, self)


def weight(result: Yield) -> int:
    """Return how many bytes a result has."""
    letters = sum(len(letter.raw) + len(letter.reason) + len(letter.traceback) for letter in result.dead)
    return len(result.lines) + letters + len(result.state or b"")


def excess(cut: Cut, result: Yield) -> int:
    """Return how many bytes a result takes beyond what its batch was given of the budget."""
    return max(0, weight(result) - len(cut.data) * COST_FACTOR)
