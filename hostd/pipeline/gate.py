"""How many sources are read at once: so many of each plugin, and so many of which nobody knows yet whose they are.

Ten thousand files that appear together are read a few dozen at a time, and a plugin that hangs keeps only its own
waiting.
"""

from collections import Counter, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Gate(Generic[T]):
    """Lets `most` in at each place; who comes later waits in line. A place is a plugin's name, or None."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str | None] = Counter()
        self._waiting: dict[str | None, deque[T]] = {}

    def enter(self, item: T, place: str | None) -> bool:
        """Tell whether `item` is in; if not it waits, and some `leave` of that place returns it."""
        if self._inside[place] < self._most:
            self._inside[place] += 1
            return True
        self._waiting.setdefault(place, deque()).append(item)
        return False

    def is_waited_for(self, place: str | None) -> bool:
        """Tell whether anyone waits at a place."""
        return place in self._waiting

    def give_up(self, item: T, place: str | None) -> None:
        """Have an item wait no more."""
        waiting = self._waiting.get(place)
        if waiting is not None and item in waiting:
            waiting.remove(item)
            if not waiting:
                del self._waiting[place]

    def leave(self, place: str | None) -> T | None:
        """Take note that one has left; return who is in instead, if anyone waited."""
        waiting = self._waiting.get(place)
        if waiting:
            item = waiting.popleft()
            if not waiting:
                del self._waiting[place]
            return item
        self._inside[place] -= 1
        if not self._inside[place]:
            del self._inside[place]
        return None
