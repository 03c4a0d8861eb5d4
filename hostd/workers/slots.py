"""A limit of what goes on at once, first come first served, but for who is told to be in a hurry.

A batch that takes long gives its slot to the next in line and goes on without one, so that a plugin which
hangs until its deadline delays no other plugin.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType


class _Slot:
    """A slot that is waited for, held, and given back, by `async with`."""

    __slots__ = ("_slots", "due", "is_held", "name")

    def __init__(self, slots: "Slots", name: str) -> None:
        self._slots = slots
        self.name = name
        self.is_held = False
        self.due = 0.0
        """When it is given away."""

    async def __aenter__(self) -> None:
        if not self._slots.try_take(self):
            await self._slots.wait(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.give_back(self)


class Slots:
    """`capacity` slots; one held for longer than `handoff_s` is given away. None is given while not `is_open()`."""

    def __init__(
        self, capacity: int, handoff_s: float | None = None, is_open: Callable[[], bool] = lambda: True
    ) -> None:
        self.capacity = capacity
        self._handoff_s = handoff_s
        self._is_open = is_open
        self._free = capacity
        self._waiting: deque[tuple[asyncio.Future[None], _Slot]] = deque()
        self._held: deque[_Slot] = deque()
        """Those that may be given away, the one that is due first at the left; some are given back already."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_waited_for(self) -> bool:
        """Tell whether somebody waits for a slot."""
        return bool(self._waiting)

    def hurry(self, name: str) -> None:
        """Give the next slot to who waits under this name; nothing where nobody does."""
        for entry in self._waiting:
            if entry[1].name == name:
                self._waiting.remove(entry)
                self._waiting.appendleft(entry)
                return

    def take(self, name: str = "") -> _Slot:
        """Return what waits for a slot, under a name, and holds it, in an `async with`."""
        return _Slot(self, name)

    def try_take(self, slot: _Slot) -> bool:
        """Take a slot if there is one, and nobody waits."""
        if not self._free or self._waiting or not self._is_open():
            return False
        self._give(slot)
        return True

    async def wait(self, slot: _Slot) -> None:
        """Take a slot when it is its turn."""
        turn = asyncio.get_running_loop().create_future()
        entry = (turn, slot)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            self.give_back(slot)  # it may have been its turn already
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)
            raise

    def give_back(self, slot: _Slot) -> None:
        """Give back a slot, if it is held still."""
        if slot.is_held:
            slot.is_held = False
            self._free += 1
            self.admit()

    def admit(self) -> None:
        """Let in who waits, as far as there are slots, and they are given."""
        while self._waiting and self._free and self._is_open():
            turn, slot = self._waiting.popleft()
            if not turn.done():
                self._give(slot)
                turn.set_result(None)

    def _give(self, slot: _Slot) -> None:
        self._free -= 1
        slot.is_held = True
        if self._handoff_s is not None:
            slot.due = asyncio.get_running_loop().time() + self._handoff_s
            self._held.append(slot)
            while not self._held[0].is_held:
                self._held.popleft()
            if self._timer is None:
                self._wait_for(self._held[0])

    def _wait_for(self, slot: _Slot) -> None:
        # One timer for all, which is not set anew when a slot comes back: most do long before it rings.
        self._timer = asyncio.get_running_loop().call_at(slot.due, self._hand_off)

    def _hand_off(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._held and (not self._held[0].is_held or self._held[0].due <= now):
            self.give_back(self._held.popleft())
        if self._held and self._timer is None:  # else who was let in has set it
            self._wait_for(self._held[0])
