"""What is not in service, and why: logged once, remembered by digest and options, tried again when that may help."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from hostd import events
from hostd.errors import Refusal
from hostd.plugins.artifact import Artifact
from hostd.plugins.catalog import Catalog
from hostd.plugins.choice import Want

RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""After how long an artifact is tried again whose refusal may pass by itself."""


class Refusals:
    """Refused wants and files. `on_change` is told each in words, `read_again(path)` makes a file be read again."""

    def __init__(
        self,
        catalog: Catalog,
        look_again: Callable[[], None],
        read_again: Callable[[Path], None],
        on_change: Callable[[str], None],
    ) -> None:
        self._catalog = catalog
        self._look_again = look_again
        self._read_again = read_again
        self._on_change = on_change
        self._keys: set[str] = set()
        self._tries: dict[str, int] = {}

    def has(self, key: str) -> bool:
        """Tell whether these bytes with these options were refused."""
        return key in self._keys

    def add(self, want: Want, refusal: Refusal) -> None:
        """Refuse a want."""
        self._keys.add(want.key)
        self.report(want.artifact.path, want.artifact.manifest.name, want.artifact.digest, refusal)
        if refusal.transient:
            self._later(want.key, lambda: self._keys.discard(want.key))

    def add_file(self, path: Path, refusal: Refusal) -> None:
        """Refuse a file that is not even an artifact."""
        serving = next((n for n, g in self._catalog.current.items() if g.artifact.path == path), None)
        self.report(path, refusal.plugin or serving, refusal.digest, refusal)
        if refusal.transient:
            self._later(str(path), lambda: self._read_again(path))

    def note(self, artifact: Artifact, refusal: Refusal) -> bool:
        """Note what is set aside for another file's sake; tell whether that is news."""
        known = self._catalog.refused.get(artifact.path)
        if known is not None and known.digest == artifact.digest and known.reason == str(refusal):
            return False
        self._catalog.refuse(artifact.path, artifact.manifest.name, artifact.digest, refusal)
        return True

    def report(self, path: Path, name: str | None, digest: str | None, refusal: Refusal) -> None:
        """Say that a file does not go into service, and show it in the status."""
        self._catalog.refuse(path, name, digest, refusal)
        serving = self._catalog.current.get(name) if name else None
        if serving is not None and serving.distrusted:
            serving = None
        events.emit(
            events.ARTIFACT_REFUSED,
            path=f"{path.parent.name}/{path.name}",
            plugin=name,
            stage=refusal.stage.value,
            reason=str(refusal),
            digest=digest[:12] if digest else None,
            serving=f"generation {serving.number} ({serving.version})" if serving else None,
        )
        self._on_change(f"{path.name} is refused: {refusal}")

    def clear(self, want: Want) -> None:
        """Take note that a want is in service after all."""
        self._tries.pop(want.key, None)
        self._catalog.refused.pop(want.artifact.path, None)

    def forget(self) -> None:
        """Let everything be tried again."""
        self._keys.clear()
        self._tries.clear()

    def keep_only(self, digests: Callable[[], set[str]]) -> None:
        """Forget what nobody could want any more: it would pile up for as long as the daemon runs."""
        if self._keys:
            present = digests()
            self._keys = {key for key in self._keys if key.partition(":")[0] in present}

    def _later(self, what: str, allow: Callable[[], None]) -> None:
        tries = self._tries[what] = self._tries.get(what, 0) + 1

        def again() -> None:
            allow()
            self._look_again()

        asyncio.get_running_loop().call_later(retry_delay_s(tries), again)


def retry_delay_s(tries: int) -> float:
    """Return after how many seconds to try again what has been refused so often."""
    return RETRY_S[min(tries, len(RETRY_S)) - 1]
