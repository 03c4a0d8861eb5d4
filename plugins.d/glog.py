# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "glog"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Google's glog, and klog of Kubernetes."
# framing = { kind = "multiline", start = '[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ ' }
# accepts = { lines = '^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [^\s:\]]+:\d+\] ', priority = -20 }
# header = '(Log file created at|Running on machine|Running duration|Binary|Log line format)\b'
#
# [[tool.hostd.samples]]
# name = "app.INFO"
# input = '''
# Log file created at: 2024/05/17 06:07:40
# Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg
# W0517 10:05:03.619632  1952 logging_unittest.cc:253] Log
#   more
# E0517 10:05:04.1 7 x.go:5]
# F0517 10:05:05.1 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.619632Z", "severity_text": "WARNING", "severity_number": 13, "thread":
#    "1952", "file": "logging_unittest.cc", "line": 253, "body": "Log\n  more"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.1Z", "severity_text": "ERROR", "severity_number": 17, "thread": "7",
#    "file": "x.go", "line": 5, "body": ""}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "klog"
# input = "I0517 10:05:03.619632       1 main.go:7] \"Started\" pod=\"a/b\"\n"
# records = [
#   '''{"time": "0517 10:05:03.619632", "severity_text": "INFO", "severity_number": 9, "thread": "1", "file":
#    "main.go", "line": 7, "body": "\"Started\" pod=\"a/b\""}''',
# ]
# ///
"""The text format of glog, and of klog: `Lmmdd hh:mm:ss.uuuuuu threadid file:line] message`.

Keys: `timestamp`, `severity_text`, `severity_number`, `thread`, `file`, `line`, `body`. The year is that of the
file's first line (`Log file created at`) or of the option `year`; without one the time stays as it is written, as
`time`. The zone is that of the option `time_zone`.
"""

import re

from contract import Context, JsonValue, Processor, Record, Rows, each_record, severity_number, timestamps
from contract.options import LocalYear

_LINE = re.compile(
    r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d{1,6}) +(\d+) ([^\s:\]]+):(\d+)\](?: (.*))?", re.ASCII | re.DOTALL
)
_LINES = re.compile(
    r"^([IWEF])(\d{4} \d\d:\d\d:\d\d\.\d{1,6}) +(\d++) ([^\s:\]]++):(\d{1,18}+)\] (.*+)$", re.ASCII | re.MULTILINE
)
_CREATED = re.compile(rb"Log file created at: (\d{4})/")
_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
_NUMBERS = {level: severity_number(level) for level in _LEVELS}
_NAMES = ("time", "severity_text", "severity_number", "thread", "file", "line", "body")


class Options(LocalYear):
    """The operator's `[plugins.options.glog]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError("not Lmmdd hh:mm:ss.uuuuuu threadid file:line] message")
    level, month, day, time, thread, file, line, body = found.groups("")
    created = _CREATED.match(ctx.header)
    year = int(created[1]) if created else ctx.options.year
    when: dict[str, JsonValue] = {"time": f"{month}{day} {time}"}
    if year is not None:
        when = {"timestamp": timestamps("%m-%d %H:%M:%S", ctx.options.time_zone, year)[f"{month}-{day} {time}"]}
    return {
        **when,
        "severity_text": _LEVELS[level],
        "severity_number": severity_number(level),
        "thread": thread,
        "file": file,
        "line": int(line),
        "body": body,
    }


def at_once(text: str, ctx: Context) -> Rows | None:
    created = _CREATED.match(ctx.header)
    year = int(created[1]) if created else ctx.options.year
    if year is not None:
        return None
    rows = _LINES.findall(text)
    if len(rows) != text.count("\n") + 1:
        return None
    return Rows(
        _NAMES,
        [
            (time, _LEVELS[level], _NUMBERS[level], thread, file, int(line), body)
            for level, time, thread, file, line, body in rows
        ],
    )


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
