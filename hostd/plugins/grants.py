"""What a plugin needs beyond its input, against what the operator granted: the place where it may run.

The same with the sandbox and without: what works on one machine is not refused on another.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from contract.manifest import Needs
from hostd.config import Grant
from hostd.errors import Refusal, Stage
from hostd.plugins.artifact import Artifact
from hostd.workers.launch import Place

Grants = Mapping[str, Grant]


def place_of(artifact: Artifact, packages: str) -> Place:
    """Return the place that the artifact needs to run in; `packages` is the folder of its environment, if any."""
    needs = artifact.manifest.needs
    return Place(packages, needs.network, needs.paths)


def check(artifact: Artifact, grants: Grants) -> None:
    """Raise Refusal when the artifact needs what it is not granted, or what is not there."""
    name, needs = artifact.manifest.name, artifact.manifest.needs
    if not is_granted(artifact, grants):
        raise Refusal(
            Stage.PREPARED,
            artifact.display,
            f"needs {_in_words(needs)}, which is not granted",
            f"if you trust it with that, add to hostd.toml the lines {_lines(name, needs)}; then: hostd rescan",
        )
    for path in needs.paths:
        if not Path(path).exists():
            raise Refusal(
                Stage.PREPARED,
                artifact.display,
                f"needs {path}, which is not there",
                "put it there, or let the daemon's user see it",
                transient=True,
            )


def is_granted(artifact: Artifact, grants: Grants) -> bool:
    """Tell whether the artifact is granted all that it needs."""
    needs, grant = artifact.manifest.needs, grants.get(artifact.manifest.name, Grant())
    allowed = [os.path.realpath(path) for path in grant.paths]
    # Where a link leads counts, not where it lies.
    return (grant.network or not needs.network) and all(
        any(_is_within(os.path.realpath(path), folder) for folder in allowed) for path in needs.paths
    )


def _in_words(needs: Needs) -> str:
    return " and ".join([*(["the network"] if needs.network else []), *needs.paths])


def _lines(name: str, needs: Needs) -> str:
    lines = [f"[plugins.sandbox.grants.{name}]"]
    lines += ["network = true"] if needs.network else []
    lines += [f"paths = {json.dumps(needs.paths)}"] if needs.paths else []
    return ", ".join(f"'{line}'" for line in lines)


def _is_within(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
