"""Lines that begin alike to one expression: column by column, for as long as they go on alike."""

import re
from collections import Counter
from dataclasses import dataclass, field

from hostd.propose.times import NOTATIONS, time_at
from hostd.propose.tokens import LEVELS, Token, tokens

STRICT, LOOSE = 0.92, 0.55
"""What share of the lines must go on alike, place by place, so that the others are left to another expression."""
_MOST_WORDS = 3
"""More words than these, one after another, are a sentence."""
_MOST_COLUMNS = 100
_END = "end"
_REQUEST = re.compile(r"[A-Z]{3,12} \S+(?: HTTP/\d(?:\.\d)?)?", re.ASCII)

_INT = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"[+-]?\d{1,15}\.\d{1,15}", re.ASCII)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)


@dataclass(slots=True)
class Proposal:
    """An expression, and what is said of its fields."""

    grok: str = ""
    head: str = ""
    begins: str = ""
    telling: int = 0
    fields: dict[str, str | dict[str, str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    _wanted: Counter[str] = field(default_factory=Counter)

    def name(self, wanted: str) -> str:
        """Return a name that no other field has."""
        wanted = re.sub(r"[^\w.@-]", "_", wanted, flags=re.ASCII) or "value"
        wanted = wanted if not wanted[0].isdigit() and wanted[0] not in ".-" else f"_{wanted}"
        self._wanted[wanted] += 1
        self.names.append(wanted if self._wanted[wanted] == 1 else f"{wanted}_{self._wanted[wanted]}")
        return self.names[-1]


def propose(lines: list[str], separator: str, enough: float, *, goes_on: bool) -> Proposal:
    """Return an expression for the largest part of `lines` that begins alike; `goes_on`: records have more lines."""
    rows = [tokens(line, separator) for line in lines]
    columns, is_whole = _columns(rows, enough)
    columns, is_whole = _without_sentence(columns, is_whole) if not separator else (columns, is_whole)
    found = Proposal(begins=Counter(_kind(row, 0) for row in rows).most_common(1)[0][0])
    for number, column in enumerate(columns):
        following = columns[number + 1][0] if number + 1 < len(columns) else None
        found.grok += _expression(column, following, found, columns[:number], separator)
    if not is_whole:
        found.grok += "%{GREEDYDATA:" + found.name("message") + "}"
    elif goes_on:
        found.grok += r"(?:\n%{GREEDYDATA:" + found.name("details") + "})?"
    found.head = _head(columns, separator)
    found.telling = sum(map(_tells, columns)) if found.names else 0
    return found


def begins_like(line: str, proposed: Proposal, separator: str) -> bool:
    """Tell whether a line is of the part that the proposal was made of."""
    return _kind(tokens(line, separator), 0) == proposed.begins


def _columns(rows: list[list[Token]], enough: float) -> tuple[list[list[Token]], bool]:
    """Return the tokens of each place that most rows have in common, and whether the rows end with the last."""
    columns: list[list[Token]] = []
    begins = Counter(_kind(row, 0) for row in rows).most_common(1)[0][0]
    left = first = [row for row in rows if _kind(row, 0) == begins]
    while True:
        place = len(columns)
        kind, count = Counter(_kind(row, place) for row in left).most_common(1)[0]
        if count < enough * len(left) or count < (2 * enough - 1) * len(first):
            return _shortened(columns), False
        left = [row for row in left if _kind(row, place) == kind]
        if kind == _END:
            return columns, True
        if place == _MOST_COLUMNS:
            return _shortened(columns), False
        columns.append([row[place] for row in left])


def _kind(row: list[Token], place: int) -> str:
    if place >= len(row):
        return _END
    token = row[place]
    if token.kind == "text":
        return "space" if token.text.isspace() and "\t" not in token.text else f"text {token.text}"
    return f"pair {token.key}" if token.kind == "pair" else token.kind


def _shortened(columns: list[list[Token]]) -> list[list[Token]]:
    """Take off what opens something that the lines then do not share, and values of which nobody tells the end."""
    while columns:
        token = columns[-1][0]
        opens = token.kind == "text" and not token.text.isspace() and token.text not in ":-|,;"
        if not opens and token.kind not in {"run", "pair"}:
            break
        columns = columns[:-1]
    return columns


def _without_sentence(columns: list[list[Token]], is_whole: bool) -> tuple[list[list[Token]], bool]:  # noqa: FBT001
    """Cut where plain words begin to follow one another: that is what somebody said."""
    begin = words = 0
    for number, column in enumerate(columns):
        if column[0].kind == "text" and column[0].text.isspace():
            continue
        if column[0].kind in {"run", "program"} and _type([token.value for token in column]) == "word":
            begin = begin if words else number
            words += 1
            if words > _MOST_WORDS:
                return columns[:begin], False
        else:
            words = 0
    return columns, is_whole


def _tells(column: list[Token]) -> bool:
    """Tell whether a place is more than a word and a space, which any line has."""
    if column[0].kind == "text":
        return not column[0].text.isspace()
    return column[0].kind != "run" or _type([token.value for token in column]) != "word"


def _type(values: list[str]) -> str:
    """Return what all of these values are."""
    if all(_INT.fullmatch(value) for value in values):
        return "int"
    if all(_FLOAT.fullmatch(value) or _INT.fullmatch(value) for value in values):
        return "float"
    if all(_IP.fullmatch(value) for value in values):
        return "ip"
    return "level" if all(value.upper() in LEVELS for value in values) else "word"


def _expression(
    column: list[Token], following: Token | None, found: Proposal, before: list[list[Token]], separator: str
) -> str:
    token = column[0]
    values = [each.value for each in column]
    if token.kind == "text":
        return _between([each.text for each in column])
    if token.kind.startswith("time "):
        return _time(token.kind, found)
    if token.kind == "program":
        return _program(found)
    if token.kind == "pair":
        return re.escape(f"{token.key}=") + _pair(token.key, values, found)
    around = {"bracketed": (r"\[", r"\]"), "parenthesised": (r"\(", r"\)"), "angled": ("<", ">")}
    if token.kind in around:
        opens, closes = around[token.kind]
        return opens + _value(values, rf"[^{closes}]*", "text", found) + closes
    if token.kind == "quoted" and all(_REQUEST.fullmatch(value) for value in values):
        method, path, protocol = found.name("method"), found.name("path"), found.name("protocol")
        return rf'"(?<{method}>[A-Z]+) (?<{path}>[^\s"]+)(?: (?<{protocol}>HTTP/[\d.]+))?"'
    if token.kind == "quoted":
        return '"' + _value(values, r'[^"\\]*(?:\\.[^"\\]*)*', "quoted", found, is_plain=True) + '"'
    if token.kind == "cell":
        return _value(values, f"[^{_in_class(separator)}]*", f"column_{len(before) // 2 + 1}", found)
    stop = "" if following is None or following.text[0].isspace() else _in_class(following.text[0])
    is_host = len(before) == 2 and before[0][0].kind.startswith("time ") and following is not None
    return _value(values, rf"[^\s{stop}]+" if stop else r"\S+", "host" if is_host else "word", found)


def _between(texts: list[str]) -> str:
    if texts[0].isspace() and len(set(texts)) > 1:
        return r"\s+"
    return re.sub(r"\\ ", " ", re.escape(texts[0])).replace("\\\t", r"\t")


def _time(kind: str, found: Proposal) -> str:
    notation = NOTATIONS[int(kind.removeprefix("time "))]
    name = found.name(notation.field)
    if notation.format is not None and name == "timestamp":
        found.fields[name] = {"type": "timestamp", "format": notation.format}
    return f"(?<{name}>{notation.expression})"


def _program(found: Proposal) -> str:
    name, pid = found.name("program"), found.name("pid")
    found.fields[pid] = "int"
    return rf"(?<{name}>[\w./@-]+)(?:\[%{{INT:{pid}}}\])?:"


def _pair(key: str, values: list[str], found: Proposal) -> str:
    if all(value.startswith('"') and len(value) > 1 for value in values):
        return (
            '"' + _value([value[1:-1] for value in values], r'[^"\\]*(?:\\.[^"\\]*)*', key, found, is_plain=True) + '"'
        )
    if any(value.startswith('"') for value in values):
        return rf'(?<{found.name(key)}>"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,;"]*)'
    return _value(values, r'[^\s,;"]*', key, found)


def _value(values: list[str], otherwise: str, wanted: str, found: Proposal, *, is_plain: bool = False) -> str:
    """Return a group for values of one type, else for `otherwise`. A `-` among them stands for no value."""
    if (inside := _time_of(values)) is not None:
        return _time(f"time {inside}", found)
    if "-" in values and set(values) != {"-"}:
        filled = [value for value in values if value != "-"]
        if _type(filled) in {"int", "float", "ip"}:
            return f"(?:{_value(filled, otherwise, wanted, found, is_plain=is_plain)}|-)"
    kind = "word" if is_plain else _type(values)
    generic = wanted in {"word", "text", "host"}
    if kind in {"int", "float"}:
        name = found.name("number" if generic else wanted)
        found.fields[name] = kind
        return f"%{{{'INT' if kind == 'int' else 'NUMBER'}:{name}}}"
    if kind == "level" and "severity" not in found.fields.values():
        name = found.name("level")
        found.fields[name] = "severity"
        return f"%{{WORD:{name}}}"
    if kind == "ip":
        return f"%{{IP:{found.name('ip' if generic else wanted)}}}"
    return f"(?<{found.name(wanted)}>{otherwise})"


def _time_of(values: list[str]) -> int | None:
    """Return the notation that all the values are times in, None when there is none."""
    found = time_at(values[0], 0)
    if found is None or found[1] != len(values[0]):
        return None
    expression = NOTATIONS[found[0]].compiled
    return found[0] if all(expression.fullmatch(value) for value in values) else None


def _in_class(character: str) -> str:
    return {"\t": r"\t"}.get(character, f"\\{character}" if character in r"\]^-[" else character)


def _head(columns: list[list[Token]], separator: str) -> str:
    """Return an expression for how a file of these lines begins a line: up to its first time, or a few tokens."""
    expression = ""
    for column in columns[:4]:
        token = column[0]
        if token.kind == "text":
            expression += _between([each.text for each in column])
        elif token.kind.startswith("time "):
            return expression + NOTATIONS[int(token.kind.removeprefix("time "))].expression
        elif token.kind in {"bracketed", "quoted"}:
            expression += r"\[[^\]\n]*\]" if token.kind == "bracketed" else r'"[^"\n]*"'
        elif token.kind == "cell":
            expression += rf"[^{_in_class(separator)}\n]*"
        elif token.kind == "pair":
            expression += re.escape(f"{token.key}=")
            return expression
        else:
            expression += {"int": r"[+-]?\d+", "ip": r"\d+(?:\.\d+){3}"}.get(_type([t.value for t in column]), r"\S+")
    return expression
