"""Which artifact should serve each name: pure, so that every case is a test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from hostd.errors import Refusal, Stage
from hostd.past import ROLLED_BACK, Hold, Past
from hostd.plugins.artifact import Artifact
from hostd.plugins.generation import generation_key, options_in
from hostd.plugins.inventory import Known


class Want(Struct, frozen=True):
    """What should be current for a name: an artifact with options, and when it was first seen (monotonic).

    `past` is the generation to go back to, as it was.
    """

    artifact: Artifact
    options: dict[str, Any] | None
    seen_at: float
    past: Past | None = None

    @property
    def is_decided(self) -> bool:
        """Tell whether it served before, and is to serve again: it is neither tried nor on probation."""
        return self.past is not None

    @property
    def key(self) -> str:
        """What makes it another generation: its bytes or its options."""
        return generation_key(self.artifact, self.options)


def again(past: Past, artifact: Artifact) -> Want:
    """Return the want for a generation that served before, with the options that it had."""
    return Want(artifact, options_in(past.key), 0.0, past)


class Choice(Struct):
    """The wants by name; what is set aside, as a stand-by or in conflict with what serves; and holds that ended."""

    wants: dict[str, Want] = field(default_factory=dict)
    standby: list[tuple[Artifact, Refusal]] = field(default_factory=list)
    conflicts: list[tuple[Artifact, Refusal]] = field(default_factory=list)
    released: list[tuple[Hold, str]] = field(default_factory=list)


class Facts(Struct, frozen=True):
    """What is chosen from.

    `files` is what lies in the folder, `serving` what is in service, by name. `kept` has what served before a restart,
    from `last_paths`, and `held` what `holds` name, as far as their bytes are not lost. `is_refused(key)` tells what
    cannot serve.
    """

    files: Mapping[Path, Known]
    serving: Mapping[str, Artifact]
    holds: Mapping[str, Hold]
    options: Mapping[str, dict[str, Any]]
    is_refused: Callable[[str], bool]
    last_paths: Mapping[str, Path]
    kept: Mapping[str, Want]
    held: Mapping[str, Want]


def choose(facts: Facts) -> Choice:
    """Choose for every name the highest version that was not refused, unless a hold says otherwise.

    Of two files with one version the one in service stays. What serves, or did before a restart, goes on while its
    own file holds something that cannot serve.
    """
    choice = Choice()
    for name, group in _by_name(facts).items():
        wants = [Want(artifact, facts.options.get(name), seen_at) for artifact, seen_at in group]
        hold = facts.holds.get(name)
        if hold is not None and (why := _why_released(hold, facts, wants)):
            choice.released.append((hold, why))
            hold = None
        if hold is not None and (held := _held(hold, facts, wants)) is not None:
            choice.wants[name] = held
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


def _why_released(hold: Hold, facts: Facts, wants: list[Want]) -> str | None:
    """Return why a hold ends, or None while it holds. A file that is broken now is not yet another one."""
    path, serving = Path(hold.path), facts.serving.get(hold.plugin)
    known = facts.files.get(path)
    if known is None:
        return f"{path.name} was removed"
    if known.artifact is not None and known.artifact.digest != hold.digest:
        return f"{path.name} has changed"
    if serving is not None and any(want.artifact.digest == serving.digest for want in _higher(hold, facts, wants)):
        return f"{serving.path.name} has a higher version"
    return None


def _held(hold: Hold, facts: Facts, wants: list[Want]) -> Want | None:
    """Return what serves under a hold: what it names, or a version above the one set aside that may prove better.

    The hold ends only when that one serves: if it is refused, what was rolled back must not step in.
    """
    held = facts.held.get(hold.plugin)
    candidates = [*_higher(hold, facts, wants), *([held] if held else [])]
    return next((want for want in candidates if not facts.is_refused(want.key)), None)


def _higher(hold: Hold, facts: Facts, wants: list[Want]) -> list[Want]:
    """Return what has a higher version than the file that was rolled back."""
    known = facts.files.get(Path(hold.path))
    if hold.kind != ROLLED_BACK or known is None or known.artifact is None:
        return []
    return [want for want in wants if _version(want.artifact) > _version(known.artifact)]


def _version(artifact: Artifact) -> Any:
    return artifact.manifest.parsed_version


def _keep_what_serves(choice: Choice, facts: Facts) -> None:
    for name, path in {**facts.last_paths, **{name: each.path for name, each in facts.serving.items()}}.items():
        known = facts.files.get(path)
        if known is None or not cannot_serve(name, known, facts.options, facts.is_refused):
            continue
        serving = facts.serving.get(name)
        if name in choice.wants and choice.wants[name].is_decided:
            continue
        if serving is not None:
            choice.wants[name] = Want(serving, facts.options.get(name), known.seen_at)
        elif name not in choice.wants and name in facts.kept:
            choice.wants[name] = facts.kept[name]


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
