# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "setupapi"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Windows' setupapi.dev.log and its like: one record for each installation of a device or driver."
# framing = { kind = "multiline", start = '(>>>  \[|\[)' }
# accepts = { head = '^(>>>  Section start \d{4}/\d\d/\d\d|\[(Device Install Log|BeginLog)\])', priority = -20 }
#
# [[tool.hostd.samples]]
# name = "setupapi.dev.log"
# input = '''
# [Device Install Log]
#      OS Version = 10.0.10240
#
# [BeginLog]
#
# >>>  [Device Install (Hardware initiated) - SWD\A\B_0]
# >>>  Section start 2024/05/17 10:05:03.110
#      dvi: {Build Driver List} 10:05:03.176
# <<<  Section end 2024/05/17 10:05:04.25
# <<<  [Exit status: SUCCESS]
#
#
# >>>  [Unstage Driver Updates]
# '''
# records = [
#   '''{"title": "Device Install Log", "body": "[Device Install Log]\n     OS Version = 10.0.10240"}''',
#   '''{"title": "BeginLog", "body": "[BeginLog]"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.110Z", "end": "2024-05-17T10:05:04.25Z", "title":
#    "Device Install (Hardware initiated) - SWD\\A\\B_0", "exit_status": "SUCCESS", "body":
#    "     dvi: {Build Driver List} 10:05:03.176"}''',
#   '''{"title": "Unstage Driver Updates", "body": ""}''',
# ]
# ///
"""What Windows' SetupAPI logs of installing devices and drivers: a section is a record.

Keys: `timestamp` (its start), `end`, `title`, `exit_status`, and `body` (its lines; of what stands outside of sections
all). The times are local: the option `time_zone` says which zone.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_TITLE = re.compile(r"(?:>>>  )?\[(?P<title>[^\n]*)\]")
_MARK = re.compile(
    r"^(?:>>>  \[.*\]|>>>  Section start (?P<start>[\d/]+ [\d:.]+)|<<<  Section end (?P<end>[\d/]+ [\d:.]+)"
    r"|<<<  \[Exit status: (?P<exit_status>.*)\])[ \t]*(?:\n|\Z)",
    re.ASCII | re.MULTILINE,
)


class Options(LocalTime):
    """The operator's `[plugins.options.setupapi]`."""


def parse(text: str, ctx: Context) -> Record:
    title = _TITLE.match(text)
    said: dict[str, str] = {}
    for mark in _MARK.finditer(text):
        said |= {name: value for name, value in mark.groupdict().items() if value is not None}
    times = timestamps("%Y/%m/%d %H:%M:%S", ctx.options.time_zone)
    record: dict[str, JsonValue] = {}
    record |= {"timestamp": times[said["start"]]} if "start" in said else {}
    record |= {"end": times[said["end"]]} if "end" in said else {}
    record |= {"title": title["title"]} if title is not None else {}
    record |= {"exit_status": said["exit_status"]} if "exit_status" in said else {}
    return {**record, "body": _MARK.sub("", text).rstrip()}


def new_processor() -> Processor:
    return each_record(parse)
