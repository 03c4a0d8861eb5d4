"""A line to its tokens: what stands between values, and values by how they are delimited."""

import re
from dataclasses import dataclass

from hostd.propose.times import time_at

_SPACE = re.compile(r"[ \t]+")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETED = re.compile(r"\[[^\[\]]*\]")
_IN_ANGLES = re.compile(r"<[^<>\s]*>")
_IN_PARENTHESES = re.compile(r"\([^()]*\)")
_KEY = re.compile(r"[A-Za-z_][\w.@-]{0,63}=")
_VALUE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,;"]*')
_PROGRAM = re.compile(r"[\w./@-]{1,64}(?:\[\d+\])?:(?= |$)")
_RUN = re.compile(r'[^\s"|;,\[\]<>=]+')
_TRAILING = ":.()"
_LEAST_ROWS = 2


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line. `kind` is `text` for what stands between, else how a value is delimited; `key` that of `=`."""

    kind: str
    text: str
    key: str = ""
    value: str = ""


def tokens(line: str, separator: str = "") -> list[Token]:
    """Take a line apart; with `separator` into cells."""
    if separator:
        return _cells(line, separator)
    found: list[Token] = []
    position = 0
    while position < len(line):
        token = _next(line, position)
        position += len(token.text)
        if token.kind == "run" and len(token.text) > 1 and token.text[-1] in _TRAILING:
            bare = token.text.rstrip(_TRAILING) or token.text
            found.append(Token("run", bare, value=bare))
            found += [Token("text", each) for each in token.text[len(bare) :]]
        else:
            found.append(token)
    return found


def _next(line: str, position: int) -> Token:
    if space := _SPACE.match(line, position):
        return Token("text", space[0])
    if at := time_at(line, position):
        number, end = at
        return Token(f"time {number}", line[position:end], value=line[position:end])
    for kind, expression in (("quoted", _QUOTED), ("bracketed", _BRACKETED), ("angled", _IN_ANGLES)):
        if found := expression.match(line, position):
            return Token(kind, found[0], value=found[0][1:-1])
    if found := _IN_PARENTHESES.match(line, position):
        return Token("parenthesised", found[0], value=found[0][1:-1])
    if found := _KEY.match(line, position):
        value = _VALUE.match(line, found.end())
        text = value[0] if value else ""
        return Token("pair", found[0] + text, key=found[0][:-1], value=text)
    if (found := _PROGRAM.match(line, position)) and not _is_level(found[0][:-1]):
        return Token("program", found[0], value=found[0][:-1])
    if found := _RUN.match(line, position):
        return Token("run", found[0], value=found[0])
    return Token("text", line[position])


def _is_level(text: str) -> bool:
    return text.upper() in LEVELS


LEVELS = {
    *("TRACE", "DEBUG", "INFO", "INFORMATION", "NOTICE", "WARN", "WARNING", "ERR", "ERROR", "CRIT", "CRITICAL"),
    *("ALERT", "EMERG", "EMERGENCY", "FATAL", "SEVERE", "PANIC", "FINE", "FINER", "FINEST", "VERBOSE", "CONFIG"),
}


def _cells(line: str, separator: str) -> list[Token]:
    found: list[Token] = []
    for number, cell in enumerate(line.split(separator)):
        if number:
            found.append(Token("text", separator))
        found.append(Token("cell", cell, value=cell))
    return found


def separator_of(lines: list[str]) -> str:
    """Return what separates the cells of lines that are rows; empty when they are none."""
    if len(lines) < _LEAST_ROWS:
        return ""
    for separator in ("\t", "|", ";", ","):
        counts = sorted(line.count(separator) for line in lines)
        most = counts[len(counts) // 2]
        alike = sum(count == most for count in counts)
        prose = separator == "," and any('"' in line or ", " in line for line in lines)
        if most >= 2 and alike >= 0.9 * len(counts) and not prose:
            return separator
    return ""
