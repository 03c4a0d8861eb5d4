# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "mysql_slow"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The slow query log of MySQL and MariaDB."
# framing = { kind = "multiline", start = '# Time: ' }
# accepts = { head = '^# (Time: |User@Host: )', priority = -20 }
# header = '([^#]|#[^ ])'
#
# [[tool.hostd.samples]]
# name = "mysql-slow.log"
# input = '''
# mysqld, Version: 8.0.36. started with:
# # Time: 2024-05-17T12:05:03.678222+02:00
# # User@Host: shop[shop] @ localhost [::1]  Id:     2
# # Query_time: 0.011853  Lock_time: 0.000001 Rows_sent: 268  Rows_examined: 3
# use shop;
# SET timestamp=1715940303;
# SELECT *
#   FROM till;
# # Time: 240517  9:05:04
# # User@Host: dana @  [192.0.2.7]
# SELECT 1;
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.678222Z", "user": "shop", "host": "localhost", "ip": "::1",
#    "connection": "2", "query_time": 0.011853, "lock_time": 1e-06, "rows_sent": 268, "rows_examined": 3,
#    "database": "shop", "body": "SELECT *\n  FROM till;"}''',
#   '''{"timestamp": "2024-05-17T09:05:04Z", "user": "dana", "host": null, "ip": "192.0.2.7", "body":
#    "SELECT 1;"}''',
# ]
# ///
"""The slow query log of MySQL and MariaDB: one record for each query that has a time of its own.

Keys: `timestamp`, `body` (the statement), `user`, `host`, `ip`, `database`, `connection` and the measures of the
comment lines in lower case, as numbers: `query_time` and `lock_time` in seconds, `rows_sent`, `rows_examined` and
others. A time without a zone is of the option `time_zone`.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_USER = re.compile(
    r"# User@Host: (?P<user>[^\[\s]*)(?:\[[^\]]*\])? @ +(?P<host>\S*?) *\[(?P<ip>[^\]]*)\](?: +Id: +(\d+))?"
)
_MEASURE = re.compile(r"(\w+): +(\S+)", re.ASCII)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_USE = re.compile(r"use `?([^`;]+)`?;", re.IGNORECASE)


class Options(LocalTime):
    """The operator's `[plugins.options.mysql_slow]`."""


def parse(text: str, ctx: Context) -> Record:
    time, *lines = text.split("\n")
    record: dict[str, JsonValue] = {"timestamp": _utc(time.removeprefix("# Time: ").strip(), ctx.options.time_zone)}
    statement = []
    for line in lines:
        if line.startswith("# User@Host: ") and (user := _USER.match(line)):
            record |= {name: value or None for name, value in user.groupdict().items()}
            record |= {"connection": user[4]} if user[4] else {}
        elif line.startswith("# "):
            record |= {name.lower(): _value(value) for name, value in _MEASURE.findall(line)}
        elif use := _USE.fullmatch(line):
            record["database"] = use[1]
        elif not line.startswith("SET timestamp="):
            statement.append(line)
    return {**record, "body": "\n".join(statement)}


def _utc(text: str, zone: str | None) -> str:
    if "T" in text:
        return timestamps("%Y-%m-%dT%H:%M:%S%z", zone)[text]
    text = text.replace("  ", " 0")
    return timestamps("%y-%m-%d %H:%M:%S", zone)[f"{text[:2]}-{text[2:4]}-{text[4:]}"]


def _value(text: str) -> JsonValue:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)


def new_processor() -> Processor:
    return each_record(parse)
