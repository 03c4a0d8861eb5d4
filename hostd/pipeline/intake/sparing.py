"""Says of what may happen a thousand times a second some, and of the others how many."""

from hostd import clock


class Sparing:
    """Lets so many through in a second, and counts the others."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._second = 0
        self._said = 0
        self.unsaid = 0

    def may(self) -> bool:
        """Tell whether one more may be said."""
        now = int(clock.monotonic())
        if now != self._second:
            self._second, self._said = now, 0
        if self._said >= self._a_second:
            self.unsaid += 1
            return False
        self._said += 1
        return True

    def take_unsaid(self) -> int:
        """Return how many were not let through since the last call."""
        unsaid, self.unsaid = self.unsaid, 0
        return unsaid
