"""What lies in the folder, as of the last look: each file read once per contents, and refused or an artifact."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hostd import clock, events
from hostd.errors import DistrustedError, Refusal
from hostd.plugins import artifact as artifacts
from hostd.plugins import ownership, trust
from hostd.plugins.artifact import Artifact, BeingWrittenError
from hostd.plugins.folder import Folder, Signature

SETTLE_S = 0.25
"""How long a file must be gone before it counts as removed: editors move the old one away first. And for how long after
its last change one is not refused: not every writer holds it open until it is whole. What is good is taken at once."""

SMALL_BYTES = 64 << 10
"""Up to which size a file is read at once; a larger one, in a thread."""

READ_AT_ONCE = 8
"""How many files are read between two turns of the event loop: what else it has to do waits that long."""

WRITING_S = (0.02, 1.0)
"""How soon a file that is being written is looked at again, at first and at last: most are whole in a moment."""


Evidence = tuple[Signature, trust.Policy, trust.Stamp | None]
"""What a file was judged by: when any of it changes it is judged again. The last is its SSH signature's."""


class Known(Struct, frozen=True):
    """What a file was when it was last read; no artifact when it was refused. `seen_at` is monotonic.

    Without evidence it is read at the next look: that is to be done again, or others could write the folder.
    """

    evidence: Evidence | None
    artifact: Artifact | None
    seen_at: float


class Inventory:
    """Reads what is new in the folder. Refusals go to `on_refusal(path, refusal)`, once per contents.

    A folder that others may write is refused itself, once: nothing new is read from it until that is mended.
    """

    def __init__(
        self,
        folder: Folder,
        store: Path,
        look_again: Callable[[], None],
        on_refusal: Callable[[Path, Refusal], None],
    ) -> None:
        self.files: dict[Path, Known] = {}
        self._folder = folder
        self._store = store
        self._look_again = look_again
        self._on_refusal = on_refusal
        self._missing_since: dict[Path, float] = {}
        self._unsettled: set[Path] = set()
        self._written_since: dict[Path, float] = {}
        self._policy = trust.DEFAULT
        self._folder_refused: str | None = None

    @property
    def refused_folder(self) -> Path | None:
        """The folder, while it is refused."""
        return self._folder.path if self._folder_refused else None

    @property
    def settled(self) -> bool:
        """Tell whether no file is missing that may come back in a moment, or broken that may be mended in one."""
        return not self._missing_since and not self._unsettled

    async def look(self, seen_at: float, policy: trust.Policy = trust.DEFAULT) -> bool:
        """Bring `files` up to date; False when the folder cannot be read, and nothing changed then."""
        found = self._folder.scan()
        if found is None:
            return False
        self._policy = policy
        evidence = {path: self._evidence(path, signature) for path, signature in found.items()}
        news = [path for path in found if path not in self.files or self.files[path].evidence != evidence[path]]
        self._unsettled.intersection_update(found)
        self._written_since = {path: since for path, since in self._written_since.items() if path in found}
        if self._is_folder_trusted():
            for start in range(0, len(news), READ_AT_ONCE):
                reads = [self._read(path, evidence[path], seen_at) for path in news[start : start + READ_AT_ONCE]]
                # One alone, as most are, needs no task of its own: that would be turns of the event loop.
                await (reads[0] if len(reads) == 1 else asyncio.gather(*reads))
        else:
            self.files.update((path, Known(None, None, seen_at)) for path in news)
        self._forget_missing(found)
        return True

    def forget_refusals(self) -> None:
        """Read files that were refused again at the next look."""
        self._folder_refused = None
        for path in list(self.files):
            self.forget(path)

    def forget(self, path: Path) -> None:
        """Read a file that was refused again at the next look."""
        known = self.files.get(path)
        if known is None or known.artifact is not None:
            return
        if self._missing_since.pop(path, None) is not None:
            del self.files[path]
        else:
            self.files[path] = replace(known, evidence=None)  # still there: whatever it is, it was not removed

    def _evidence(self, path: Path, signature: Signature) -> Evidence:
        policy = self._policy
        return signature, policy, trust.stamp(trust.signature_path(path)) if policy.wants_signature else None

    def _is_folder_trusted(self) -> bool:
        try:
            if self._policy.settings.ownership:
                ownership.check_folder(self._folder.path)
        except Refusal as refusal:
            if self._folder_refused != str(refusal):
                self._folder_refused = str(refusal)
                self._on_refusal(self._folder.path, refusal)
            return False
        except OSError:
            return False  # gone since it was listed: the next look says so
        self._folder_refused = None
        return True

    async def _read(self, path: Path, evidence: Evidence, seen_at: float) -> None:
        policy = evidence[1]
        self._unsettled.discard(path)
        written_since = self._written_since.pop(path, clock.monotonic())
        try:
            if evidence[0][2] <= SMALL_BYTES and path.suffix != ".toml" and not policy.wants_signature:
                # A few KiB, read and checked in less time than a thread takes to be woken under load. Not a format
                # without code: its expressions are compiled, and the first brings the modules for that.
                artifact = artifacts.read(path, self._store, policy)
            else:
                artifact = await asyncio.to_thread(artifacts.read, path, self._store, policy)
        except BeingWrittenError:
            # Closing it is an event, but not every file system and every writer gives one.
            self._written_since[path] = written_since
            delay_s = min(max(clock.monotonic() - written_since, WRITING_S[0]), WRITING_S[1])
            asyncio.get_running_loop().call_later(delay_s, self._look_again)
            return
        except FileNotFoundError:
            return
        except Refusal as refusal:
            if not isinstance(refusal, DistrustedError) and (delay_s := settles_in_s(path)):
                self._unsettled.add(path)
                asyncio.get_running_loop().call_later(delay_s + 0.001, self._look_again)
                return
            self.files[path] = Known(evidence, None, seen_at)
            self._on_refusal(path, refusal)
            return
        self.files[path] = Known(evidence, artifact, seen_at)
        events.emit(events.ARTIFACT_FOUND, path=artifact.display, digest=artifact.digest[:12], size=artifact.size)

    def _forget_missing(self, found: dict[Path, Signature]) -> None:
        now = clock.monotonic()
        for path in found:
            self._missing_since.pop(path, None)
        for path in [path for path in self.files if path not in found]:
            gone_for = now - self._missing_since.setdefault(path, now)
            if gone_for < SETTLE_S:
                asyncio.get_running_loop().call_later(SETTLE_S - gone_for + 0.001, self._look_again)
            else:
                del self._missing_since[path]
                del self.files[path]


def settles_in_s(path: Path) -> float:
    """Return for how long what is wrong with a file may still be what is missing of it; 0 once it is what it is."""
    try:
        age_s = clock.age_s(path)
    except OSError:
        return 0.0  # gone, or out of reach: it is not being written
    return SETTLE_S - age_s if 0 <= age_s < SETTLE_S else 0.0
