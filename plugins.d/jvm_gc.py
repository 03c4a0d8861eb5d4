# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "jvm_gc"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Garbage collection logs of the JVM: unified logging (Java 9 and later) and the notation before it."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = """\
#   (\\[[^\\]\\n]{1,64}\\]\
#   |(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d[.,]\\d{3}[+-]\\d{4}: )?(#?\\d+[.,]?\\d*: )\
#   |\\{?Heap (before|after) GC|(Java HotSpot|OpenJDK)|Memory: |CommandLine flags: )"""
#
# [tool.hostd.accepts]
# head = """\
#   ^((\\[[^\\]\\n]{1,64}\\])*\\[(error|warning|info|debug|trace) *\\]\\[(gc|safepoint)[^\\]\\n]*\\] \
#   |(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d[.,]\\d{3}[+-]\\d{4}: )?(#?\\d+[.,]?\\d*: ){1,2}\
#   (\\[(Full )?GC[ (-]|\\[CMS-|Total time for which application threads were stopped))"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "gc.log"
# input = '''
# [0.015s][info][gc] Using G1
# [2024-05-17T12:05:03.143+0200][7][1.143s][warning][gc,start    ] GC(3) Pause Young (Normal) (G1 Evacuation Pause)
# [1.250s][info   ][gc          ] GC(3) Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(256M) 3.123ms
# [1.260s]nonsense
# '''
# records = [
#   '''{"uptime_s": 0.015, "severity_text": "info", "severity_number": 9, "tags": ["gc"], "body": "Using G1"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "uptime_s": 1.143, "severity_text": "warning", "severity_number": 13,
#    "tags": ["gc", "start"], "decorations": ["7"], "gc_id": 3, "event": "Pause Young", "cause": "G1 Evacuation Pause",
#    "body": "Pause Young (Normal) (G1 Evacuation Pause)"}''',
#   '''{"uptime_s": 1.25, "severity_text": "info", "severity_number": 9, "tags": ["gc"], "gc_id": 3, "event":
#    "Pause Young", "cause": "G1 Evacuation Pause", "heap_before_bytes": 25165824, "heap_after_bytes": 4194304,
#    "heap_total_bytes": 268435456, "duration_s": 0.003123, "body":
#    "Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(256M) 3.123ms"}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "gc.log"
# input = '''
# OpenJDK 64-Bit Server VM (25.402-b06) for linux-amd64 JRE (1.8.0_402-b06)
# 2024-05-17T12:05:03.143+0200: 0.143: [GC (Allocation Failure) [PSYoungGen: 64K->10K(74K)] 64K->11K(245K), 0.0123 secs]
# 1.5: Total time for which application threads were stopped: 0.0002510 seconds, Stopping threads: 0.1 s
# '''
# records = [
#   '''{"body": "OpenJDK 64-Bit Server VM (25.402-b06) for linux-amd64 JRE (1.8.0_402-b06)"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "uptime_s": 0.143, "event": "GC", "cause": "Allocation Failure",
#    "heap_before_bytes": 65536, "heap_after_bytes": 11264, "heap_total_bytes": 250880, "duration_s": 0.0123, "body":
#    "[GC (Allocation Failure) [PSYoungGen: 64K->10K(74K)] 64K->11K(245K), 0.0123 secs]"}''',
#   '''{"uptime_s": 1.5, "event": "stopped", "duration_s": 0.000251, "body":
#    "Total time for which application threads were stopped: 0.0002510 seconds, Stopping threads: 0.1 s"}''',
# ]
# ///
"""Garbage collection logs of the JVM: unified logging (`-Xlog:gc*`), and what `-XX:+PrintGCDetails` wrote before it.

Keys: `body`, and where they are said `timestamp`, `uptime_s` (since the JVM began), `severity_text`,
`severity_number`, `tags`, `decorations` (the others, as they are), `gc_id`, `event` (such as `Pause Young`, `Full GC`,
`stopped`), `cause`, `heap_before_bytes`, `heap_after_bytes`, `heap_total_bytes` of the whole heap, `duration_s`. A time
without a zone is of the option `time_zone`. Lines that follow a message belong to it.
"""

import re
from typing import Final

from contract import Context, JsonValue, Processor, Record, each_record, severity_number, timestamps
from contract.options import LocalTime

_DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d{3}(?:[+-]\d{4}|Z)?"
_OLD = re.compile(
    rf"(?:(?P<time>{_DATE}): )?(?:#(?P<gc_id>\d{{1,18}}): )?(?:(?P<uptime>\d{{1,15}}[.,]\d{{1,9}}): )?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_DECORATIONS = re.compile(r"((?:\[[^\]\n]*\])+)(?: (.*))?", re.ASCII | re.DOTALL)
_DECORATION = re.compile(r"\[([^\]\n]*)\]")
_UPTIME = re.compile(r"(\d{1,15}[.,]\d{3})s|(\d{1,18})(ms|ns)", re.ASCII)
_TIME = re.compile(_DATE, re.ASCII)
_LEVELS: Final = {"error", "warning", "info", "debug", "trace"}
_TAGS = re.compile(r"[a-z][a-z0-9]*(?:,[a-z0-9]+)*", re.ASCII)
_GC_ID = re.compile(r"GC\((\d{1,18})\) ", re.ASCII)

_EVENT = re.compile(
    r"\[?((?:Full )?GC(?: pause| remark| cleanup|-\w+|--)?|CMS-[a-z-]+|(?:Pause|Concurrent) \w+(?: [A-Za-z]\w*)*"
    r"|(?:Major |Minor )?(?:Garbage )?Collection)(?![\w-])",
    re.ASCII,
)
_CAUSE = re.compile(r"\(([^()\d][^()]*)\)")
_SIZE = r"(\d{1,15}(?:[.,]\d)?)([BKMGT])(?:\(\d+%\))?"
_HEAP = re.compile(rf"(?<!: )(?<![\d.,]){_SIZE}->{_SIZE}(?:\({_SIZE}\))?", re.ASCII)
_G1_HEAP = re.compile(rf"Heap: {_SIZE}\({_SIZE}\)->{_SIZE}\({_SIZE}\)", re.ASCII)
_DURATION = re.compile(r"(?:, | )(\d{1,9}[.,]\d{1,9})(?: secs\]|(ms|s)\Z)", re.ASCII)
_STOPPED = re.compile(r"Total time for which application threads were stopped: (\d{1,9}[.,]\d{1,9}) ", re.ASCII)
_UNITS: Final = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST_CHARACTERS: Final = 1 << 16


class Options(LocalTime):
    """The operator's `[plugins.options.jvm_gc]`."""


def parse(text: str, ctx: Context) -> Record:
    if text[0] == "[":
        return _unified(text, ctx.options.time_zone)
    found = _OLD.fullmatch(text)
    assert found is not None  # all of it may be missing but the body
    record: dict[str, JsonValue] = {}
    if found["time"]:
        record["timestamp"] = _timestamp(found["time"], ctx.options.time_zone)
    if found["uptime"]:
        record["uptime_s"] = _number(found["uptime"])
    if found["gc_id"]:
        record["gc_id"] = int(found["gc_id"])
    return {**record, **(_facts(found["body"]) if record else {}), "body": found["body"]}


def _unified(text: str, zone: str | None) -> Record:
    found = _DECORATIONS.fullmatch(text)
    if found is None:
        raise ValueError("no decorations in brackets before a message")
    record: dict[str, JsonValue] = {}
    others: list[JsonValue] = []
    for decoration in map(str.strip, _DECORATION.findall(found[1])):
        if _TIME.fullmatch(decoration) and "timestamp" not in record:
            record["timestamp"] = _timestamp(decoration, zone)
        elif (uptime := _UPTIME.fullmatch(decoration)) and "uptime_s" not in record:
            seconds, count, unit = uptime.groups()
            record["uptime_s"] = _number(seconds) if seconds else int(count) / (1000 if unit == "ms" else 10**9)
        elif decoration in _LEVELS:
            record |= {"severity_text": decoration, "severity_number": severity_number(decoration)}
        elif "severity_text" in record and "tags" not in record and _TAGS.fullmatch(decoration):
            record["tags"] = [*decoration.split(",")]
        else:
            others.append(decoration)
    if others:
        record["decorations"] = others
    body = found[2] or ""
    if collection := _GC_ID.match(body):
        record["gc_id"] = int(collection[1])
        body = body[collection.end() :]
    return {**record, **_facts(body), "body": body}


def _facts(body: str) -> dict[str, JsonValue]:
    """Return what a message says of one collection."""
    body = body[:_MOST_CHARACTERS]  # what follows the first lines is a table of the heap
    if stopped := _STOPPED.match(body):
        return {"event": "stopped", "duration_s": _number(stopped[1])}
    event = _EVENT.match(body)
    if event is None:
        return {}
    facts: dict[str, JsonValue] = {"event": event[1]}
    line = body.partition("\n")[0]
    causes = _CAUSE.findall(line)
    if causes:
        facts["cause"] = causes[-1 if body[0] != "[" else 0]
    if heap := _G1_HEAP.search(body):
        before, before_unit, _, _, after, after_unit, total, total_unit = heap.groups()
        facts |= _heap(before, before_unit, after, after_unit, total, total_unit)
    elif heap := _HEAP.search(line):
        facts |= _heap(*heap.groups())
    if durations := _DURATION.findall(line):
        facts["duration_s"] = _duration(*durations[-1])
    return facts


def _heap(
    before: str, before_unit: str, after: str, after_unit: str, total: str | None, total_unit: str | None
) -> dict[str, JsonValue]:
    heap: dict[str, JsonValue] = {
        "heap_before_bytes": _bytes(before, before_unit),
        "heap_after_bytes": _bytes(after, after_unit),
    }
    return heap | ({"heap_total_bytes": _bytes(total, total_unit)} if total and total_unit else {})


def _bytes(number: str, unit: str) -> int:
    return int(_number(number) * _UNITS[unit])


def _duration(number: str, unit: str) -> float:
    return round(_number(number) / 1000, 9) if unit == "ms" else _number(number)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _timestamp(text: str, zone: str | None) -> str:
    return timestamps("%Y-%m-%dT%H:%M:%S%z", zone)[text]


def new_processor() -> Processor:
    return each_record(parse)
