# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "logcat"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Android's logcat, in the formats threadtime and time, with or without year, zone and user."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   ^(\\d{4}-)?\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3,6}( [+-]\\d{4})?\
#   (( +[\\w.]+)?( +\\d+){2} [VDIWEFS] | [VDIWEFS]/[^(\\n]*\\( *\\d+)"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "logcat.txt"
# input = '''
# --------- beginning of main
# 05-17 10:05:03.123  1234  1235 D ActivityManager: started: yes
# 2024-05-17 12:05:04.171997 +0200  1000  1885  3066 E App  : no
# 05-17 10:05:04.156 I/sometag(  190): said
# 05-17 nothing
# '''
# records = [
#   '''{"time": "05-17 10:05:03.123", "severity_text": "D", "severity_number": 5, "pid": 1234, "tid": 1235,
#    "tag": "ActivityManager", "body": "started: yes"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.171997Z", "severity_text": "E", "severity_number": 17, "pid": 1885,
#    "tid": 3066, "user": "1000", "tag": "App", "body": "no"}''',
#   '''{"time": "05-17 10:05:04.156", "severity_text": "I", "severity_number": 9, "pid": 190, "tag": "sometag",
#    "body": "said"}''',
# ]
# rejected = 1
# ///
"""Android's logcat: what `logcat -v threadtime` (the default) and `-v time` print.

Keys: `timestamp`, `severity_text` (the letter), `severity_number`, `user`, `pid`, `tid`, `tag`, `body`. Without the
option `year` a time without a year stays as it is written, as `time`. The lines `--------- beginning of` are no
records.
"""

import re

from contract import Context, JsonValue, Processor, Record, Rows, each_record, severity_number, timestamps
from contract.options import LocalYear

_TIME = r"(?P<time>(?P<year>\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}(?: [+-]\d{4})?)"
_THREADTIME = re.compile(
    rf"{_TIME} +(?:(?P<user>\w+) +)?(?P<pid>\d+) +(?P<tid>\d+) (?P<level>[VDIWEFS]) (?P<tag>.*?) *: ?(?P<body>.*)",
    re.ASCII,
)
_TIME_FORMAT = re.compile(
    rf"{_TIME} (?P<level>[VDIWEFS])/(?P<tag>.*?) *\( *(?P<pid>\d+)(?:: *(?P<tid>\d+))?\): ?(?P<body>.*)", re.ASCII
)
# A tag without spaces: what would end it earlier is none of it.
_LINES = re.compile(
    r"^((?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}) ++(\d++) ++(\d++) ([VDIWEFS]) ([^\s:]++) *+: ?+(.*+)$",
    re.ASCII | re.MULTILINE,
)
_NUMBERS = {level: severity_number(level) for level in "VDIWEFS"}


class Options(LocalYear):
    """The operator's `[plugins.options.logcat]`."""


def parse(line: str, ctx: Context) -> Record | None:
    if line.startswith("--------- "):
        return None
    found = _THREADTIME.fullmatch(line) or _TIME_FORMAT.fullmatch(line)
    if found is None:
        raise ValueError("neither of logcat's format threadtime nor of its format time")
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value is not None}
    time, level = str(fields.pop("time")), found["level"]
    zone, year = ctx.options.time_zone, ctx.options.year
    record: dict[str, JsonValue] = {"time": time}
    if fields.pop("year", None):
        record = {"timestamp": timestamps("%Y-%m-%d %H:%M:%S %z", zone)[time]}
    elif year is not None:
        record = {"timestamp": timestamps("%m-%d %H:%M:%S %z", zone, year)[time]}
    record |= {"severity_text": fields.pop("level"), "severity_number": severity_number(level)}
    return {**record, **{name: int(str(fields[name])) for name in ("pid", "tid") if name in fields}, **_rest(fields)}


def _rest(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in fields.items() if name not in {"pid", "tid"}}


def at_once(text: str, ctx: Context) -> Rows | None:
    """Take lines that are all of the format threadtime, of one form of time."""
    found = _LINES.findall(text) if _LINES.match(text) else []
    if len(found) != text.count("\n") + 1:
        return None
    name, times, year = "timestamp", None, ctx.options.year
    lengths = {row[0].index(" ") for row in found}
    if lengths == {len("2024-05-17")}:
        times = timestamps("%Y-%m-%d %H:%M:%S %z", ctx.options.time_zone)
    elif lengths != {len("05-17")}:
        return None
    elif year is not None:
        times = timestamps("%m-%d %H:%M:%S %z", ctx.options.time_zone, year)
    else:
        name = "time"
    rows = [
        (time if times is None else times[time], level, _NUMBERS[level], int(pid), int(tid), tag, body)
        for time, pid, tid, level, tag, body in found
    ]
    return Rows((name, "severity_text", "severity_number", "pid", "tid", "tag", "body"), rows)


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
