"""What every kind of received source is to the daemon: it starts, takes in, says how it is, and is closed.

Adding a kind: its settings in `hostd/receiving.py`, a module here with a class like this, and a line in `kinds.py`.
"""

import asyncio
from typing import Any, Protocol

from hostd.pipeline.commit import Committer
from hostd.pipeline.intake.inlet import Inlet
from hostd.pipeline.intake.posts import Posts
from hostd.pipeline.ledger import Ledger
from hostd.receiving import Received
from hostd.tasks import Tasks


class Intake(Protocol):
    """One `[[sources]]` table at work."""

    ended: asyncio.Event
    """Set when nothing more will come of it by itself, as at the end of standard input."""

    async def start(self) -> None:
        """Begin to take in. Raises OSError, or HostdError with what to do; nothing is left behind then."""
        ...

    async def close(self, grace_s: float) -> None:
        """Take no more, and let go of sockets and processes; returns when that is done. May be called twice.

        What was taken in is spooled. Whoever waits for a commit is answered: as soon as it is done, but after `grace_s`
        that it is not.
        """
        ...

    def status(self) -> dict[str, Any]:
        """Return what an operator wants to know, as JSON values: `listening`, and what is counted."""
        ...


class Doors(Protocol):
    """What gives an intake the ways in to its sources, opened once however often they are asked for."""

    tasks: Tasks
    committer: Committer
    ledger: Ledger
    posts: Posts

    async def open(self, kind: str, name: str, settings: Received, user: object) -> Inlet:
        """Return the inlet of a source, on behalf of `user`. Raises OSError."""
        ...
