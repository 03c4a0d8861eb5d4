"""How often the workers of one generation may be lost: past that it is failing, and tried ever more rarely.

After Erlang's restart intensity: what fails again and again is not helped by another try at once.
"""

from collections import deque

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)


class Intensity:
    """Counts losses. More than `most` within `window_s` make it failing, until a try succeeds. Times are monotonic."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._losses: deque[float] = deque(maxlen=most + 1)
        self._tries = 0
        self.reason = ""
        self.retry_at: float | None = None

    @property
    def is_failing(self) -> bool:
        """Tell whether nothing is to be tried before `retry_at`, or has succeeded since."""
        return self.retry_at is not None

    @property
    def losses(self) -> int:
        """How many losses count now."""
        return len(self._losses)

    def lost(self, now: float, reason: str) -> float | None:
        """Take note of a loss; return for how many seconds nothing is to be tried, None while it is no concern."""
        self._losses.append(now)
        self.reason = reason
        while self._losses[0] <= now - self._window_s:
            self._losses.popleft()
        if self.retry_at is None and len(self._losses) <= self._most:
            return None
        if self.retry_at is not None and now < self.retry_at:
            return None  # of the batches that were under way when it began to fail
        delay_s = BACKOFF_S[min(self._tries, len(BACKOFF_S) - 1)]
        self._tries += 1
        self.retry_at = now + delay_s
        return delay_s

    def succeeded(self, now: float) -> bool:
        """Take note that a batch was parsed; tell whether that ends a failure."""
        return self.retry_at is not None and now >= self.retry_at and self.heal()

    def heal(self) -> bool:
        """Forget all losses; tell whether that ends a failure."""
        was_failing = self.is_failing
        self._losses.clear()
        self._tries = 0
        self.retry_at = None
        return was_failing

    def rest_s(self, now: float) -> float:
        """Return for how many seconds nothing is to be tried; 0 when it may be."""
        return max(0.0, self.retry_at - now) if self.retry_at is not None else 0.0
