"""Which sources may be read now, and what their batches may hold of the memory that is under way.

A few dozen of each plugin are read at once, in turns while others wait, and all share one budget of bytes.
"""

from hostd import clock
from hostd.pipeline.budget import Budget
from hostd.pipeline.flow import Flow
from hostd.pipeline.gate import Gate

READ_AT_ONCE = 64
"""How many sources of one plugin are read at once: each costs a task, and memory, while it is."""

TURN_S = 0.1
"""How long a source is read on while others wait to be: one that is always written to would keep them waiting for
ever."""


class Admission:
    """The gate and the budget, `memory_bytes` of it with `at_once` turns a plugin, for flows."""

    def __init__(self, memory_bytes: int, at_once: int) -> None:
        self.budget = Budget(memory_bytes, at_once)
        self._gate: Gate[Flow] = Gate(READ_AT_ONCE)

    def enter(self, flow: Flow, place: str | None) -> bool:
        """Tell whether a source may be read now; if not it waits at the gate."""
        flow.place, flow.queued = place, not self._gate.enter(flow, place)
        return not flow.queued

    def leave(self, place: str | None) -> Flow | None:
        """Take note that a source is read no more; return the one that may be instead, if one waited."""
        flow = self._gate.leave(place)
        if flow is not None:
            flow.queued = False
        return flow

    def give_up(self, flow: Flow) -> None:
        """Have a source that waits do so no more."""
        if flow.queued:
            self._gate.give_up(flow, flow.place)

    def gives_way(self, flow: Flow) -> bool:
        """Tell whether others wait to be read, and it has had its turn."""
        return self._gate.is_waited_for(flow.place) and clock.monotonic() - flow.since >= TURN_S

    def keep(self, flow: Flow, cost: int, plugin: str) -> bool:
        """Keep so much of what a flow was given of the budget, and give back the rest; tell whether it was enough."""
        held, holder = flow.held
        is_enough = holder == plugin and held >= cost
        if is_enough:
            flow.held = held - cost, holder
        self.let_go(flow)
        return is_enough

    def let_go(self, flow: Flow) -> None:
        """Give back what a flow was given of the budget."""
        (held, holder), flow.held = flow.held, (0, "")
        if held:
            self.budget.give(held, holder)
