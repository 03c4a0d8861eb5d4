"""One artifact of one plugin on its way into service and out of it: one enum, one table, one `advance`."""

import json
import sys
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from contract.framing import Framing
from contract.manifest import Manifest
from hostd import __version__, clock
from hostd.plugins.artifact import Artifact
from hostd.workers.pool import Crew


class State(StrEnum):
    """Where a generation stands. In service are `current`, on probation, and `permanent`, proven.

    One that is `keeping` serves only the sources whose streams it alone can go on with.
    """

    CHECKED = "checked"
    PREPARED = "prepared"
    STARTED = "started"
    TRIED = "tried"
    CURRENT = "current"
    PERMANENT = "permanent"
    WARM = "warm"
    KEEPING = "keeping"
    ROLLED_BACK = "rolled back"
    DRAINING = "draining"
    RETIRED = "retired"
    REFUSED = "refused"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.CHECKED: frozenset({State.PREPARED, State.REFUSED}),
    State.PREPARED: frozenset({State.STARTED, State.REFUSED}),
    State.STARTED: frozenset({State.TRIED, State.WARM, State.KEEPING, State.REFUSED}),
    State.TRIED: frozenset({State.CURRENT}),
    State.CURRENT: frozenset({State.PERMANENT, State.ROLLED_BACK, State.DRAINING}),
    State.PERMANENT: frozenset({State.WARM, State.DRAINING}),
    State.WARM: frozenset({State.PERMANENT, State.DRAINING}),
    State.KEEPING: frozenset({State.DRAINING}),
    State.ROLLED_BACK: frozenset({State.DRAINING}),
    State.DRAINING: frozenset({State.RETIRED}),
    State.RETIRED: frozenset(),
    State.REFUSED: frozenset(),
}


def generation_key(artifact: Artifact, options: dict[str, Any] | None) -> str:
    """Return what distinguishes the generations of one plugin, as text."""
    return f"{artifact.digest}:{json.dumps(options or {}, sort_keys=True, default=str)}"


def options_in(key: str) -> dict[str, Any] | None:
    """Return the options that a key was made with."""
    options: dict[str, Any] = json.loads(key.partition(":")[2])
    return options or None


class TransitionError(Exception):
    """A transition that the table does not have: a bug of ours."""


class Generation(Struct, eq=False):
    """One artifact of one plugin, with the options it runs with. `number` counts from 1 per plugin.

    `distrusted` says why it may not serve any longer, `is_told_of` whether the log says that its `at_once` is broken.
    """

    number: int
    artifact: Artifact
    options: dict[str, Any] | None
    crew: Crew
    framing: Framing
    state: State = State.CHECKED
    since: str = field(default_factory=clock.timestamp)
    made_at: float = field(default_factory=clock.monotonic)
    records: int = 0
    rejected: int = 0
    regressions: int = 0
    distrusted: str | None = None
    is_told_of: bool = False

    @property
    def manifest(self) -> Manifest:
        """What the plugin says of itself."""
        return self.artifact.manifest

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.manifest.name

    @property
    def key(self) -> str:
        """What makes it another generation than one of the same plugin: its bytes or its options."""
        return generation_key(self.artifact, self.options)

    @property
    def surroundings(self) -> str:
        """What it is proven under, if it is: hostd, Python, and what confines it."""
        return f"hostd {__version__}, Python {sys.version}, confined by {self.crew.confined_by}"

    @property
    def version(self) -> str:
        """The plugin's version."""
        return self.manifest.version

    def advance(self, state: State) -> None:
        """Move on to `state`; the only writer of it. Raises TransitionError."""
        if state not in TRANSITIONS[self.state]:
            raise TransitionError(f"{self.plugin} generation {self.number}: {self.state} -> {state}")
        self.state = state
        self.since = clock.timestamp()
