# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "timed_text"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Text whose records begin with a time, whatever writes it; the lines after each time joined."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = """\
#   ([\\[(<]?(\\d{4}[-/.]\\d\\d[-/.]\\d\\d[T _-]\\d\\d:?\\d\\d:?\\d\\d\
#   |\\d{8}[T _-]\\d\\d?:?\\d\\d?:?\\d\\d?\
#   |\\d{6} \\d{6} \
#   |\\d\\d\\.\\d\\d \\d\\d:\\d\\d:\\d\\d\\]\
#   |\\d\\d?[-/.]\\d\\d?[-/.]\\d{4},?[T \\t]+\\d\\d?:\\d\\d:\\d\\d\
#   |\\d\\d[-/.]\\d\\d[-/.]\\d\\d[, T]\\d\\d:\\d\\d:\\d\\d\
#   |\\d\\d?[-/ ][A-Z][a-z]{2}[-/ ]\\d{4}[: ]\\d\\d:\\d\\d:\\d\\d\
#   |([A-Za-z][a-z]{2},? )?([A-Za-z][a-z]{2} [ \\d]?\\d|[ \\d]?\\d [A-Za-z][a-z]{2}),?( \\d{4})? \\d\\d:\\d\\d:\\d\\d\
#   |1\\d{9}(\\d{3})?[.: \\t])\
#   |(\\S+\\.log\\S* |[A-Z], \\[)\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d\
#   |\\S+ 1\\d{9} \\d{4}\\.\\d\\d\\.\\d\\d)"""
#
# [tool.hostd.accepts]
# lines = """\
#   ^([\\[(<]?(\\d{4}[-/.]\\d\\d[-/.]\\d\\d[T _-]\\d\\d:?\\d\\d:?\\d\\d\
#   |\\d{8}[T _-]\\d\\d?:?\\d\\d?:?\\d\\d?\
#   |\\d{6} \\d{6} \
#   |\\d\\d\\.\\d\\d \\d\\d:\\d\\d:\\d\\d\\]\
#   |\\d\\d?[-/.]\\d\\d?[-/.]\\d{4},?[T \\t]+\\d\\d?:\\d\\d:\\d\\d\
#   |\\d\\d[-/.]\\d\\d[-/.]\\d\\d[, T]\\d\\d:\\d\\d:\\d\\d\
#   |\\d\\d?[-/ ][A-Z][a-z]{2}[-/ ]\\d{4}[: ]\\d\\d:\\d\\d:\\d\\d\
#   |([A-Za-z][a-z]{2},? )?([A-Za-z][a-z]{2} [ \\d]?\\d|[ \\d]?\\d [A-Za-z][a-z]{2}),?( \\d{4})? \\d\\d:\\d\\d:\\d\\d\
#   |1\\d{9}(\\d{3})?[.: \\t])\
#   |(\\S+\\.log\\S* |[A-Z], \\[)\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d\
#   |\\S+ 1\\d{9} \\d{4}\\.\\d\\d\\.\\d\\d)"""
# fallback = true
# priority = -80
#
# [[tool.hostd.samples]]
# name = "sync.log"
# input = '''
# Log opened
# 2024-05-17T12:05:03.123+02:00 main: WARN slow
#   by a second
# 2024-05-17-100504.5 7 done
# Fri May 17 10:05:05 2024 [pid 2] CONNECT
# [17/May/2024:10:05:06 +0000] a
# '''
# records = [
#   '''{"body": "Log opened"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.123Z", "severity_text": "WARN", "severity_number": 13, "body":
#    "main: WARN slow\n  by a second"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.5Z", "body": "7 done"}''',
#   '''{"timestamp": "2024-05-17T10:05:05Z", "body": "[pid 2] CONNECT"}''',
#   '''{"timestamp": "2024-05-17T10:05:06Z", "body": "a"}''',
# ]
#
# [[tool.hostd.samples]]
# name = "chat.log"
# input = '''
# May 17 10:05:03 dana hello
# 05/06/2024 10:05:04 PM: which month
# 1715940305.25 beat
# 1715940305250: beat
# '''
# records = [
#   '''{"time": "May 17 10:05:03", "body": "dana hello"}''',
#   '''{"time": "05/06/2024 10:05:04 PM", "body": "which month"}''',
#   '''{"timestamp": "2024-05-17T10:05:05.25Z", "body": "beat"}''',
#   '''{"timestamp": "2024-05-17T10:05:05.250Z", "body": "beat"}''',
# ]
# ///
"""Text whose records begin with a time: the logs of programs that have no processor of their own.

Keys: `timestamp`, `severity_text` and `severity_number` where one of the first words is a level, `label` where a
word comes before the time, `body` (what follows the time, with the lines up to the next time). A time without a
zone is of the option `time_zone`. One without a year, or of which day and month cannot be told apart, stays as it
is written, as `time`. Lines before the first time are a record.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, from_epoch, severity_number, timestamps
from contract.options import LocalTime

_ZONE = (
    r"(?:(?:[ ]?(?:Z|[+-]\d\d:?\d\d)|[+-]\d\d"
    r"|[ ](?:UTC|GMT|CES?T|EES?T|WES?T|BST|MSK|[ECMP][SD]T|JST|KST|AE[SD]T))\b)?"
)
_FRACTION = r"(?:[.,]\d{1,9})?"
_TIME = re.compile(
    rf"""(?P<label>\S+\.log\S*\ |[A-Z],\ |\S+\ (?=1\d{{9}}\ \d{{4}}\.\d\d\.\d\d))?[\[(<]?(?:
    (?P<iso>\d{{4}}[-/.]\d\d[-/.]\d\d[T\ _-]\d\d(?P<colon>:?)\d\d(?P=colon)\d\d{_FRACTION}{_ZONE})
    |(?P<compact>\d{{8}}[T\ _-]\d\d\d\d\d\d{_FRACTION}{_ZONE})
    |(?P<loose>\d{{8}}[T\ _-]\d\d?:\d\d?:\d\d?(?:[:.,]\d{{1,3}}\b)?)
    |(?P<short>\d{{6}}\ \d{{6}})(?=\ )
    |(?P<clf>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d{_FRACTION}{_ZONE})
    |(?P<dashed>\d\d?[-\ ][A-Z][a-z]{{2}}[-\ ]\d{{4}}\ \d\d:\d\d:\d\d{_FRACTION}{_ZONE})
    |(?P<dotted>\d\d?\.\d\d?\.\d{{4}},?\ \d\d:\d\d:\d\d{_FRACTION})
    |(?P<ctime>[A-Z][a-z]{{2}}\ [A-Z][a-z]{{2}}\ [\ \d]\d\ \d\d:\d\d:\d\d{_FRACTION}\ \d{{4}})
    |(?P<mail>[A-Z][a-z]{{2}},\ [\ \d]?\d\ [A-Z][a-z]{{2}}\ \d{{4}}\ \d\d:\d\d:\d\d{_ZONE})
    |(?P<epoch>1\d{{9}}(?:\.\d{{1,9}})?)(?=[:\s])
    |(?P<milliseconds>1\d{{12}})(?=[:\s])
    |(?P<unclear>\d\d?[-/.]\d\d?[-/.](?:\d{{4}}|\d\d),?[T\ \t]*\d\d?:\d\d:\d\d{_FRACTION}(?:\ [AP]M)?
      |\d\d\.\d\d\ \d\d:\d\d:\d\d
      |(?:[A-Za-z][a-z]{{2}},?\ )?(?:[A-Za-z][a-z]{{2}}\ [\ \d]?\d|[\ \d]?\d\ [A-Za-z][a-z]{{2}}),?(?:\ \d{{4}})?
       \ \d\d:\d\d:\d\d{_FRACTION})
    )[\])>]?[:,]?[\ \t]*""",
    re.ASCII | re.VERBOSE,
)
_KINDS = ("iso", "compact", "loose", "short", "clf", "dashed", "dotted", "ctime", "mail", "epoch", "milliseconds")
_NOTATIONS = {
    "short": "%y%m%d %H%M%S",
    "clf": "%d/%b/%Y:%H:%M:%S%z",
    "ctime": "%a %b %d %H:%M:%S %Y",
    "mail": "%a, %d %b %Y %H:%M:%S%z",
}
_WORD = re.compile(r"[^\s\[\]()<>|:,;]+")
_LEVEL = re.compile(
    r"TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE|debug|info|notice|warn|warning|error|crit"
    r"|critical|fatal|Debug|Info|Notice|Warning|Error|Critical|Fatal",
    re.ASCII,
)
_LEVEL_WORDS = 4
_LEVEL_CHARACTERS = 80


class Options(LocalTime):
    """The operator's `[plugins.options.timed_text]`."""


def parse(text: str, ctx: Context) -> Record:
    text = text.removeprefix("\ufeff")
    found = _TIME.match(text)
    if found is None:
        return {"body": text}
    body = text[found.end() :]
    record = {**_time(found, ctx.options), **_severity(body)}
    if found["label"]:
        record["label"] = found["label"].rstrip(" ,")
    return {**record, "body": body}


def _time(found: re.Match[str], options: Options) -> dict[str, JsonValue]:
    kind = next((kind for kind in _KINDS if found[kind] is not None), "unclear")
    text = found[kind]
    try:
        if kind in {"epoch", "milliseconds"}:
            return {"timestamp": from_epoch(text, 1 if kind == "epoch" else 1000)}
        if kind == "loose":  # its numbers may have fewer digits
            day, hour, minute, second, *part = re.split(r"[^\d]", text)
            text = f"{day} {hour:0>2}:{minute:0>2}:{second:0>2}{''.join(f'.{each:0>3}' for each in part)}"
        notation = _notation(kind, text, colon=found["colon"] or "")
        return {"time": text} if notation is None else {"timestamp": timestamps(notation, options.time_zone)[text]}
    except ValueError:
        return {"time": found[kind]}  # such as a 31st of February: it is kept as it is written


def _notation(kind: str, text: str, *, colon: str) -> str | None:
    zone = "%Z" if text[-1] == "T" or text.endswith(("UTC", "MSK")) else "%z"
    match kind:
        case "iso":
            return f"%Y{text[4]}%m{text[7]}%d{text[10]}%H{colon}%M{colon}%S{zone}"
        case "compact":
            return f"%Y%m%d{text[8]}%H%M%S{zone}"
        case "loose":
            return "%Y%m%d %H:%M:%S"
        case "dashed":
            sign = "-" if "-" in text[:3] else " "
            return f"%d{sign}%b{sign}%Y %H:%M:%S{zone}"
        case "dotted":
            return "%d.%m.%Y, %H:%M:%S" if "," in text.split()[0] else "%d.%m.%Y %H:%M:%S"
        case _:
            return _NOTATIONS.get(kind)


def _severity(body: str) -> dict[str, JsonValue]:
    words = _WORD.findall(body[:_LEVEL_CHARACTERS].partition("\n")[0])[:_LEVEL_WORDS]
    level = next((word for word in words if _LEVEL.fullmatch(word)), None)
    return {} if level is None else {"severity_text": level, "severity_number": severity_number(level)}


def new_processor() -> Processor:
    return each_record(parse)
