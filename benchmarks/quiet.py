"""How much of the machine other programs took during a measurement, so that disturbed turns are repeated."""

import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

QUIET_SHARE = 0.05
TRIES = 3


class Watch:
    """While entered, counts CPU seconds: `own_s` of this process and its ended children, `others_share` of the rest.

    `others_share` is a fraction of all cores' time, what the hypervisor took included; 0 where that cannot be told.
    """

    def __init__(self) -> None:
        self.own_s = 0.0
        self.others_share = 0.0
        self._before = (0.0, 0.0, 0.0)

    def __enter__(self) -> Self:
        self._before = _now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own, busy, total = (after - before for after, before in zip(_now(), self._before, strict=True))
        self.own_s = own
        self.others_share = max(0.0, busy - own) / total if total else 0.0


def take_turns(contestants: Sequence[Callable[[], None]], turns: int) -> list[tuple[int, float]]:
    """Have every contestant run once a turn, in alternating order, until `turns` turns were quiet.

    The first turn is a warm-up. After `TRIES` times as many it ends anyway. Returns the number of each turn that
    counts, the quietest ones, with the share of the machine that others took in it.
    """
    shares: list[float] = []
    while True:
        with Watch() as watch:
            for contestant in contestants if len(shares) % 2 else reversed(contestants):
                os.sync()  # what the one before has left to be written is not to be waited for by this one
                contestant()
        shares.append(watch.others_share)
        quiet = sum(share <= QUIET_SHARE for share in shares[1:])
        if quiet >= turns or len(shares) > TRIES * turns:
            break
    quietest = sorted(range(1, len(shares)), key=shares.__getitem__)[:turns]
    return [(number, shares[number]) for number in sorted(quietest)]


def _now() -> tuple[float, float, float]:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    stat = Path("/proc/stat")
    if not stat.exists():
        return own_s, own_s, 0.0
    ticks_s = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, waiting, irq, soft_irq, stolen = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    busy = user + nice + system + irq + soft_irq + stolen
    return own_s, busy / ticks_s, (busy + idle + waiting) / ticks_s
