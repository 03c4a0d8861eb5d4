# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "redis"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The logs of Redis and Valkey."
# framing = { kind = "multiline", start = '(\d+:[A-Z] |\[\d+\] )' }
#
# [tool.hostd.accepts]
# lines = '^(\d+:[CMSX] \d\d [A-Z][a-z]{2} \d{4}|\[\d+\] \d\d [A-Z][a-z]{2}) \d\d:\d\d:\d\d\.\d{3} [.*#-] '
# priority = -20
#
# [[tool.hostd.samples]]
# name = "redis-server.log"
# input = '''
# 1234:C 17 May 2024 10:05:03.143 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
# 1234:M 17 May 2024 10:05:04.001 * Ready to accept connections
#   PONG
# [5] 17 May 10:05:04.001 - DB 0: 1 keys
# 1234:M nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "warning", "severity_number": 13, "pid": 1234,
#    "role": "child", "body": "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.001Z", "severity_text": "notice", "severity_number": 10, "pid": 1234,
#    "role": "master", "body": "Ready to accept connections\n  PONG"}''',
#   '''{"time": "17 May 10:05:04.001", "severity_text": "verbose", "severity_number": 8, "pid": 5, "body":
#    "DB 0: 1 keys"}''',
# ]
# rejected = 1
# ///
"""The logs of Redis (2.x to 8) and Valkey: `PID:ROLE TIME LEVEL message`.

Keys: `timestamp`, `severity_text` (debug, verbose, notice, warning), `severity_number`, `pid`, `role` (master,
replica, child, sentinel), `body`. The times name no zone: the option `time_zone` says which. Redis 2 writes no
year: without the option `year` such a time stays as it is written, as `time`.
"""

import re

from contract import Context, JsonValue, Processor, Record, Rows, each_record, timestamps
from contract.options import LocalYear

_LINE = re.compile(
    r"(?:\[(?P<old_pid>\d+)\]|(?P<pid>\d+):(?P<role>[A-Z])) "
    r"(?P<time>\d\d \w{3} (?:(?P<year>\d{4}) )?\d\d:\d\d:\d\d\.\d{3})"
    r" (?P<level>[.*#-]) (?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_LINES = re.compile(
    r"^(\d++):([A-Z]) (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) ([.*#-]) (.*+)$", re.ASCII | re.MULTILINE
)
_NAMES = ("timestamp", "severity_text", "severity_number", "pid", "role", "body")
_LEVELS = {".": ("debug", 5), "-": ("verbose", 8), "*": ("notice", 10), "#": ("warning", 13)}
_ROLES = {"M": "master", "S": "replica", "C": "child", "X": "sentinel"}


class Options(LocalYear):
    """The operator's `[plugins.options.redis]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError("not PID:ROLE TIME LEVEL message")
    time, zone, year = found["time"], ctx.options.time_zone, ctx.options.year
    record: dict[str, JsonValue]
    if found["year"]:
        record = {"timestamp": timestamps("%d %b %Y %H:%M:%S", zone)[time]}
    elif year is not None:
        record = {"timestamp": timestamps("%d %b %H:%M:%S", zone, year)[time]}
    else:
        record = {"time": time}
    record["severity_text"], record["severity_number"] = _LEVELS[found["level"]]
    record["pid"] = int(found["pid"] or found["old_pid"])
    if found["role"]:
        record["role"] = _ROLES.get(found["role"], found["role"])
    return {**record, "body": found["body"]}


def at_once(text: str, ctx: Context) -> Rows | None:
    found = _LINES.findall(text) if _LINES.match(text) else []
    if len(found) != text.count("\n") + 1:
        return None
    times = timestamps("%d %b %Y %H:%M:%S", ctx.options.time_zone)
    rows = [
        (times[time], *_LEVELS[level], int(pid), _ROLES.get(role, role), body) for pid, role, time, level, body in found
    ]
    return Rows(_NAMES, rows)


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
