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
# head = '^([A-Za-z_][\w.-]*=("([^"\\\n]|\\.)*"|[^\s"]*)[ \t]+){2}[A-Za-z_][\w.-]*='
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
from functools import lru_cache
from typing import NamedTuple

from contract import JsonValue, Processor, Record, each_line, from_epoch, severity_number, timestamps

_PAIR = re.compile(r'\s*([^\s="]+)(?:=(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s"]\S*+)?))?(?=\s|$)')
_ROWS = re.compile(r'([^\s="]++)=("[^"]*+"|[^\s"]*+)(?: |$)')
_TIMES = frozenset(("time", "ts", "t", "at", "timestamp"))
_LEVELS = frozenset(("level", "lvl", "severity"))
_BODIES = frozenset(("msg", "message"))
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def parse(line: str) -> Record | None:
    if (record := _ordinary(line)) is not None:
        return record
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


class _Plan(NamedTuple):
    """What lines with certain keys, in this order, are: how long all but their values is, and the record's keys."""

    length: int
    names: tuple[str, ...]
    has_time: bool
    has_level: bool


@lru_cache(maxsize=1024)
def _plan(keys: tuple[str, ...]) -> _Plan | None:
    """Return the plan for a line's keys, None when two of them would have the same place."""
    places = {
        **dict.fromkeys(_TIMES, "timestamp"),
        **dict.fromkeys(_LEVELS, "severity_text"),
        **dict.fromkeys(_BODIES, "body"),
    }
    names = tuple(places.get(key, key) for key in keys)
    if len(set(names)) != len(names) or "severity_number" in names:
        return None
    return _Plan(sum(map(len, keys)) + 2 * len(keys) - 1, names, "timestamp" in names, "severity_text" in names)


def _ordinary(line: str) -> dict[str, JsonValue] | None:
    """Return the record of a line of `key=value` with single spaces between, without an escape; None for another."""
    rows = _ROWS.findall(line)
    if not rows or "\\" in line:
        return None
    keys, values = zip(*rows, strict=True)
    plan = _plan(keys)
    # Each match ends at a space or the line's end, and no character is left over.
    if plan is None or plan.length + sum(map(len, values)) != len(line):
        return None
    record: dict[str, JsonValue] = dict(
        zip(plan.names, [value[1:-1] if '"' in value else value for value in values], strict=True)
    )
    if plan.has_time:
        try:
            record["timestamp"] = _utc(str(record["timestamp"]))
        except ValueError:
            return None
    if plan.has_level:
        record["severity_number"] = severity_number(str(record["severity_text"]))
    return record


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
    return each_line(parse)
