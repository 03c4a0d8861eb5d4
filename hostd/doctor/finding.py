"""What the doctor finds: where, what it is, and what to do."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How much a finding matters: `problem` is for the operator to mend, `note` is good to know, `ok` is neither."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One thing that was looked at. `check` names which; `remedy` is empty where nothing is to be done."""

    check: str
    level: Level
    where: str
    what: str
    remedy: str = ""


def ok(check: str, where: object, what: str) -> Finding:
    """Return that all is well with something."""
    return Finding(check, Level.OK, str(where), what)


def note(check: str, where: object, what: str, remedy: str = "") -> Finding:
    """Return what is good to know."""
    return Finding(check, Level.NOTE, str(where), what, remedy)


def problem(check: str, where: object, what: str, remedy: str) -> Finding:
    """Return what is to be mended."""
    return Finding(check, Level.PROBLEM, str(where), what, remedy)
