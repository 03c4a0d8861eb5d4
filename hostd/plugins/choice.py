"""Which artifact should serve each name: pure, so that every case is a test."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostd.errors import Refusal, Stage
from hostd.plugins.artifact import Artifact
from hostd.plugins.generation import generation_key
from hostd.plugins.inventory import Known


@dataclass(frozen=True, slots=True)
class Want:
    """What should be current for a name: an artifact with options, and when it was first seen (monotonic)."""

    artifact: Artifact
    options: dict[str, Any] | None
    seen_at: float

    @property
    def key(self) -> str:
        """What makes it another generation: its bytes or its options."""
        return generation_key(self.artifact, self.options)


@dataclass(slots=True)
class Choice:
    """The wants by name, and what is set aside: a stand-by, or in conflict with what serves."""

    wants: dict[str, Want] = field(default_factory=dict)
    standby: list[tuple[Artifact, Refusal]] = field(default_factory=list)
    conflicts: list[tuple[Artifact, Refusal]] = field(default_factory=list)


def choose(
    files: Iterable[Known],
    in_service: dict[str, Path],
    options: dict[str, dict[str, Any]],
    is_refused: Callable[[Want], bool],
) -> Choice:
    """Choose for every name among `files`: the highest version that was not refused.

    Of two files with one version that at `in_service` stays.
    """
    choice = Choice()
    by_name: dict[str, list[tuple[Artifact, float]]] = {}
    for known in files:
        if known.artifact is not None:
            by_name.setdefault(known.artifact.manifest.name, []).append((known.artifact, known.seen_at))
    for name, group in by_name.items():
        present = in_service.get(name)
        group.sort(key=lambda entry: str(entry[0].path))
        group.sort(key=lambda entry: (entry[0].manifest.parsed_version, entry[0].path == present), reverse=True)
        wants = [Want(artifact, options.get(name), seen_at) for artifact, seen_at in group]
        chosen = next((want for want in wants if not is_refused(want)), None)
        if chosen is not None:
            choice.wants[name] = chosen
        for want in wants[1:]:
            _set_aside(choice, want.artifact, wants[0].artifact)
    return choice


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
