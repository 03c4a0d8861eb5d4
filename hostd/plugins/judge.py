"""What serves is judged again whenever what the operator trusts has changed: a key that is revoked takes hold at once.

What is judged are the bytes that run, with the signature kept beside them, whatever lies in the folder by now.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from hostd.config import Trust
from hostd.errors import Refusal
from hostd.plugins import artifact as artifacts
from hostd.plugins import trust
from hostd.plugins.artifact import BeingWrittenError
from hostd.plugins.generation import Generation
from hostd.plugins.store import kept_at


class Judge:
    """Holds the policy in force, made of `settings()` and of the file that they name."""

    def __init__(self, store: Path, settings: Callable[[], Trust]) -> None:
        self.policy = trust.DEFAULT
        self._store = store
        self._settings = settings

    async def look(self, serving: Iterable[Generation]) -> None:
        """Bring the policy up to date, and mark what may not serve any longer as distrusted."""
        policy = trust.policy(self._settings())
        if policy != self.policy:
            self.policy = policy  # else the one that is there: comparing it with itself costs nothing
        stale = [each for each in serving if each.artifact.policy is not self.policy]
        await asyncio.gather(*(self._judge(each) for each in stale if each.artifact.policy != self.policy))

    async def _judge(self, generation: Generation) -> None:
        artifact = generation.artifact
        kept = Path(kept_at(self._store, artifact.digest, artifact.path.name))
        try:
            generation.artifact = await asyncio.to_thread(
                artifacts.read, kept, self._store, self.policy, path=artifact.path
            )
            generation.distrusted = None
        except Refusal as refusal:
            if not refusal.transient:  # what cannot be told now is told at another look
                generation.distrusted = str(refusal)
        except (BeingWrittenError, FileNotFoundError):
            generation.distrusted = f"{artifact.display}: its private copy is gone, and what is trusted has changed"
