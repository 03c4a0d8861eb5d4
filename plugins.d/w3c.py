# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "w3c"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "W3C extended logs: IIS, Windows firewall, and whatever else writes #Fields."
# framing = "stream"
# accepts = { head = '^#Fields:\s', priority = -10 }
#
# [[tool.hostd.samples]]
# name = "u_ex.log"
# input = '''
# #Software: Microsoft Internet Information Services 10.0
# #Date: 2024-05-17 00:00:00
# #Fields: date time c-ip cs-uri-query cs(User-Agent) sc-status
# 2024-05-17 10:05:03 192.0.2.7 - Mozilla/5.0+(X) 200
# 2024-05-17 10:05:03
# #Fields: time c-ip x-said
# 10:05:04.5 192.0.2.7 "two words"
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "date": "2024-05-17", "time": "10:05:03", "c-ip": "192.0.2.7",
#    "cs-uri-query": null, "cs(User-Agent)": "Mozilla/5.0+(X)", "sc-status": "200"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.5Z", "time": "10:05:04.5", "c-ip": "192.0.2.7", "x-said": "two words"}''',
# ]
# rejected = 1
# ///
"""The extended log file format of the W3C: the line `#Fields:` says which columns follow, anywhere in the file.

Keys: `timestamp` of `date` and `time` (or `date-local` and `time-local`; the date of `#Date:` where there is no
column), and every column by its name; `-` is null. The format's times are UTC unless the option `time_zone` says
otherwise, as for the Windows firewall, which writes local time. A row of another width than `#Fields:` is rejected.
"""

import re
from collections.abc import Iterator

from contract import Context, JsonValue, LineStream, Record, Rows, StreamProcessor, each_stream, timestamps
from contract.options import LocalTime

_COLUMN = re.compile(r'"([^"]*(?:""[^"]*)*)"(?=\s|$)|(\S+)')
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Options(LocalTime):
    """The operator's `[plugins.options.w3c]`."""


class W3cStream(LineStream):
    """`kept` holds the `fields` and the `date` that are in force."""

    def parse_line(self, line: str) -> Iterator[Record]:
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            if name == "Fields":
                self.kept["fields"] = value.split()
            elif name in {"Date", "Start-Date"} and (found := _DATE.search(value)):
                self.kept["date"] = found[0]
            return
        names = self.kept.get("fields")
        if names is None:
            raise ValueError("there is no #Fields: before this row")
        values = [quoted or bare for quoted, bare in _COLUMN.findall(line)]
        if len(values) != len(names):
            raise ValueError(f"expected {len(names)} columns, found {len(values)}")
        row: dict[str, JsonValue] = {
            name: None if value == "-" else value for name, value in zip(names, values, strict=True)
        }
        date = row.get("date") or row.get("date-local") or self.kept.get("date")
        time = row.get("time") or row.get("time-local")
        if date and time:
            zone = self.ctx.options.time_zone
            yield {"timestamp": timestamps("%Y-%m-%d %H:%M:%S", zone)[f"{date} {time}"], **row}
        else:
            yield row

    def at_once(self, text: str, ctx: Context) -> Rows | None:
        names = ["timestamp", *self.kept.get("fields", ())]
        if text[0] == "#" or "\n#" in text or '"' in text or len(set(names)) != len(names):
            return None
        if "date" not in names or "time" not in names:
            return None
        rows = [line.split() for line in text.split("\n")]
        if set(map(len, rows)) != {len(names) - 1}:
            return None
        columns = dict(zip(names[1:], zip(*rows, strict=True), strict=True))
        times = timestamps("%Y-%m-%d %H:%M:%S", ctx.options.time_zone)
        begun = [times[f"{date} {time}"] for date, time in zip(columns["date"], columns["time"], strict=True)]
        values = (
            [None if value == "-" else value for value in column] if "-" in column else column
            for column in columns.values()
        )
        return Rows(names, zip(begun, *values, strict=True))


def new_processor() -> StreamProcessor:
    return each_stream(W3cStream)
