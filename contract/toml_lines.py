"""On which line of a TOML text something is written, which its reader does not tell.

Keys are found by how they look, outside of strings and comments; what is not found counts as where its table begins.
"""

import re
from collections.abc import Iterable

MOST_PARTS = 12
"""How many parts a key may have."""

# What is not closed ends with the text, or its line: looked for again from each place, it would take quadratic time.
_OPAQUE = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""(?:"{0,2})|\\?\Z)'
    r"|'''.*?(?:'''(?:'{0,2})|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_KEYS = re.compile(r'[\w\-." \t]+')
_BEGINS_ARRAY = re.compile(r"\s*=\s*\[")


def line_of(toml: str, path: Iterable[int | str], first_line: int = 1) -> int:
    """Return the line that `path` is written on: keys, and numbers from 0 of what is in an array of any form."""
    text = _OPAQUE.sub(_blank, toml)
    names: list[str] = []
    base, end = 0, len(text)
    """Between which places the innermost table of an array is written."""
    line_start, place = 0, 0
    is_block = False
    for part in path:
        if isinstance(part, int):
            block = _block(text, names, part, base, end)
            element = block or _inline(text, place, part)
            if element is None:
                continue
            base, end = element
            line_start = place = base
            is_block = block is not None
            continue
        names.append(part)
        found = _key(text, part, place, end, is_block=is_block)
        if found is not None:
            line_start, place = found
        is_block = False
    return first_line + text.count("\n", 0, line_start)


def line_of_long_key(toml: str) -> int | None:
    """Return the line, from 1, of the first key of more than `MOST_PARTS` parts, or None.

    The standard library reads a key in the square of their number: minutes for one of 100,000.
    """
    if toml.count(".") < MOST_PARTS:
        return None
    text = _OPAQUE.sub(_blank, toml)
    long = next((keys.start() for keys in _KEYS.finditer(text) if keys[0].count(".") >= MOST_PARTS), None)
    return None if long is None else 1 + text.count("\n", 0, long)


def _blank(found: "re.Match[str]") -> str:
    mark = " " if found[0].startswith("#") else '"'
    return re.sub(r"[^\n]", mark, found[0])


def _key(text: str, name: str, begin: int, end: int, *, is_block: bool) -> tuple[int, int] | None:
    """Return where a key begins and ends. In a table of its own, what begins a line comes before what is nested."""
    key = re.escape(name)
    found = re.compile(rf"(?m)^[ \t]*(?P<key>{key})\s*[=.]").search(text, begin, end) if is_block else None
    found = found or re.compile(rf"(?m)(?:^|[\s{{,.\[])(?P<key>{key})\s*[=\].]").search(text, begin, end)
    return found.span("key") if found is not None else None


def _block(text: str, names: list[str], number: int, begin: int, end: int) -> tuple[int, int] | None:
    """Return from where to where the numbered `[[names]]` is written, with the tables in it."""
    name = r"\s*\.\s*".join(map(re.escape, names))
    headers = re.compile(rf"(?m)^[ \t]*\[\[\s*{name}\s*\]\]").finditer(text, begin, end)
    header = next((each for at, each in enumerate(headers) if at == number), None)
    if header is None:
        return None
    following = re.compile(rf"(?m)^[ \t]*\[(?!\[?\s*{name}\s*\.)").search(text, header.end(), end)
    return header.start(), following.start() if following is not None else end


def _inline(text: str, key_end: int, number: int) -> tuple[int, int] | None:
    """Return from where to where the numbered element of `key = […]` is written."""
    opening = _BEGINS_ARRAY.match(text, key_end)
    if opening is None:
        return None
    depth, start = 0, opening.end()
    for place in range(start, len(text)):
        mark = text[place]
        if mark in "[{":
            depth += 1
        elif mark in "]}" and depth:
            depth -= 1
        elif mark in ",]" and not depth:
            element = text[start:place].lstrip()
            if not number:
                return (place - len(element), place) if element else None
            number, start = number - 1, place + 1
    return None
