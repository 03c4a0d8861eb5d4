"""Dependencies to the environment that a generation runs in.

There is one, shared: the contract, pydantic for options, and the standard library. A plugin that needs more is
refused by name.
"""

from importlib.metadata import version

from packaging.utils import canonicalize_name

from hostd.errors import Refusal, Stage
from hostd.plugins.artifact import Artifact

SHARED = ("hostd", "msgspec", "pydantic")
"""Distributions that every worker can import. `hostd` brings the package `contract`."""


def prepare(artifact: Artifact) -> None:
    """Raise Refusal when the shared environment does not meet what the artifact depends on."""
    for requirement in artifact.requirements:
        if canonicalize_name(requirement.name) not in SHARED:
            raise Refusal(
                Stage.PREPARED,
                artifact.display,
                f"depends on {str(requirement)!r}, and plugins with dependencies are not supported yet",
                f"do without it, or copy the code into the plugin; the shared environment has {', '.join(SHARED)}",
            )
        found = version(requirement.name)
        if not requirement.specifier.contains(found, prereleases=True):
            raise Refusal(
                Stage.PREPARED,
                artifact.display,
                f"depends on {str(requirement)!r}, and the shared environment has {found}",
                "widen the range",
            )
