# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "logfmt"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "logfmt: lines of key=value pairs, as Go programs and Heroku write them."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = '^([A-Za-z_][\w.-]*=("([^"\\\n]|\\.)*"|[^\s"]*)[ \t]+){2}[A-Za-z_][\w.-]*='
# priority = -35
#
# [[tool.hostd.samples]]
# input = '''
# time="2024-05-17T12:05:03.25+02:00" level=warning msg="lamp \"tall\"\nsold" took=12ms cached
# ts=1715940304.5 lvl=info method=GET path=/ tag=a tag=b
# at=info msg="never closed
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.25Z", "severity_text": "warning", "severity_number": 13,
#    "body": "lamp \"tall\"\nsold", "took": "12ms", "cached": true}''',
#   '''{"timestamp": "2024-05-17T10:05:04.5Z", "severity_text": "info", "severity_number": 9, "method": "GET",
#    "path": "/", "tag": ["a", "b"]}''',
# ]
# rejected = 1
# ///
"""logfmt (brandur.org/logfmt): lines of key=value pairs.

Keys: those of the line, and in place of `time`, `ts`, `t` or `at`, `level`, `lvl` or `severity`, `msg` or `message`:
`timestamp`, `severity_text` with `severity_number`, `body`. A time of another form than RFC 3339 or seconds since
1970 keeps its key. Values are strings; a key without `=` is true; one that occurs again makes a list. Anything else
rejects its line.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from contract import JsonValue, Processor, Record, each_line, from_epoch, severity_number, timestamps

_PAIR = re.compile(r'\s*([^\s="]+)(?:=(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s"]\S*+)?))?(?=\s|$)')
_ROWS = re.compile(r'(?<![^ ])([^\s="]++)=("[^"]*+"|[^\s"]*+)(?: |$)')
_TIMES = frozenset(("time", "ts", "t", "at", "timestamp"))
_LEVELS = frozenset(("level", "lvl", "severity"))
_BODIES = frozenset(("msg", "message"))
_PLACES = {
    **dict.fromkeys(_TIMES, "timestamp"),
    **dict.fromkeys(_LEVELS, "severity_text"),
    **dict.fromkeys(_BODIES, "body"),
}
_OFTEN, _MOST_SEEN, _MOST_SHAPES, _MOST_KEYS = 8, 256, 4, 64
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class _Shape(NamedTuple):
    """What lines with certain keys, in this order, look like, and the keys of their records."""

    match: Callable[[str], re.Match[str] | None]
    names: tuple[str, ...]
    has_time: bool
    has_level: bool


class LogfmtProcessor:
    """Knows the shapes of the lines seen lately, for which one expression does; another line is parsed pair by pair."""

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._seen: dict[tuple[tuple[str, bool], ...], int] = {}

    def parse_line(self, line: str) -> Record | None:
        for position, shape in enumerate(self._shapes):
            if (found := shape.match(line)) is None:
                continue
            if position:
                self._shapes.insert(0, self._shapes.pop(position))
            record: dict[str, JsonValue] = dict(zip(shape.names, found.groups(), strict=True))
            try:
                if shape.has_time:
                    record["timestamp"] = _utc(str(record["timestamp"]))
            except ValueError:  # a time of another form, which keeps its key
                return parse(line)
            if shape.has_level:
                record["severity_number"] = severity_number(str(record["severity_text"]))
            return record
        parsed = parse(line)
        self._learn(line)
        return parsed

    def _learn(self, line: str) -> None:
        """Make an expression for lines like this one when they come often: it takes as long as many lines do."""
        rows = _ROWS.findall(line)
        keys = tuple((key, value[:1] == '"') for key, value in rows)
        if len(keys) > _MOST_KEYS:
            return
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[keys] = self._seen.get(keys, 0) + 1
        if self._seen[keys] == _OFTEN and (shape := _shape(keys)) is not None:
            self._shapes = [shape, *self._shapes[: _MOST_SHAPES - 1]]
            del self._seen[keys]


def _shape(keys: tuple[tuple[str, bool], ...]) -> _Shape | None:
    """Return the shape of lines with these keys, quoted or not; None when two of them would have the same place."""
    names = tuple(_PLACES.get(key, key) for key, _ in keys)
    if len(set(names)) != len(names) or "severity_number" in names:
        return None
    pairs = (re.escape(key) + (r'="([^"\\]*+)"' if quoted else r'=([^\s"\\]*+)') for key, quoted in keys)
    return _Shape(re.compile(" ".join(pairs)).fullmatch, names, "timestamp" in names, "severity_text" in names)


def parse(line: str) -> Record | None:
    fields: dict[str, JsonValue] = {}
    line = line.rstrip()
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        if pair is None:
            raise ValueError(f"no key=value pair at column {position + 1}: {line[position : position + 40]!r}")
        position = pair.end()
        key, quoted, bare = pair.groups()
        if quoted is not None:
            value: JsonValue = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted)
        else:
            value = bare or ("" if pair[0].endswith("=") else True)
        _add(fields, key, value)
    return _normal(fields) if fields else None


def _add(fields: dict[str, JsonValue], key: str, value: JsonValue) -> None:
    known = fields.get(key)
    if key not in fields:
        fields[key] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[key] = [known, value]


def _normal(fields: dict[str, JsonValue]) -> Record:
    record: dict[str, JsonValue] = {}
    for key, value in fields.items():
        if key in _TIMES and "timestamp" not in record:
            try:
                record["timestamp"] = _utc(str(value))
            except ValueError:  # a time of another form: it stays what it is
                record[key] = value
        elif key in _LEVELS and "severity_text" not in record:
            record["severity_text"] = value
            record["severity_number"] = severity_number(str(value))
        elif key in _BODIES and "body" not in record:
            record["body"] = value
        else:
            record[key] = value
    return record


def _utc(text: str) -> str:
    return timestamps("%Y-%m-%dT%H:%M:%S%z")[text] if "T" in text else from_epoch(text)


def new_processor() -> Processor:
    return each_line(LogfmtProcessor().parse_line)
