# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "postgres_csv"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "PostgreSQL's csvlog, of versions 9 to 17."
# framing = { kind = "lines", quote = '"' }
#
# [tool.hostd.accepts]
# lines = '^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]{1,5},("[^"\n]*")?,("[^"\n]*")?,\d*,'
# priority = -10
#
# [[tool.hostd.samples]]
# name = "postgresql.csv"
# input = '''
# 2024-06-27 02:00:07.369 CEST,"dana","shop",7,"::1:52",6009.5c,3,"SELECT",2024-06-27 CEST,1/2,0,LOG,00000,"said ""a""
# b",,,,,,,,,"psql","client backend",,0
# 2024-06-27 02:00:08.369 CEST,"dana"
# '''
# records = [
#   '''{"timestamp": "2024-06-27T00:00:07.369Z", "severity_text": "LOG", "severity_number": 9, "body":
#    "said \"a\"\nb", "user_name": "dana", "database_name": "shop", "process_id": "7", "connection_from":
#    "::1:52", "session_id": "6009.5c", "session_line_num": "3", "command_tag": "SELECT",
#    "session_start_time": "2024-06-27 CEST", "virtual_transaction_id": "1/2", "transaction_id": "0",
#    "sql_state_code": "00000", "application_name": "psql", "backend_type": "client backend", "query_id": "0"}''',
# ]
# rejected = 1
# ///
"""PostgreSQL's csvlog: the columns of its table `postgres_log`, of versions 9 to 17.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`, and the other columns by their names in PostgreSQL's
manual (`user_name`, `database_name`, `process_id`, …), as strings; an empty one is left out. A column that this
version does not know is `column_27` and so on.
"""

import csv
import io

from contract import Context, JsonValue, Processor, Record, Rows, each_record, severity_number, timestamps
from contract.options import LocalTime

_COLUMNS = (
    *("log_time", "user_name", "database_name", "process_id", "connection_from", "session_id", "session_line_num"),
    *("command_tag", "session_start_time", "virtual_transaction_id", "transaction_id", "error_severity"),
    *("sql_state_code", "message", "detail", "hint", "internal_query", "internal_query_pos", "context", "query"),
    *("query_pos", "location", "application_name", "backend_type", "leader_pid", "query_id"),
)
_LEAST_COLUMNS = 22
_BEGUN = ("timestamp", "severity_text", "severity_number", "body")
csv.field_size_limit(2**31 - 1)


class Options(LocalTime):
    """The operator's `[plugins.options.postgres_csv]`."""


def parse(text: str, ctx: Context) -> Record:
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if len(rows) != 1 or len(rows[0]) < _LEAST_COLUMNS:
        raise ValueError(f"expected one row of at least {_LEAST_COLUMNS} columns, found {[len(row) for row in rows]}")
    return _record(rows[0], ctx)


def at_once(text: str, ctx: Context) -> Rows | None:
    lines = text.split("\n")
    if any(line.count('"') & 1 for line in lines):  # a row of several lines
        return None
    try:
        rows = list(csv.reader(lines, strict=True))
    except csv.Error:
        return None
    width = len(rows[0])
    if len(rows) != len(lines) or width < _LEAST_COLUMNS or set(map(len, rows)) != {width}:
        return None
    columns = dict(zip(_names(width), zip(*rows, strict=True), strict=True))
    times = timestamps("%Y-%m-%d %H:%M:%S%Z", ctx.options.time_zone)
    begun = (
        [times[time] for time in columns.pop("log_time")],
        levels := columns.pop("error_severity"),
        map(severity_number, levels),
        columns.pop("message"),
    )
    rest = ([value or None for value in column] for column in columns.values())
    return Rows((*_BEGUN, *columns), zip(*begun, *rest, strict=True), optional=columns)


def _record(row: list[str], ctx: Context) -> Record:
    fields: dict[str, JsonValue] = {name: value for name, value in zip(_names(len(row)), row, strict=True) if value}
    if "log_time" not in fields:
        raise ValueError("the row has no log_time")
    level = str(fields.pop("error_severity", ""))
    return {
        "timestamp": timestamps("%Y-%m-%d %H:%M:%S%Z", ctx.options.time_zone)[str(fields.pop("log_time"))],
        "severity_text": level,
        "severity_number": severity_number(level),
        "body": fields.pop("message", ""),
        **fields,
    }


def _names(width: int) -> list[str]:
    return [*_COLUMNS[:width], *(f"column_{number}" for number in range(len(_COLUMNS) + 1, width + 1))]


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
