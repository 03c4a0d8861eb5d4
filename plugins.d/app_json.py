# /// script
# requires-python = ">=3.11"
# dependencies = ["msgspec"]
#
# [tool.hostd]
# name = "app_json"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "JSON lines of the loggers zap, slog, zerolog, logrus, pino and bunyan, and of MongoDB 4.4 and later."
# framing = "lines"
#
# [tool.hostd.accepts]
# head = """\
#   \\A(\\xef\\xbb\\xbf)?\\s*\\{("name":"[^"\\n]*","hostname":"[^"\\n]*","pid":\\d+,"level":\\d+,\
#   |"level":(\\d0|"[a-z]+"),"(time|ts)":\
#   |"level":"[a-z]+","msg":\
#   |"time":"[^"\\n]*","level":"(DEBUG|INFO|WARN|ERROR)([+-]\\d+)?",\
#   |"t":\\{"\\$date":"[^"\\n]*"\\}, *"s":"[FEWID]\\d?",)"""
# priority = -9
#
# [[tool.hostd.samples]]
# input = '''
# {"level":"warn","ts":1715940303.143,"caller":"a/b.go:7","msg":"slow","took_ms":5}
# {"level":30,"time":1715940303143,"pid":7,"hostname":"h","msg":"said"}
# {"name":"a","hostname":"h","pid":7,"level":50,"msg":"no","time":"2024-05-17T10:05:03.143Z","v":0}
# {"time":"2024-05-17T12:05:03.143+02:00","level":"INFO+2","msg":"said","user":{"id":1}}
# {"t":{"$date":"2024-05-17T10:05:03.143+00:00"},"s":"D2","c":"NETWORK","id":1,"ctx":"a","msg":"said","attr":{"a":1}}
# {"level":"info","time":"teatime","message":"when"}
# {"level":"in
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143000Z", "severity_text": "warn", "severity_number": 13, "body": "slow",
#    "caller": "a/b.go:7", "took_ms": 5}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "info", "severity_number": 9, "body": "said", "pid":
#    7, "hostname": "h"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "error", "severity_number": 17, "body": "no", "name":
#    "a", "hostname": "h", "pid": 7, "v": 0}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "INFO+2", "severity_number": 11, "body": "said",
#    "user": {"id": 1}}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "D2", "severity_number": 6, "body": "said",
#    "component": "NETWORK", "id": 1, "context": "a", "attr": {"a": 1}}''',
#   '''{"severity_text": "info", "severity_number": 9, "body": "when", "time": "teatime"}''',
# ]
# rejected = 1
# ///
"""JSON lines as loggers write them: what they say of time, level and message takes its normal form.

Keys: `timestamp` (of `time`, `ts` or `t`, as a text or counted in seconds or milliseconds; another one stays as it is),
`severity_text` and `severity_number` (of `level` or `s`; pino's and bunyan's numbers become their names), `body` (of
`msg` or `message`), MongoDB's `c` and `ctx` as `component` and `context`, and every other key of the object.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from contract import (
    Context,
    JsonValue,
    Processor,
    Record,
    Rows,
    decode_json,
    each_record,
    from_epoch,
    severity_number,
    timestamps,
)

_TIMES: Final = ("time", "ts", "t")
_LEVELS: Final = ("level", "s")
_BODIES: Final = ("msg", "message")
_NUMBERED: Final = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
_MONGODB: Final = {"F": 21, "E": 17, "W": 13, "I": 9, "D1": 5, "D2": 6, "D3": 7, "D4": 8, "D5": 8}
_ISO: Final = timestamps("%Y-%m-%dT%H:%M:%S%z")
_MILLISECONDS_FROM: Final = 100_000_000_000
"""Seconds that are this many would be in the year 5138."""

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def parse(line: str, _: Context) -> Record | None:
    line = line.strip("\ufeff \t\r")
    if not line:
        return None
    fields, end = decode_json(line)
    if end != len(line):
        raise ValueError(f"not one JSON value: column {end + 1} begins something else")
    if type(fields) is not dict:
        raise TypeError(f"a JSON {type(fields).__name__}, where an object is expected")
    return _record(fields)


def at_once(text: str, _: Context) -> Rows | list[Record] | None:
    """Take lines that are an object each, and nothing else."""
    try:
        objects = [_decode(line) for line in text.split("\n")]
    except msgspec.DecodeError:
        return None
    rows = _rows(objects)
    return rows if rows is not None else [_record(fields) for fields in objects]


def _rows(objects: list[dict[str, Any]]) -> Rows | None:
    """Take objects that have the same names in the same order, and values as are usual; None where any has not."""
    names = tuple(objects[0])
    if not names or [*map(tuple, objects)].count(names) < len(objects):
        return None
    columns = dict(zip(names, zip(*map(dict.values, objects), strict=True), strict=True))
    record: dict[str, Sequence[Any]] = {}
    if name := _first(_TIMES, columns):
        record["timestamp"] = [*map(_timestamp, columns.pop(name))]
    if name := _first(_LEVELS, columns):
        severities = [*map(_severity, columns.pop(name))]
        if None in severities:
            return None
        record["severity_text"], record["severity_number"] = zip(*filter(None, severities), strict=True)
    if name := _first(_BODIES, columns):
        record["body"] = columns.pop(name)
        if {*map(type, record["body"])} != {str}:
            return None
    if "ctx" in columns and "c" in columns:
        record["component"], record["context"] = columns.pop("c"), columns.pop("ctx")
    if not record.keys().isdisjoint(columns) or None in record.get("timestamp", ()):
        return None
    record |= columns
    return Rows(tuple(record), zip(*record.values(), strict=True))


def _first(names: tuple[str, ...], columns: dict[str, Any]) -> str:
    return next((name for name in names if name in columns), "")


def _record(fields: dict[str, Any]) -> Record:
    record: dict[str, JsonValue] = {}
    for name in _TIMES:
        if name in fields and (time := _timestamp(fields[name])) is not None:
            record["timestamp"] = time
            del fields[name]
            break
    for name in _LEVELS:
        if name in fields and (severity := _severity(fields[name])) is not None:
            record["severity_text"], record["severity_number"] = severity
            del fields[name]
            break
    for name in _BODIES:
        if name in fields and type(fields[name]) is str:
            record["body"] = fields.pop(name)
            break
    if "ctx" in fields and "c" in fields:
        record["component"], record["context"] = fields.pop("c"), fields.pop("ctx")
    if record.keys().isdisjoint(fields):
        record.update(fields)
        return record
    # What is in a normal form's place already gives way, under a name that says so.
    return record | {f"{name}_" if name in record else name: value for name, value in fields.items()}


def _timestamp(value: Any) -> str | None:
    if type(value) is dict:
        value = value.get("$date")
    kind = type(value)
    try:
        if kind is str:
            return _ISO[value]
        if kind is float:
            return from_epoch(value)
        if kind is int:
            return from_epoch(value, 1000 if abs(value) >= _MILLISECONDS_FROM else 1)
    except ValueError:
        pass  # a time in another form, which stays as it is
    return None


def _severity(value: Any) -> tuple[str, int] | None:
    kind = type(value)
    if kind is int:
        value = _NUMBERED.get(value)
    elif kind is not str:
        return None
    return _severity_of(value) if value is not None else None


@lru_cache(maxsize=256)
def _severity_of(value: str) -> tuple[str, int] | None:
    if value in _MONGODB:
        return value, _MONGODB[value]
    number = severity_number(value)
    if number is None and value[-2:-1] in {"+", "-"} and value[-1].isdecimal():
        number = severity_number(value[:-2])
        if number is not None:  # slog's INFO+2, on a scale whose steps are OpenTelemetry's
            number = min(24, max(1, number + int(value[-2:])))
    return None if number is None else (value, number)


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
