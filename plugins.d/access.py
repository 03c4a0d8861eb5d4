# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "access"
# version = "1.1.0"
# contract = ">=1.0,<2"
# summary = "Apache and nginx access logs, in the common and the combined format."
# framing = "lines"
# limits = { batch_kib = 128 }
#
# [tool.hostd.accepts]
# lines = '^([^\s:]+:\d+ )?[^\s{"]+ \S+ \S+ \[\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] ".*" \d{3} (\d|-)'
# priority = -20
#
# [[tool.hostd.samples]]
# input = '''
# 192.0.2.7 dana frank [17/May/2015:12:05:03 +0200] "GET /a?b=1 HTTP/2.0" 200 2326 "//example.com/" "curl/8"
# 192.0.2.7 dana
# '''
# rejected = 1
#
# [[tool.hostd.samples.records]]
# timestamp = "2015-05-17T10:05:03Z"
# client = "192.0.2.7"
# ident = "dana"
# user = "frank"
# method = "GET"
# path = "/a?b=1"
# protocol = "HTTP/2.0"
# status = 200
# bytes = 2326
# referer = "//example.com/"
# agent = "curl/8"
#
# [[tool.hostd.samples]]
# input = 'example.com:443 192.0.2.8 - - [17/May/2015:10:05:04 +0000] "-" 408 -'
# records = ['''{"timestamp": "2015-05-17T10:05:04Z", "client": "192.0.2.8", "ident": null, "user": null,
#   "method": null, "path": null, "protocol": null, "status": 408, "bytes": null, "referer": null, "agent": null,
#   "request": null, "vhost": "example.com:443"}''']
# ///
r"""Apache and nginx access logs: the common and the combined format of Apache's `mod_log_config`, also with a
vhost.

Keys: `timestamp`, `client`, `ident`, `user`, `method`, `path`, `protocol`, `status`, `bytes`, `referer`, `agent`;
where there is something for them also `request`, `extra`, `vhost`. The time becomes RFC 3339 in UTC, and `-`
becomes null. A request that is not `METHOD path HTTP/x` is kept whole as `request`, with `method`, `path` and
`protocol` null. What a server adds after the last field is kept as `extra`. Quoted fields stay as they are written,
with the server's escapes (`\"`, `\x16`).
"""

import re
from collections.abc import Iterable, Iterator

from contract import Context, JsonValue, Record, Rows, Timestamps

# Possessive (`++`, `*+`), so that no part can backtrack and a hostile line costs no more than an honest one. What is no
# space is told faster than what is no white space: a batch that has some other than spaces is not taken at once.
_START = r'^([^ ]++) ([^ ]++) ([^ ]++) \[(.{26})\] "([A-Z]++) ([^ ]++) (HTTP/[0-9.]++)" ([0-9]{3}) ([0-9]{1,18}+|-)'
_OTHER_WHITE = "\t\v\f\r"
_COMBINED = re.compile(rf'{_START} "([^"]*+)" "([^"]*+)"$', re.MULTILINE | re.ASCII)
_COMMON = re.compile(rf"{_START}$", re.MULTILINE | re.ASCII)

# Not the group: Python 3.11.2 can leave a possessive one half matched.
_QUOTED = r'([^"\\]*+(?:\\.[^"\\]*+)*)'
_ANY_LINE = re.compile(
    rf"(?:(?P<vhost>[^\s:]++:[0-9]++) )?(\S++) (\S++) (\S++) \[([^]]++)\] "
    rf'"(?:([A-Z]++) (\S++) (HTTP/[0-9.]++)|{_QUOTED})"'
    rf' ([0-9]{{3}}|-) ([0-9]{{1,18}}+|-)(?: "{_QUOTED}" "{_QUOTED}")?(?: (.*))?',
    re.ASCII,
)
_ROW = (2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13)
_REQUEST, _EXTRA = 9, 14

_NAMES = ["timestamp", "client", "ident", "user", "method", "path", "protocol", "status", "bytes", "referer", "agent"]
_LINES_IN_A_PIECE = 32
_Values = tuple[JsonValue, ...]
_STATUSES: dict[str, int | None] = {"-": None, **{f"{status:03}": status for status in range(1000)}}


class AccessProcessor:
    """Parses a batch in one pass of one expression; where that fails, piece by piece; there, line by line."""

    def __init__(self) -> None:
        self._times = Timestamps("%d/%b/%Y:%H:%M:%S %z")

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record | Rows]:
        # What is left without them is told in half the time that it takes to count them.
        lines = len(data) - len(data.replace(b"\n", b"")) + (not data.endswith(b"\n"))
        rows = self._at_once(data, lines)
        if rows is not None:
            return Rows(_NAMES, rows)
        return self._pieces(data.split(b"\n"), ctx)

    def _pieces(self, lines: list[bytes], ctx: Context) -> Iterator[Record | Rows]:
        rows: list[_Values] = []
        for start in range(0, len(lines), _LINES_IN_A_PIECE):
            piece = lines[start : start + _LINES_IN_A_PIECE]
            found = self._at_once(b"\n".join(piece), len(piece))
            if found is not None:
                rows += found
                continue
            yield Rows(_NAMES, rows)
            rows = []
            yield from self._line_by_line(piece, ctx)
        yield Rows(_NAMES, rows)

    def _at_once(self, data: bytes, lines: int) -> list[_Values] | None:
        """Return a row for each line when all are of the ordinary form, and None otherwise."""
        text = data.decode("utf-8", "backslashreplace")
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        if any(map(text.__contains__, _OTHER_WHITE)):
            return None
        # A match begins at a line's start, so as many matches as lines means one for each, and none longer.
        # An escaped quote in the referer or the agent is one quote too many here.
        rows = _COMBINED.findall(text)
        if not rows:
            rows = [(*row, "-", "-") for row in _COMMON.findall(text)]
        if len(rows) != lines:
            return None
        try:
            return self._as_rows(rows)
        except ValueError:  # an impossible time, which costs its own line only
            return None

    def _as_rows(self, found: Iterable[tuple[str, ...]]) -> list[_Values]:
        times = self._times
        return [
            (
                times[time],
                client,
                None if ident == "-" else ident,
                None if user == "-" else user,
                method,
                path,
                protocol,
                _STATUSES[status],
                None if size == "-" else int(size),
                None if referer == "-" else referer,
                None if agent == "-" else agent,
            )
            for client, ident, user, time, method, path, protocol, status, size, referer, agent in found
        ]

    def _line_by_line(self, lines: list[bytes], ctx: Context) -> list[Record]:
        records: list[Record] = []
        for line in lines:
            found = _ANY_LINE.fullmatch(line.decode("utf-8", "backslashreplace").removesuffix("\r"))
            if found is None:
                if line.strip():
                    ctx.reject(line, "not a line of the common or the combined log format")
                continue
            try:
                (row,) = self._as_rows([found.group(*_ROW)])
            except ValueError as error:
                ctx.reject(line, str(error))
                continue
            record: dict[str, JsonValue] = dict(zip(_NAMES, row, strict=True))
            if found[_REQUEST] is not None:
                record["request"] = None if found[_REQUEST] == "-" else found[_REQUEST]
            if found[_EXTRA]:
                record["extra"] = found[_EXTRA]
            if found["vhost"]:
                record["vhost"] = found["vhost"]
            records.append(record)
        return records


def new_processor() -> AccessProcessor:
    return AccessProcessor()
