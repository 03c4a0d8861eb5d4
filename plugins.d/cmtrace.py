# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "cmtrace"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The logs of Microsoft Configuration Manager, Intune and MDT, as CMTrace shows them."
# framing = { kind = "multiline", start = '<!\[LOG\[' }
# accepts = { head = '^(\xef\xbb\xbf)?<!\[LOG\[', priority = -20 }
#
# [[tool.hostd.samples]]
# name = "AppEnforce.log"
# input = '''
# <![LOG[Access denied]LOG]!><time="03:05:03.766+420" date="5-17-2024" component="A" type="3" thread="8" file="a.cpp:7">
# <![LOG[instance of A
# {
# };]LOG]!><time="10:05:04.8422964" date="05-17-2024" component="SC" context="" type="1" thread="16" file="">
# <![LOG[no end
# '''
# rejected = 1
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.766Z", "severity_text": "error", "severity_number": 17, "component": "A",
#    "thread": "8", "file": "a.cpp:7", "body": "Access denied"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.8422964Z", "severity_text": "info", "severity_number": 9, "component": "SC",
#    "context": null, "thread": "16", "file": null, "body": "instance of A\n{\n};"}''',
# ]
# ///
"""The logs of Microsoft Configuration Manager and its like: `<![LOG[…]LOG]!><time="…" date="…" …>`.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`, and the attributes as they are called: `component`,
`context`, `thread`, `file`. The sign after the time is that of Windows' bias, in minutes from local time to UTC; where
there is none the option `time_zone` holds.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_RECORD = re.compile(r"<!\[LOG\[(?P<body>.*)\]LOG\]!><(?P<attributes>[^<>]*)>\s*", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_BIAS = re.compile(r"([+-])(\d{1,4})$", re.ASCII)
_SEVERITIES = {"0": ("info", 9), "1": ("info", 9), "2": ("warning", 13), "3": ("error", 17)}


class Options(LocalTime):
    """The operator's `[plugins.options.cmtrace]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _RECORD.fullmatch(text)
    if found is None:
        raise ValueError("not <![LOG[…]LOG]!><time=… date=…>")
    attributes: dict[str, JsonValue] = {name: value or None for name, value in _ATTRIBUTE.findall(found["attributes"])}
    severity = _SEVERITIES.get(str(attributes.pop("type", None)))
    record = _timestamp(str(attributes.pop("date", "")), str(attributes.pop("time", "")), ctx.options.time_zone)
    if severity is not None:
        record |= {"severity_text": severity[0], "severity_number": severity[1]}
    return {**record, **attributes, "body": found["body"].strip()}


def _timestamp(date: str, time: str, zone: str | None) -> dict[str, JsonValue]:
    offset = ""
    if bias := _BIAS.search(time):
        hours, minutes = divmod(int(bias[2]), 60)
        # Windows counts from local time to UTC, everybody else the other way.
        offset = f"{'-' if bias[1] == '+' else '+'}{hours:02}:{minutes:02}"
        time = time[: bias.start()]
    return {"timestamp": timestamps("%m-%d-%Y %H:%M:%S%z", zone)[f"{date} {time}{offset}"]}


def new_processor() -> Processor:
    return each_record(parse)
