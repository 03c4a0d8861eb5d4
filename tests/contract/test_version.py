"""Which version of the contract a plugin is served by, from what its manifest asks for."""

from collections.abc import Sequence

import pytest
from packaging.specifiers import InvalidSpecifier
from packaging.version import Version

from contract.version import CONTRACT_VERSION, SUPPORTED, mismatch, negotiate


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (">=1.0,<2", "1.0"),
        (">=1", "1.0"),
        ("==1.*", "1.0"),
        ("~=1.0", "1.0"),
        ("==1.0.0", "1.0"),
        ("===1.0", "1.0"),
        (">=1.0rc1,<2", "1.0"),
        (">=1.0.dev0", "1.0"),
        (">=0", "1.0"),
        (">=0.1,<2", "1.0"),
        ("", "1.0"),
        (">=0.1,<1", "0.1"),
        ("==0.*", "0.1"),
        ("~=0.1", "0.1"),
        ("<1", "0.1"),
        ("<1.0rc1", "0.1"),
        ("!=1.0", "0.1"),
        (">=1.1", None),
        (">=1.1,<2", None),
        ("~=1.1", None),
        ("==1.1.*", None),
        (">1.0", None),
        (">=2", None),
        ("==2.0a1", None),
        (">=0.2,<1", None),
        ("<0.1", None),
        ("==0.1.1", None),
        (">=2,<1", None),
    ],
)
def test_the_highest_supported_version_that_is_asked_for_serves(asked: str, served: str | None) -> None:
    """Of 1.0 and 0.1; None where there is no such version, among them a newer minor than the host speaks."""
    assert negotiate(asked, ("1.0", "0.1")) == served


@pytest.mark.parametrize(
    ("asked", "supported", "served"),
    [
        (">=1.0,<2", ("1.2", "0.1"), "1.2"),
        (">=1.1", ("1.2", "1.1"), "1.2"),
        ("==1.10.*", ("1.10", "1.9", "1.1"), "1.10"),
        (">=1.0,<1.10", ("1.10", "1.9"), "1.9"),
    ],
)
def test_a_minor_that_is_newer_than_asked_for_serves(asked: str, supported: Sequence[str], served: str) -> None:
    """A later host of the same major goes on serving the plugins of before."""
    assert negotiate(asked, supported) == served


def test_what_is_supported_is_final_and_falls() -> None:
    """`negotiate` takes the first that fits, and a preview would be taken for what a plugin means by >=1."""
    versions = [Version(version) for version in SUPPORTED]
    assert versions == sorted(versions, reverse=True)
    assert not any(version.is_prerelease for version in versions)
    assert SUPPORTED[0] == CONTRACT_VERSION


def test_what_is_no_specifier_is_an_error() -> None:
    """The manifest has said so before."""
    with pytest.raises(InvalidSpecifier):
        negotiate("1.0")


def test_a_mismatch_names_both_sides_and_a_way_out_that_works() -> None:
    """What is asked for, all that is spoken; and what the remedy says to write is served."""
    problem, remedy = mismatch(">=1.1")
    assert problem == "asks for contract '>=1.1', and this hostd speaks 1.0 and 0.1"
    assert remedy == 'write contract = ">=1.0,<2" or ">=0.1,<1" if it works with that, or upgrade hostd'
    assert [negotiate(specifier) for specifier in remedy.split('"')[1::2]] == list(SUPPORTED)
