# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "postgres"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "PostgreSQL's log (stderr), with any log_line_prefix that begins with a time, and PgBouncer's."
# framing = { kind = "multiline", start = '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d' }
#
# [tool.hostd.accepts]
# lines = """\
#   ^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(( [A-Z]{1,5}|[+-]\\d\\d)[ :][^\\n]*\
#   (LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG[1-5]|STATEMENT|DETAIL|HINT|CONTEXT|QUERY):  \
#   |( [A-Z]{1,5})? \\[?\\d+\\]? (LOG|NOISE|DEBUG|WARNING|ERROR|FATAL) )"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "postgresql.log"
# input = '''
# 2024-06-27 00:00:07.369 CEST [58151]: [1-1] user=dana,db=,host=::1 LOG:  automatic analyze
# 	I/O timings: read: 0.000 ms
# 2024-06-27 00:00:08 UTC:10.0.0.1(54):dana@shop:[77]:ERROR:  no such table
# 2024-06-27 00:00:08 UTC:10.0.0.1(54):dana@shop:[77]:STATEMENT:  SELECT 1
# 2024-06-27 00:00:09.775 3392 LOG file descriptor limit: 1024
# 2024-06-27 00:00:10 UTC nothing
# '''
# records = [
#   '''{"timestamp": "2024-06-26T22:00:07.369Z", "severity_text": "LOG", "severity_number": 9, "pid": "58151",
#    "user": "dana", "client": "::1", "prefix": "[58151]: [1-1] user=dana,db=,host=::1", "body":
#    "automatic analyze\n\tI/O timings: read: 0.000 ms"}''',
#   '''{"timestamp": "2024-06-27T00:00:08Z", "severity_text": "ERROR", "severity_number": 17, "pid": "77",
#    "user": "dana", "database": "shop", "prefix": "10.0.0.1(54):dana@shop:[77]", "body": "no such table"}''',
#   '''{"timestamp": "2024-06-27T00:00:08Z", "severity_text": "STATEMENT", "pid": "77", "user": "dana", "database":
#    "shop", "prefix": "10.0.0.1(54):dana@shop:[77]", "body": "SELECT 1"}''',
#   '''{"timestamp": "2024-06-27T00:00:09.775Z", "severity_text": "LOG", "severity_number": 9, "pid": "3392",
#    "body": "file descriptor limit: 1024"}''',
# ]
# rejected = 1
# ///
"""PostgreSQL's log as it writes it to standard error, and PgBouncer's.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`, and of the prefix what can be told whatever
`log_line_prefix` is: `pid`, `user`, `database`, `client`, `application`, and all of it as `prefix`. DETAIL, HINT,
STATEMENT and the like are records of their own, without a number, as PostgreSQL writes them. Lines that follow
belong to a record.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, severity_number, timestamps
from contract.options import LocalTime

_LEVELS = "DEBUG[1-5]|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|QUERY|CONTEXT|LOCATION|STATEMENT"
_TIME = r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: [A-Z][A-Za-z]{0,4}|[+-]\d\d(?:\d\d)?)?)"
_POSTGRES = re.compile(rf"{_TIME}(?P<prefix>[^\n]*?)(?P<level>{_LEVELS}): {{1,2}}(?P<body>.*)", re.ASCII | re.DOTALL)
_PGBOUNCER = re.compile(
    rf"{_TIME} \[?(?P<pid>\d+)\]? (?P<level>LOG|NOISE|DEBUG|WARNING|ERROR|FATAL) (?P<body>.*)", re.ASCII | re.DOTALL
)
_PID = re.compile(r"\[(\d+)(?:-\d+)?\]|(?:^|[\s:])(\d+)(?:[\s:]|$)", re.ASCII)
_PAIR = re.compile(r"\b(user|u|db|database|d|host|client|remote|h|app|application|a)=([^,\s]*)", re.ASCII)
_USER_AT_DATABASE = re.compile(r"([\w.-]+)@([\w.-]+)", re.ASCII)
_NAMES = {
    "u": "user",
    "db": "database",
    "d": "database",
    "host": "client",
    "remote": "client",
    "h": "client",
    "app": "application",
    "a": "application",
}


class Options(LocalTime):
    """The operator's `[plugins.options.postgres]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _PGBOUNCER.fullmatch(text) or _POSTGRES.fullmatch(text)
    if found is None:
        raise ValueError("no time, prefix and LEVEL: of PostgreSQL")
    level = found["level"]
    record: dict[str, JsonValue] = {
        "timestamp": timestamps("%Y-%m-%d %H:%M:%S%Z", ctx.options.time_zone)[found["time"]],
        "severity_text": level,
    }
    if (number := severity_number(level)) is not None:
        record["severity_number"] = number
    if found.re is _PGBOUNCER:
        record["pid"] = found["pid"]
    elif prefix := found["prefix"].strip(" :"):
        record |= {**_of_prefix(prefix), "prefix": prefix}
    return {**record, "body": found["body"]}


def _of_prefix(prefix: str) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {}
    if pid := _PID.search(prefix):
        fields["pid"] = pid[1] or pid[2]
    if both := _USER_AT_DATABASE.search(prefix):
        fields |= {"user": both[1], "database": both[2]}
    fields |= {_NAMES.get(name, name): value for name, value in _PAIR.findall(prefix) if value}
    return fields


def new_processor() -> Processor:
    return each_record(parse)
