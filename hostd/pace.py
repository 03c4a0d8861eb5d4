"""How soon something may be done again, that anybody can ask for as often as they like.

A few times in a row are done at once; past that it takes a share of the time, and what is asked for meanwhile is done
once, as it is asked for last. Pure: times are monotonic, and are handed in.
"""


class Pace:
    """Lets work take `share` of the time, after `burst_s` of it that may be done at once."""

    def __init__(self, share: float, burst_s: float) -> None:
        self._share = share
        self._burst_s = burst_s
        self._done_s = 0.0
        """How much was done lately: what would have been allowed meanwhile is taken off."""
        self._at = 0.0

    def took(self, now: float, seconds: float) -> None:
        """Take note that it was done once more, until now, and how long that took."""
        self._done_s = self._lately(now) + seconds
        self._at = now

    def rest_s(self, now: float) -> float:
        """Return for how many seconds it is not to be done again."""
        return max(0.0, self._lately(now) - self._burst_s) / self._share

    def _lately(self, now: float) -> float:
        return max(0.0, self._done_s - self._share * (now - self._at))
