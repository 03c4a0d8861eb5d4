"""Text to the records that are in it: lines, or several lines each where lines go on."""

import re
from collections import Counter
from dataclasses import dataclass

from hostd.propose.times import NOTATIONS, time_at

_PREFIX = re.compile(r"[\[<(\"]?")
_OPENED = {"": "", "[": r"\[", "<": "<", "(": r"\(", '"': '"'}


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a text, and the expression that a line which begins one matches; None where each line does."""

    texts: list[str]
    start: str | None


def records(text: str) -> Records:
    """Find the records: each begins with a time where lines do, or at the margin where lines are indented."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines]
    filled = [line for line in lines if line.strip()]
    if not filled:
        return Records([], None)
    begins = [_begins(line) for line in lines]
    counts = Counter(each for each in begins if each is not None)
    first = next(index for index, line in enumerate(lines) if line.strip())
    timed = sum(counts.values())
    if counts and timed < len(filled):
        if begins[first] is not None and timed >= 2:
            kinds = sorted(kind for kind, count in counts.items() if count >= max(2, timed // 50)) or sorted(counts)
            start = "|".join(_OPENED[opened] + NOTATIONS[number].expression for number, opened in kinds)
            return Records(
                _joined(lines, [each in kinds for each in begins]), f"(?:{start})" if "|" in start else start
            )
        return Records(filled, None)
    indented = [line[0] in " \t" for line in filled]
    if any(indented) and not indented[0] and not counts and sum(indented) >= len(filled) // 10:
        return Records(_joined(lines, [bool(line) and line[0] not in " \t" for line in lines]), r"\S")
    return Records(filled, None)


def _begins(line: str) -> tuple[int, str] | None:
    """Return the notation of the time that the line begins with, and what opens it."""
    opened = _PREFIX.match(line)
    assert opened is not None  # it may be empty
    found = time_at(line, opened.end())
    return None if found is None else (found[0], opened[0])


def _joined(lines: list[str], starts: list[bool]) -> list[str]:
    texts: list[list[str]] = []
    for line, is_start in zip(lines, starts, strict=True):
        if is_start or not texts:
            texts.append([line])
        else:
            texts[-1].append(line)
    return ["\n".join(text).rstrip("\n") for text in texts if any(text)]
