"""A user's regular expression, as both engines read it: RE2's text, and Python's where that means the same.

Named groups may have any field's name, and the same one twice: they become numbered groups, in order. Groups without a
name capture nothing.
"""

import re
from dataclasses import dataclass

from contract.declared.problem import RecipeError

FIELD = re.compile(r"[A-Za-z_@][\w@.-]*|(?:\[[\w@.-]+\])+", re.ASCII)
"""A field's name, or `[outer][inner]` for a value in an object."""

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_SPACES = r"\t\n\f\r "
"""What RE2 means by a space."""

_POSIX_LEFT = re.compile(r"\[:\^?\w+:\]")

_TOKEN = re.compile(
    r"""(?P<quoted>\\Q.*?(?:\\E|\Z))
    |(?P<escape>\\.)
    |(?P<class>\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])
    |(?P<unclosed>\[.*)
    |(?P<named>\(\?P?<(?![=!])(?P<name>[^>]{0,200})>)
    |(?P<special>\(\?(?P<what>[=!>|(\#]|<[=!]|P=|P>|[a-zA-Z^-]*[:)]))
    |(?P<group>\((?!\?))
    |(?P<repeat>(?:[*+?]|\{[0-9]*,?[0-9]*\})\+)
    |(?P<open>\{,)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
"""Each piece is passed over once: a class that is never closed is taken to the end, which RE2 then says."""
_NOT_IN_RE2 = {
    "(?=": ("a look-ahead", "match what follows as a part of the expression, for example [^:]*: instead of .*(?=:)"),
    "(?!": ("a look-ahead", "say what may come instead of what may not: [^#] for (?!#)."),
    "(?<=": ("a look-behind", "match what comes before as a part of the expression, outside of the group"),
    "(?<!": ("a look-behind", "match what comes before as a part of the expression: (?:^|[^0-9]) for (?<![0-9])"),
    "(?>": ("an atomic group", "write (?:…): RE2 never goes back, so that nothing is gained by it"),
    "(?|": ("a branch reset", "give the groups names; two may have the same one"),
    "(?(": ("a condition", "write two expressions, in a list: the first one that matches counts"),
    "(?#": ("a comment in the expression", "write it beside, after a # of TOML's"),
    "(?P=": ("a back reference", "match the text again, and compare nothing"),
    "(?P>": ("a call of a group", "repeat what the group says, or give it a name in [patterns] and use grok"),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression: for RE2, for Python's `re` (None: that would read it otherwise), and each group's field.

    `folds_case`: beyond ASCII the two fold case differently.
    """

    text: str
    python: str | None
    names: tuple[str, ...]
    folds_case: bool = False


def read_expression(text: str, path: tuple[str, ...]) -> Expression:
    """Take an expression apart. Raises RecipeError for what RE2 does not have; RE2 itself finds the rest."""
    return _Reading(text, path).run()


class _Reading:
    """One expression being taken apart."""

    def __init__(self, text: str, path: tuple[str, ...]) -> None:
        self._whole = text
        self._path = path
        self._re2: list[str] = []
        self._python: list[str] = []
        self._names: list[str] = []
        self._is_portable = True
        self._folds_case = False

    def run(self) -> Expression:
        for found in _TOKEN.finditer(self._whole):
            kind = str(found.lastgroup) if found.lastgroup not in {"name", "what"} else ""
            text = found[0]
            if found["named"]:
                self._name(found["name"])
            elif found["special"]:
                self._special(text, found["what"])
            elif found["class"]:
                self._class(text)
            elif found["escape"]:
                self._escape(text)
            elif found["repeat"]:
                self._refuse(
                    text, "a possessive quantifier", "remove its second +: RE2 never goes back, so nothing is gained"
                )
            else:
                self._is_portable &= kind not in {"quoted", "open"}
                self._add("(?:" if kind == "group" else text)
        python = "".join(self._python) if self._is_portable else None
        return Expression("".join(self._re2), python, tuple(self._names), self._folds_case)

    def _add(self, re2: str, python: str | None = None) -> None:
        self._re2.append(re2)
        self._python.append(re2 if python is None else python)

    def _name(self, name: str) -> None:
        if not FIELD.fullmatch(name):
            raise RecipeError(
                self._path,
                f"names a field {name!r}",
                "write letters, digits, _ . - @, or [outer][inner]",
                near=name,
            )
        self._names.append(name)
        self._add("(")

    def _special(self, text: str, what: str) -> None:
        if text in _NOT_IN_RE2:
            self._refuse(text, *_NOT_IN_RE2[text])
        self._folds_case |= "i" in what.partition("-")[0]
        self._add(text)

    def _class(self, text: str) -> None:
        plain = re.sub(r"\[:(\w+):\]", lambda found: _POSIX.get(found[1], found[0]), text)
        self._is_portable &= _POSIX_LEFT.search(plain) is None and r"\S" not in plain
        self._add(plain, plain.replace(r"\s", _SPACES))

    def _escape(self, text: str) -> None:
        if text[1] in "123456789" or text[1] == "k":
            self._refuse(text, "a back reference", "match the text again, and compare nothing")
        if text == r"\Z":
            text = r"\z"
        if text == r"\z":
            self._is_portable = False
        spaces = {r"\s": f"[{_SPACES}]", r"\S": f"[^{_SPACES}]", r"\h": r"[\t ]"}
        self._add(r"[\t ]" if text == r"\h" else text, spaces.get(text))

    def _refuse(self, text: str, what: str, remedy: str) -> None:
        raise RecipeError(self._path, f"holds {what}, {text}, which RE2 does not have", remedy, near=text)


_PIECE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)
_QUANTIFIER = re.compile(r"[*+?]|\{\d*,?\d*\}")


def cuts(text: str) -> list[int]:
    """Return where an expression may be cut off and still be one: between its outermost pieces; it may not choose."""
    places: list[int] = []
    depth = 0
    for found in _PIECE.finditer(text):
        piece = found[0]
        depth += (piece == "(") - (piece == ")")
        if depth == 0 and piece == "|":
            return []
        quantified = _QUANTIFIER.match(text, found.end())
        if depth == 0 and not quantified and not (_QUANTIFIER.fullmatch(piece) and not places):
            places.append(found.end())
    return places
