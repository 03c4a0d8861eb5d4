# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "mysql_error"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The error log of MySQL and MariaDB, and MySQL's general query log."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = '(\d{4}-\d\d-\d\d[T ][ \d]\d:\d\d:\d\d|\d{6} [ \d]\d:\d\d:\d\d)'
#
# [tool.hostd.accepts]
# lines = """\
#   ^(\\d{4}-\\d\\d-\\d\\d[T ][ \\d]\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)?|\\d{6} [ \\d]\\d:\\d\\d:\\d\\d)\
#   ([ \\t]+\\d+)?[ \\t]+(\\[(Note|Warning|Warn|ERROR|Error|System)\\] |(Connect|Query|Quit|Init DB)\\b)"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "mysqld.err"
# input = '''
# 2024-05-17T12:05:03.106822+02:00 0 [Warning] [MY-010068] [Server] CA certificate is self signed.
# 2024-05-17  9:05:03 7 [Note] InnoDB: Buffer pool
#   continued
# 240517 10:05:03 [ERROR] mysqld: no
# 2024-05-17T10:05:04.1Z	   14 Connect	Access denied for user 'u'@'::1'
# 2024-05-17 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.106822Z", "severity_text": "Warning", "severity_number": 13, "thread":
#    "0", "code": "MY-010068", "subsystem": "Server", "body": "CA certificate is self signed."}''',
#   '''{"timestamp": "2024-05-17T09:05:03Z", "severity_text": "Note", "severity_number": 9, "thread": "7",
#    "body": "InnoDB: Buffer pool\n  continued"}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "severity_text": "ERROR", "severity_number": 17, "body":
#    "mysqld: no"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.1Z", "thread": "14", "command": "Connect", "body":
#    "Access denied for user 'u'@'::1'\n2024-05-17 nothing", "user": "u", "host": "::1"}''',
# ]
# ///
"""The error log of MySQL (5.5 to 9) and MariaDB, and MySQL's general query log.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`, and where they are said `thread`, `code`
(`MY-010068`), `subsystem`, `user`, `host` and `using_password` (of whom access is denied), and in the general log
`command` in place of a severity. A time without a zone is of the option `time_zone`.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, severity_number, timestamps
from contract.options import LocalTime

_TIME = (
    r"(?P<time>\d{4}-\d\d-\d\d[T ][ \d]\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?|\d{6} [ \d]\d:\d\d:\d\d)"
    r"(?:\s+(?P<thread>\d+))?"
)
_ERROR = re.compile(
    rf"{_TIME}\s+\[(?P<level>[A-Za-z]+)\] (?:\[(?P<code>MY-\d+)\] )?(?:\[(?P<subsystem>\w+)\] )?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_GENERAL = re.compile(
    rf"{_TIME} (?P<command>[A-Z][a-z]+(?: [A-Z]\w+)?)(?:\t|\s\s+|$)(?P<body>.*)", re.ASCII | re.DOTALL
)


_DENIED = re.compile(
    r"\bAccess denied for user '(?P<user>[^']*)'@'(?P<host>[^']*)'(?: \(using password: (?P<using_password>YES|NO)\))?"
)


class Options(LocalTime):
    """The operator's `[plugins.options.mysql_error]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _ERROR.fullmatch(text) or _GENERAL.fullmatch(text)
    if found is None:
        raise ValueError("no line of MySQL's error log or general log")
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value is not None}
    record: dict[str, JsonValue] = {"timestamp": _utc(str(fields.pop("time")), ctx.options.time_zone)}
    if level := fields.pop("level", None):
        record |= {"severity_text": level, "severity_number": severity_number(str(level))}
    if denied := _DENIED.search(str(fields["body"])):
        fields |= {name: value for name, value in denied.groupdict().items() if value is not None}
    return {**record, **fields}


def _utc(text: str, zone: str | None) -> str:
    if text[4] == "-":
        # MariaDB writes the hour 9 as " 9".
        return timestamps(f"%Y-%m-%d{text[10]}%H:%M:%S%z", zone)[f"{text[:11]}{text[11:].replace(' ', '0', 1)}"]
    text = text.replace("  ", " 0")
    return timestamps("%y-%m-%d %H:%M:%S", zone)[f"{text[:2]}-{text[2:4]}-{text[4:]}"]


def new_processor() -> Processor:
    return each_record(parse)
