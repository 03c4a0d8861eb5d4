"""Which artifact should serve each name: pure, so that every case is a test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostd.errors import Refusal, Stage
from hostd.past import ROLLED_BACK, Hold
from hostd.plugins.artifact import Artifact
from hostd.plugins.generation import generation_key
from hostd.plugins.inventory import Known


@dataclass(frozen=True, slots=True)
class Want:
    """What should be current for a name: an artifact with options, and when it was first seen (monotonic).

    `decided` says that an operator, or a probation, has decided it: it is neither tried nor on probation.
    """

    artifact: Artifact
    options: dict[str, Any] | None
    seen_at: float
    decided: bool = False

    @property
    def key(self) -> str:
        """What makes it another generation: its bytes or its options."""
        return generation_key(self.artifact, self.options)


@dataclass(slots=True)
class Choice:
    """The wants by name; what is set aside, as a stand-by or in conflict with what serves; and holds that ended."""

    wants: dict[str, Want] = field(default_factory=dict)
    standby: list[tuple[Artifact, Refusal]] = field(default_factory=list)
    conflicts: list[tuple[Artifact, Refusal]] = field(default_factory=list)
    released: list[tuple[Hold, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is chosen from.

    `files` is what lies in the folder, `serving` what is in service, by name. `kept` has the artifacts of what served
    before a restart, from `last_paths`, and `held` those that `holds` name, as far as their bytes are not lost.
    `is_refused(key)` tells what cannot serve.
    """

    files: Mapping[Path, Known]
    serving: Mapping[str, Artifact]
    holds: Mapping[str, Hold]
    options: Mapping[str, dict[str, Any]]
    is_refused: Callable[[str], bool]
    last_paths: Mapping[str, Path]
    kept: Mapping[str, Artifact]
    held: Mapping[str, Artifact]


def choose(facts: Facts) -> Choice:
    """Choose for every name the highest version that was not refused, unless a hold says otherwise.

    Of two files with one version the one in service stays. What serves, or did before a restart, goes on while its
    own file holds something that cannot serve.
    """
    choice = Choice()
    for name, group in _by_name(facts).items():
        wants = [Want(artifact, facts.options.get(name), seen_at) for artifact, seen_at in group]
        hold = facts.holds.get(name)
        if hold is not None and (why := _why_released(hold, facts.files, wants)):
            choice.released.append((hold, why))
            hold = None
        if hold is not None and (held := facts.held.get(name)) is not None:
            choice.wants[name] = Want(held, facts.options.get(name), 0.0, decided=True)
            continue
        chosen = next((want for want in wants if not facts.is_refused(want.key)), None)
        if chosen is not None:
            choice.wants[name] = chosen
        for want in wants[1:]:
            _set_aside(choice, want.artifact, wants[0].artifact)
    _keep_what_serves(choice, facts)
    return choice


def _by_name(facts: Facts) -> dict[str, list[tuple[Artifact, float]]]:
    """Return the artifacts that lie in the folder by name, the best first; names that are held too."""
    groups: dict[str, list[tuple[Artifact, float]]] = {name: [] for name in facts.holds}
    for known in facts.files.values():
        if known.artifact is not None:
            groups.setdefault(known.artifact.manifest.name, []).append((known.artifact, known.seen_at))
    for name, group in groups.items():
        serving = facts.serving.get(name)
        present = serving.path if serving else facts.last_paths.get(name)
        group.sort(key=lambda entry: str(entry[0].path))
        group.sort(key=lambda entry: (_version(entry[0]), entry[0].path == present), reverse=True)
    return groups


def _why_released(hold: Hold, files: Mapping[Path, Known], wants: list[Want]) -> str | None:
    """Return why a hold ends, or None while it holds. A file that is broken now is not yet another one."""
    path = Path(hold.path)
    known = files.get(path)
    if known is None:
        return f"{path.name} was removed"
    if known.artifact is not None and known.artifact.digest != hold.digest:
        return f"{path.name} has changed"
    if hold.kind == ROLLED_BACK and known.artifact is not None:
        higher = [want.artifact for want in wants if _version(want.artifact) > _version(known.artifact)]
        if higher:
            return f"{higher[0].path.name} has a higher version"
    return None


def _version(artifact: Artifact) -> Any:
    return artifact.manifest.parsed_version


def _keep_what_serves(choice: Choice, facts: Facts) -> None:
    for name, path in {**facts.last_paths, **{name: each.path for name, each in facts.serving.items()}}.items():
        known = facts.files.get(path)
        if known is None or not cannot_serve(name, known, facts.options, facts.is_refused):
            continue
        serving = facts.serving.get(name)
        if serving is None and name not in choice.wants:
            serving = facts.kept.get(name)
        if serving is not None and not (name in choice.wants and choice.wants[name].decided):
            choice.wants[name] = Want(serving, facts.options.get(name), known.seen_at)


def cannot_serve(
    name: str, known: Known, options: Mapping[str, dict[str, Any]], is_refused: Callable[[str], bool]
) -> bool:
    """Tell whether a file holds nothing that could serve `name`."""
    if known.artifact is None:
        return True
    return known.artifact.manifest.name == name and is_refused(generation_key(known.artifact, options.get(name)))


def _set_aside(choice: Choice, artifact: Artifact, live: Artifact) -> None:
    name, version = artifact.manifest.name, artifact.manifest.version
    if artifact.manifest.parsed_version < live.manifest.parsed_version or artifact.digest == live.digest:
        refusal = Refusal(
            Stage.CHECKED,
            artifact.display,
            f"stand-by: {live.display} has {name} {live.manifest.version}",
            "remove that file to go back to this one",
        )
        choice.standby.append((artifact, refusal))
    else:
        refusal = Refusal(
            Stage.CHECKED,
            artifact.display,
            f"has the name and version of {live.display}, {name} {version}, but other bytes",
            "give it a higher version, or remove one of the two",
        )
        choice.conflicts.append((artifact, refusal))
