"""What should serve, by name: of what lies in the folder, what served before, and what an operator has decided."""

from collections.abc import Callable
from pathlib import Path

from hostd import events
from hostd.config import Plugins
from hostd.plugins.catalog import Catalog
from hostd.plugins.choice import Choice, Facts, Want, again, cannot_serve, choose
from hostd.plugins.inventory import Inventory
from hostd.plugins.judge import Judge
from hostd.plugins.refusals import Refusals
from hostd.plugins.register import Register


class Wanted:
    """Chooses, and tells of what is set aside: as a stand-by, or in conflict with what serves."""

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        refusals: Refusals,
        inventory: Inventory,
        judge: Judge,
        settings: Callable[[], Plugins],
    ) -> None:
        self._catalog = catalog
        self._register = register
        self._refusals = refusals
        self._inventory = inventory
        self._judge = judge
        self._settings = settings

    async def choose(self) -> dict[str, Want]:
        """Return the wants by the inventory as it is."""
        self._forget_what_is_gone()
        self._refusals.keep_only(self.digests_at_hand)
        wants = self._choose(await self._rescued(), await self._held())
        self._register.forget_removed(wants)
        return wants

    def lying_at(self, path: Path) -> str | None:
        """Return the digest of the artifact that lies at a path, None where none does."""
        known = self._inventory.files.get(path)
        return known.artifact.digest if known and known.artifact else None

    def digests_at_hand(self) -> set[str]:
        """Return the digests of what lies in the folder, or may serve again without lying there."""
        digests = {known.artifact.digest for known in self._inventory.files.values() if known.artifact}
        history, holds = self._register.history, self._register.holds.values()
        held = {past.digest for hold in holds if (past := history.get(hold.plugin, hold.generation))}
        return digests | held | {past.digest for past in self._register.rescuable.values()}

    def _forget_what_is_gone(self) -> None:
        """Drop what was said of files that are gone, or have other bytes by now."""
        for path, refused in list(self._catalog.refused.items()):
            digest = self.lying_at(path)
            if path not in {*self._inventory.files, self._inventory.refused_folder} or digest not in {
                None,
                refused.digest,
            }:
                del self._catalog.refused[path]

    async def _rescued(self) -> dict[str, Want]:
        """Return what served before a restart from its private copy, for each name whose file is broken now."""
        rescued = {}
        for name, past in list(self._register.rescuable.items()):
            known = self._inventory.files.get(Path(past.path))
            if known is not None and cannot_serve(name, known, self._settings().options, self._refusals.has):
                rescued[name] = await self._register.bring_back(past, self._judge.policy)
        return {name: want for name, want in rescued.items() if want is not None}

    async def _held(self) -> dict[str, Want]:
        """Return what holds name, from wherever its bytes are at hand."""
        held = {}
        for name, hold in list(self._register.holds.items()):
            current = self._catalog.current.get(name)
            past = self._register.history.get(name, hold.generation)
            if past is None:
                continue
            if current is not None and current.number == hold.generation:
                held[name] = None if current.distrusted else again(past, current.artifact)
            else:
                held[name] = await self._register.bring_back(past, self._judge.policy)
        return {name: want for name, want in held.items() if want is not None}

    def _choose(self, rescued: dict[str, Want], held: dict[str, Want]) -> dict[str, Want]:
        register, files, current = self._register, self._inventory.files, self._catalog.current
        choice = choose(
            Facts(
                files=files,
                serving={name: each.artifact for name, each in current.items() if not each.distrusted},
                holds=register.holds,
                options=self._settings().options,
                is_refused=self._refusals.has,
                last_paths={name: Path(past.path) for name, past in register.rescuable.items()},
                kept=rescued,
                held=held,
            )
        )
        self._report(choice)
        for hold, why in choice.released:
            register.release(hold, why)
        for name, generation in current.items():
            if (want := choice.wants.get(name)) and want.key == generation.key:
                generation.artifact = want.artifact  # its file may have another name by now, or another signature
                generation.distrusted = None
                known = files.get(want.artifact.path)
                if known and known.artifact and known.artifact.digest == want.artifact.digest:
                    self._catalog.refused.pop(want.artifact.path, None)
        return choice.wants

    def _report(self, choice: Choice) -> None:
        for artifact, refusal in choice.standby:
            if self._refusals.note(artifact, refusal):
                events.emit(
                    events.ARTIFACT_STANDBY,
                    path=artifact.display,
                    plugin=artifact.manifest.name,
                    version=artifact.manifest.version,
                    reason=str(refusal),
                )
        for artifact, refusal in choice.conflicts:
            if self._refusals.note(artifact, refusal):
                self._refusals.report(artifact.path, artifact.manifest.name, artifact.digest, refusal)
