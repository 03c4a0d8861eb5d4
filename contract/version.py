"""The contract's own semantic versions, independent of hostd's, and which of them a plugin is served by.

Decided from the manifest alone, before any of the plugin's code runs.
"""

from collections.abc import Sequence
from functools import lru_cache

CONTRACT_VERSION = "1.0"
"""A plugin declares the versions it works with as a PEP 440 specifier, for example ``>=1.0,<2``."""

SUPPORTED = (CONTRACT_VERSION, "0.1")
"""Every version of the contract that this hostd speaks, the highest first. Final versions only: a specifier such as
``>=1`` says nothing of previews."""


def negotiate(specifier: str, supported: Sequence[str] = SUPPORTED) -> str | None:
    """Return the first of the `supported` versions, highest first, that `specifier` admits, or None.

    Raises InvalidSpecifier, a ValueError, for what is not a PEP 440 specifier.
    """
    return _negotiate(specifier, tuple(supported))


@lru_cache(maxsize=256)
def _negotiate(specifier: str, supported: tuple[str, ...]) -> str | None:
    """Do what `negotiate` does, once for what a thousand plugins declare alike."""
    from packaging.specifiers import SpecifierSet  # the host has it; a plugin's environment need not

    admitted = SpecifierSet(specifier)
    return next((version for version in supported if admitted.contains(version)), None)


def mismatch(specifier: str) -> tuple[str, str]:
    """Return what is wrong with asking for `specifier`, and what to do: for one that no supported version meets."""
    ranges = [f'">={version},<{int(version.split(".")[0]) + 1}"' for version in SUPPORTED]
    return (
        f"asks for contract {specifier!r}, and this hostd speaks {' and '.join(SUPPORTED)}",
        f"write contract = {' or '.join(ranges)} if it works with that, or upgrade hostd",
    )
