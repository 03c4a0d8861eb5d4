"""Many lines read by one call of Python's `re`: what it takes for each line is what it takes of the line alone.

The expression is given an end at each line's end, and nothing in it takes a line feed. So no match is longer than its
line, and none costs more than in its line alone. Where that cannot be told, lines are read one by one.
"""

import re
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from contract.declared.steps import NEWLINE, UNLIMITED, TooManyError, characters

ReadLines = Callable[[str], list[Any]]
"""Returns the groups of each line that matches, as `re.findall` does."""

_TOKEN = re.compile(
    r"(?P<class>\[(?P<negated>\^?)(?P<body>\]?(?:\\.|[^\]\\])*)\])|(?P<escape>\\.)"
    r"|(?P<group>\((?:\?[a-zA-Z-]*:)?)|(?P<repeat>(?:[*+?]|\{[0-9]*,?[0-9]*\})[?+]?)|.",
    re.DOTALL,
)
_NEGATIONS = {r"\D": r"[^\d\n]", r"\W": r"[^\w\n]"}
_REPEATS = frozenset(("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"))
_PLACES = frozenset(("AT_BEGINNING", "AT_END", "AT_BOUNDARY", "AT_NON_BOUNDARY"))
"""Places that are the same in a line among others as in a line alone, where `^` and `$` are each line's."""


class LinesReader:
    """Reads lines by one expression, which is compiled when it is first wanted: few bytes are not worth it.

    `longest` is for how long a line `re` may be asked; 0 for none. `quick` takes the same of lines that match, and is
    faster; without one it is found out.
    """

    __slots__ = ("_groups", "_is_made", "_longest", "_optional", "_python", "_quick", "_read", "_takes_nothing")

    def __init__(
        self, python: str | None, groups: int, *, optional: bool, longest: int, quick: str | None = None
    ) -> None:
        self._python = python
        self._quick = quick
        self._takes_nothing = False
        self._groups = groups
        self._optional = optional
        self._longest = longest
        self._is_made = python is None or not longest
        self._read: ReadLines | None = None

    def read(self, text: str) -> list[Any] | None:
        """Return the groups of each line; None when one does not match, or cannot be read together with others.

        A line that is empty is none.
        """
        if not self._is_made:
            self._is_made = True
            self._read = reader_of_lines(self._python or "", self._groups, self._quick, optional=self._optional)
            self._takes_nothing = self._read is not None and self._read("") != []
        if self._read is None or (self._takes_nothing and "\n\n" in f"\n{text}\n"):
            return None
        if self._longest < UNLIMITED and max(map(len, text.split("\n"))) > self._longest:
            return None
        found = self._read(text)
        return found if len(found) == text.count("\n") + 1 else None


def reader_of_lines(python: str, groups: int, quick: str | None = None, *, optional: bool) -> ReadLines | None:
    """Return what reads lines by an expression of Python's that has to take the whole of each; None where none may."""
    tokens = list(_TOKEN.finditer(python))
    strict = [_within_a_line(token) for token in tokens]
    flags = re.ASCII | re.MULTILINE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = import_module("re._parser").parse(f"^(?:{''.join(strict)})$", flags)
            if not groups or _may_leave_a_line(parsed, parsed.state.flags):
                return None
            if quick is None:
                chosen = zip(tokens, strict, _ended(tokens), strict=True)
                quick = "".join(token[0] if is_free else text for token, text, is_free in chosen)
            compiled = re.compile(f"^(?:{quick})$", flags)
    except (re.error, Warning, RecursionError, OverflowError, TooManyError, ImportError, AttributeError):
        return None
    if optional or groups == 1:  # of which findall does not say whether they took part, or makes no tuples
        finditer = compiled.finditer
        return lambda lines: [found.groups() for found in finditer(lines)]
    return compiled.findall


def _within_a_line(found: re.Match[str]) -> str:
    if found["escape"]:
        return _NEGATIONS.get(found[0], found[0])
    if not found["class"]:
        return found[0]
    if found["negated"]:
        return f"[^{found['body']}\\n]"
    body = re.sub(r"(\\[^n])|\\n", r"\1", found["body"], flags=re.DOTALL)
    is_another = "-\\n" in found["body"] or "\\n-" in found["body"] or body[:1] in {"", "^", "]"}
    return found[0] if is_another else f"[{body}]"


def _ended(tokens: list[re.Match[str]]) -> list[bool]:
    """Tell of each token whether it is a class such as `[^"]` that repeats up to a `"` which has to come.

    These need no line feed among what they do not take, and are several times as fast without: a line that matches has
    such an end itself, so that what goes on beyond a line goes no further than to the end that the next has. Where a
    line does not match, the piece that is read together is the limit.
    """
    certain = _certain(tokens)
    free = [False] * len(tokens)
    for number, token in enumerate(tokens[:-2]):
        if not (token["negated"] and certain[number] and tokens[number + 1]["repeat"]):
            continue
        after = number + 2
        while after < len(tokens) and tokens[after][0] == ")":
            after += 1
        ends = after < len(tokens) and tokens[after][0].removeprefix("\\") == token["body"].removeprefix("\\")
        is_repeated = after + 1 < len(tokens) and tokens[after + 1]["repeat"] is not None
        free[number] = ends and not is_repeated and re.fullmatch(r"\\?[^\w\s]", token["body"]) is not None
    return free


def _certain(tokens: list[re.Match[str]]) -> list[bool]:
    """Tell of each token whether it takes part in every match: it is in no group that repeats, or is one of several."""
    certain = [True] * len(tokens)
    opened = [-1]
    with_choice = set()
    for number, token in enumerate(tokens):
        if token["group"]:
            opened.append(number)
        elif token[0] == "|":
            with_choice.add(opened[-1])
        elif token[0] == ")" and len(opened) > 1:
            first = opened.pop()
            repeats = number + 1 < len(tokens) and tokens[number + 1]["repeat"] is not None
            if repeats or first in with_choice:
                certain[first:number] = [False] * (number - first)
    return certain if -1 not in with_choice else [False] * len(tokens)


def _may_leave_a_line(items: Any, flags: int) -> bool:
    """Tell whether anything in an expression takes a line feed, or looks beyond the line. Raises TooManyError."""
    for item in items:
        taken = characters(item, flags)
        name, argument = str(item[0]), item[1]
        if taken is not None:
            leaves = taken & NEWLINE != 0
        elif name == "SUBPATTERN":
            leaves = _may_leave_a_line(argument[3], (flags | argument[1]) & ~argument[2])
        elif name == "BRANCH":
            leaves = any(_may_leave_a_line(each, flags) for each in argument[1])
        elif name in _REPEATS:
            leaves = _may_leave_a_line(argument[2], flags)
        elif name == "ASSERT_NOT":
            leaves = _may_leave_a_line(argument[1], flags)
        else:
            leaves = name != "AT" or str(argument) not in _PLACES
        if leaves:
            return True
    return False
