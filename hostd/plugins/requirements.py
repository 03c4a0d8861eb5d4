"""What plugins say they depend on, and what of it hostd's own environment has."""

import functools
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hostd.errors import Refusal, Stage

HOST = "hostd"
SHARED = ("msgspec", "pyarrow", "pydantic")
"""Distributions that the shared environment has beside hostd, which brings the package `contract`. That of an extra may
be missing."""


def read(dependencies: tuple[str, ...], display: str) -> tuple[Requirement, ...]:
    """Return those of a plugin's dependencies that this machine needs. Raises Refusal."""
    requirements = []
    for text in dependencies:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise Refusal(
                Stage.CHECKED,
                display,
                f"dependency {text!r} is not a PEP 508 requirement: {error}",
                "correct it",
            ) from error
        try:
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            requirement.specifier.contains("0")  # a number that nobody means is found here, not where it is installed
        except ValueError as error:  # a comparison that makes no sense
            raise Refusal(
                Stage.CHECKED,
                display,
                f"dependency {text!r} has a marker that cannot be evaluated: {error}",
                "correct it",
            ) from error
        if needed:
            requirements.append(requirement)
    return tuple(requirements)


def own(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    """Return what an environment of a plugin's own must hold, normalized; nothing if the shared one will do."""
    needed = [each for each in requirements if canonicalize_name(each.name) != HOST]
    if all(_is_shared(requirement) for requirement in needed):
        return ()
    return tuple(sorted({_normalize(requirement) for requirement in needed}))


def check(requirements: Iterable[Requirement], display: str) -> None:
    """Raise Refusal for what no environment can bring."""
    for requirement in requirements:
        if requirement.url is not None:
            raise Refusal(
                Stage.PREPARED,
                display,
                f"depends on {str(requirement)!r}, and where packages come from is the operator's choice",
                "name a version; the operator puts the wheel into an index of uv's or a folder of [plugins] find_links",
            )
        if canonicalize_name(requirement.name) == HOST and not _has(requirement):
            raise Refusal(
                Stage.PREPARED,
                display,
                f"depends on {str(requirement)!r}, and this is hostd {_version(HOST)}",
                "widen the range, or upgrade hostd",
            )


def _is_shared(requirement: Requirement) -> bool:
    plain = requirement.url is None and not requirement.extras
    try:
        return plain and canonicalize_name(requirement.name) in SHARED and _has(requirement)
    except metadata.PackageNotFoundError:  # of an extra
        return False


def _has(requirement: Requirement) -> bool:
    return requirement.specifier.contains(_version(canonicalize_name(requirement.name)), prereleases=True)


@functools.cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)


def _normalize(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    return f"{canonicalize_name(requirement.name)}{extras}{requirement.specifier}"
