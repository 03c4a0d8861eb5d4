"""How many steps Python's `re` can need for an expression, told from the expression alone.

`re` tries one way after another, RE2 all at once: the one is faster where there is little to try, the other never gets
lost. Here is the upper bound that chooses between them. What is not understood counts as too many.
"""

import operator
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from importlib import import_module
from typing import Any

MOST_STEPS = 2048
"""Steps that one character may cost: some microseconds."""
LEAST_CHARACTERS = 64
"""A text is mostly longer than this: what is fast only below it is not worth two engines."""
UNLIMITED = 1 << 62

_MOST_CONSTANT = 20_000
_MOST_VISITS = 20_000
_MOST_UNROLLED = 16

_OTHER = 1 << 128
"""Stands for all characters beyond ASCII."""
_END = 1 << 129
_ALL = (1 << 129) - 1
NEWLINE = 1 << 10

_WORD = sum(1 << code for code in range(128) if chr(code).isalnum() or chr(code) == "_")
_DIGIT = sum(1 << code for code in range(48, 58))
_SPACE = sum(1 << code for code in (9, 10, 11, 12, 13, 32))
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGIT,
    "CATEGORY_NOT_DIGIT": _ALL & ~_DIGIT,
    "CATEGORY_SPACE": _SPACE,
    "CATEGORY_NOT_SPACE": _ALL & ~_SPACE,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": _ALL & ~_WORD,
}


class TooManyError(Exception):
    """An expression that `re` may be too slow for, or that cannot be told."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Steps as a polynomial of the text's length."""

    constant: int = 0
    linear: int = 0
    square: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.constant + other.constant, self.linear + other.linear, self.square + other.square)

    def then(self, other: "Cost") -> "Cost":
        """Return the cost of one after the other: they share the text's characters, and each is paid for once."""
        return Cost(self.constant + other.constant, max(self.linear, other.linear), max(self.square, other.square))

    def times_length(self) -> "Cost":
        """Return as much from each character on. Raises TooManyError past the square."""
        if self.square:
            raise TooManyError("a cubic number of steps")
        return Cost(0, self.constant, (self.linear + 1) // 2)

    def times(self, count: int) -> "Cost":
        """Return as much, several times."""
        return Cost(count * self.constant, count * self.linear, count * self.square)

    def at_most(self, other: "Cost") -> "Cost":
        """Return what bounds both."""
        return Cost(max(self.constant, other.constant), max(self.linear, other.linear), max(self.square, other.square))


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of an expression from some place on.

    `first` is what it can begin with; `retry` is what a try that fails costs, all its own retries included, and `once`
    what the one that succeeds does; `fast` bounds a try whose first character is not in `first`. `is_certain`: it
    matches whatever follows. `takes_end`: it matches at the end.
    """

    first: int
    retry: Cost
    once: Cost
    fast: int = 1
    is_certain: bool = False
    takes_end: bool = False


def longest(text: str, *, newlines: bool, whole: bool = True) -> int:
    """Return for how long a text `re` may be asked to match an expression from the text's start on; 0 for none.

    `newlines` says whether texts may hold any; `whole` whether the match has to reach the end. Parses and compiles
    nothing of the text's language but with Python's own parser, which is for workers alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a set that means another thing to RE2
            parsed = import_module("re._parser").parse(text, re.ASCII | (re.DOTALL if newlines else 0))
        end = _Rest(_END, Cost(1), Cost(1), takes_end=True)
        if not whole:
            end = _Rest(_ALL | _END, Cost(), Cost(1), is_certain=True, takes_end=True)
        rest = _Reader(newlines=newlines).sequence(parsed, end, parsed.state.flags)
    except (re.error, Warning, RecursionError, OverflowError, TooManyError, ImportError, AttributeError):
        return 0
    cost = rest.retry.at_most(rest.once)
    if cost.constant > _MOST_CONSTANT or cost.linear > MOST_STEPS:
        return 0
    if not cost.square:
        return UNLIMITED
    characters = (MOST_STEPS - cost.linear) // cost.square
    return characters if characters >= LEAST_CHARACTERS else 0


def optional_groups(text: str | None, count: int) -> frozenset[int]:
    """Return which of an expression's groups may take no part in a match, from 0; all where that cannot be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = import_module("re._parser").parse("(" if text is None else text, re.ASCII)
        return frozenset(number - 1 for number in _groups(parsed, may_skip=False))
    except (re.error, Warning, RecursionError, OverflowError, ImportError, AttributeError):
        return frozenset(range(count))


def _groups(items: Any, *, may_skip: bool) -> Iterator[int]:
    """Yield the groups in `items` that may be skipped: all of them where `items` may be."""
    for name, argument in items:
        if str(name) == "SUBPATTERN":
            if may_skip and argument[0] is not None:
                yield argument[0]
            yield from _groups(argument[3], may_skip=may_skip)
        elif str(name) == "BRANCH":
            for each in argument[1]:
                yield from _groups(each, may_skip=True)
        elif str(name) in {"MAX_REPEAT", "MIN_REPEAT"}:
            yield from _groups(argument[2], may_skip=may_skip or argument[0] == 0)


class _Reader:
    """Reads an expression from its end to its start: what a choice costs depends on what comes after it."""

    def __init__(self, *, newlines: bool) -> None:
        self._newlines = newlines
        self._visits = 0
        self._ambiguous = 0

    def sequence(self, items: Any, rest: _Rest, flags: int) -> _Rest:
        """Return what is left before `items`, given what is left after them."""
        for item in reversed(list(items)):
            rest = self._item(item, rest, flags)
        return rest

    def _item(self, item: tuple[Any, Any], rest: _Rest, flags: int) -> _Rest:
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise TooManyError("too large an expression")
        taken = characters(item, flags)
        if taken is not None:
            return _Rest(taken, Cost(1) + rest.retry, Cost(1) + rest.once)
        name, argument = str(item[0]), item[1]
        if name == "SUBPATTERN":
            _, added, removed, inner = argument
            return self.sequence(inner, rest, (flags | added) & ~removed)
        if name == "BRANCH":
            return self._choice([self.sequence(each, rest, flags) for each in argument[1]])
        if name == "AT":
            return _place(str(argument), rest, flags)
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, inner = argument
            alone = characters(inner[0], flags) if len(inner) == 1 else None
            if alone is not None:
                return self._run(alone, int(least), int(most), rest)
            return self._repeat(inner, int(least), int(most), rest, flags)
        raise TooManyError(f"{name} is not understood")

    def _run(self, characters: int, least: int, most: int, rest: _Rest) -> _Rest:
        """Of one kind of character, `least` to `most` times."""
        endless = most >= 1 << 31
        covers = _ALL if self._newlines else _ALL & ~NEWLINE
        if least == 0 and endless and characters & covers == covers and rest.takes_end:
            return _Rest(_ALL | _END, Cost(), Cost(1, 1).then(rest.once), is_certain=True, takes_end=True)
        span = Cost(0, 1) if endless else Cost(most)
        first = characters | (rest.first if least == 0 else 0)
        fast = 1 + (rest.fast if least == 0 else 0)
        takes_end = rest.takes_end and least == 0
        if rest.is_certain:
            failing = Cost() if least == 0 else Cost(least + 1)
            return _Rest(first, failing, span.then(rest.once), fast, least == 0, takes_end)
        if least == most or not characters & rest.first:
            # There is one place for the rest to begin at; at any other it fails with its first character.
            tried = Cost(most) if least == most else _times(1 + rest.fast, span)
            return _Rest(first, tried.then(rest.retry), tried.then(rest.once), fast, takes_end=takes_end)
        self._ambiguous += 1
        each = Cost(1) + rest.retry
        tried = each.times_length() if endless else each.times(most - least + 1) + Cost(least)
        return _Rest(first, tried, tried + rest.once, fast, takes_end=takes_end)

    def _choice(self, ways: list[_Rest]) -> _Rest:
        first = reduce(operator.or_, (way.first for way in ways))
        fast = sum(way.fast for way in ways)
        certain, takes_end = any(way.is_certain for way in ways), any(way.takes_end for way in ways)
        once = reduce(Cost.at_most, (way.once for way in ways))
        if sum(way.first.bit_count() for way in ways) == first.bit_count():  # one character tells them apart
            retry = reduce(Cost.at_most, (way.retry for way in ways)) + Cost(fast)
            once += Cost(fast)
        else:
            self._ambiguous += 1
            retry = reduce(operator.add, (way.retry for way in ways))
            once += retry
        return _Rest(first, Cost() if certain else retry, once, fast, certain, takes_end)

    def _repeat(self, inner: Any, least: int, most: int, rest: _Rest, flags: int) -> _Rest:
        """Of a group, `least` to `most` times."""
        if most > 1 and next(_groups(inner, may_skip=True), None) is not None:
            raise TooManyError("a field in a group that repeats, of which the engines may keep another turn")
        if most <= _MOST_UNROLLED:
            found = rest
            for _ in range(most - least):
                found = self._choice([self.sequence(inner, found, flags), rest])
            for _ in range(least):
                found = self.sequence(inner, found, flags)
            return found
        probe = self.sequence(inner, _Rest(_END, Cost(), Cost()), flags)
        if probe.first & _END or probe.first & rest.first:
            raise TooManyError("a group that repeats, and may be empty or begin like what follows it")
        before = self._ambiguous
        turn = self.sequence(inner, _Rest(probe.first | rest.first, Cost(1), Cost(1), probe.fast + rest.fast), flags)
        if self._ambiguous > before:
            raise TooManyError("a group that repeats, with more than one way through it")
        # Each turn takes a character at least, and what runs inside of one takes characters of its own.
        steps = turn.retry.constant + turn.retry.linear + rest.fast
        tried = Cost(steps, steps)
        first = probe.first | (rest.first if least == 0 else 0)
        fast = probe.fast + (rest.fast if least == 0 else 0)
        takes_end = rest.takes_end and least == 0
        return _Rest(first, tried.then(rest.retry), tried.then(rest.once), fast, takes_end=takes_end)


def _times(count: int, span: Cost) -> Cost:
    return Cost(count * span.constant + count, count * span.linear)


def _place(name: str, rest: _Rest, flags: int) -> _Rest:
    """Return what is left before a place of no width."""
    if name == "AT_END" and not flags & re.MULTILINE:
        return replace(rest, first=_END, retry=Cost(1) + rest.retry, is_certain=False, fast=1 + rest.fast)
    taken = rest.takes_end and name == "AT_END"
    return replace(
        rest,
        retry=Cost(1) + rest.retry,
        once=Cost(1) + rest.once,
        is_certain=False,
        fast=1 + rest.fast,
        takes_end=taken,
    )


def characters(item: tuple[Any, Any], flags: int) -> int | None:
    """Return what a single character can be, None for what is more than one."""
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return _either_case(_mask(argument, argument), flags)
    if name == "NOT_LITERAL":
        return _ALL & ~_either_case(_mask(argument, argument) & ~_OTHER, flags)
    if name == "ANY":
        return _ALL if flags & re.DOTALL else _ALL & ~NEWLINE
    if name != "IN":
        return None
    found, negated = 0, False
    for kind, value in argument:
        if str(kind) == "NEGATE":
            negated = True
        elif str(kind) == "LITERAL":
            found |= _mask(value, value)
        elif str(kind) == "RANGE":
            found |= _mask(*value)
        elif str(kind) == "CATEGORY" and str(value) in _CATEGORIES:
            found |= _CATEGORIES[str(value)]
        else:
            raise TooManyError(f"{kind} is not understood")
    found = _either_case(found, flags)
    # Some characters beyond ASCII are not all of them: there are others, whichever way it is asked.
    return (_ALL & ~(found & ~_OTHER)) if negated else found


def _mask(first: int, last: int) -> int:
    mask = _OTHER if last > 127 else 0
    return mask | sum(1 << code for code in range(first, min(last, 127) + 1))


def _either_case(mask: int, flags: int) -> int:
    if not flags & re.IGNORECASE:
        return mask
    upper, lower = mask >> 65 & (1 << 26) - 1, mask >> 97 & (1 << 26) - 1
    return mask | upper << 97 | lower << 65
