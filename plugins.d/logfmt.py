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

from contract import JsonValue, Processor, Record, each_line, from_epoch, severity_number, timestamps

_PAIR = re.compile(r'\s*([^\s="]+)(?:=(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s"]\S*+)?))?(?=\s|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


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
        if key in {"time", "ts", "t", "at", "timestamp"} and "timestamp" not in record:
            try:
                record["timestamp"] = _utc(str(value))
            except ValueError:  # a time of another form: it stays what it is
                record[key] = value
        elif key in {"level", "lvl", "severity"} and "severity_text" not in record:
            record["severity_text"] = value
            record["severity_number"] = severity_number(str(value))
        elif key in {"msg", "message"} and "body" not in record:
            record["body"] = value
        else:
            record[key] = value
    return record


def _utc(text: str) -> str:
    return timestamps("%Y-%m-%dT%H:%M:%S%z")[text] if "T" in text else from_epoch(text)


def new_processor() -> Processor:
    return each_line(parse)
