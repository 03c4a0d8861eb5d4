# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "haproxy"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "HAProxy's logs: HTTP, TCP and errors, with or without a syslog header."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   (^|haproxy(\\[\\d+\\])?: )[\\da-f.:]+:\\d+ \\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d\\.\\d{3}\\] \\S+\
#   |^([A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d|\\d{4}-\\d\\d-\\d\\dT\\S+) \\S+ haproxy\\[\\d+\\]: """
# priority = -15
#
# [[tool.hostd.samples]]
# name = "haproxy.log"
# input = """
# May 17 10:05:04 lb haproxy[7]: ::1:53332 [17/May/2024:10:05:03.143] fe~ be/web1 0/0/7/14/21 200 1139 - - ---- \
# 2/1/0/0/0 0/3 {curl|x} {gzip} "GET /a?b HTTP/1.1"
# 192.0.2.7:5333 [17/May/2024:10:05:04.143] fe be/<NOSRV> 1/-1/5 0 SC 2/1/0/0/+3 0/0
# 192.0.2.7:5333 [17/May/2024:10:05:05.143] fe/1: SSL handshake failure
# May 17 10:05:04 lb haproxy[7]: Proxy fe started.
# May 17 10:05:04 lb other
# """
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "time": "May 17 10:05:04", "host": "lb", "pid": "7",
#    "client_ip": "::1", "client_port": 53332, "frontend": "fe~", "backend": "be", "server": "web1", "status":
#    200, "bytes_read": 1139, "request_cookie": "-", "response_cookie": "-", "termination_state": "----",
#    "request_headers": "curl|x", "response_headers": "gzip", "request": "GET /a?b HTTP/1.1",
#    "time_request_ms": 0, "time_queue_ms": 0, "time_connect_ms": 7, "time_response_ms": 14, "time_total_ms":
#    21, "actconn": 2, "feconn": 1, "beconn": 0, "srv_conn": 0, "retries": 0, "srv_queue": 0, "backend_queue":
#    3, "method": "GET", "path": "/a?b", "protocol": "HTTP/1.1"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.143Z", "client_ip": "192.0.2.7", "client_port": 5333, "frontend": "fe",
#    "backend": "be", "server": "<NOSRV>", "bytes_read": 0, "termination_state": "SC", "time_queue_ms": 1,
#    "time_connect_ms": -1, "time_total_ms": 5, "actconn": 2, "feconn": 1, "beconn": 0, "srv_conn": 0,
#    "retries": 3, "srv_queue": 0, "backend_queue": 0}''',
#   '''{"timestamp": "2024-05-17T10:05:05.143Z", "client_ip": "192.0.2.7", "client_port": 5333, "frontend":
#    "fe/1", "body": "SSL handshake failure"}''',
#   '''{"time": "May 17 10:05:04", "host": "lb", "pid": "7", "body": "Proxy fe started."}''',
# ]
# rejected = 1
# ///
"""HAProxy's logs in its HTTP and TCP formats, its errors, and what else it says to syslog.

Keys: `timestamp` (when the connection was accepted), `client_ip`, `client_port`, `frontend`, `backend`, `server`,
the timers (`time_request_ms`, `time_queue_ms`, `time_connect_ms`, `time_response_ms`, `time_total_ms`), `status`,
`bytes_read`, `termination_state`, the counts of connections (`actconn`, `feconn`, `beconn`, `srv_conn`, `retries`)
and queues (`srv_queue`, `backend_queue`), `request` with `method`, `path` and `protocol`, `request_cookie`,
`response_cookie`, `more`, `request_headers`, `response_headers`, and of a syslog header `host`, `pid` and `time`.
Other lines have a `body`. The times name no zone: the option `time_zone` says which.
"""

import re
from collections.abc import Iterable, Sequence

from contract import Context, JsonValue, Processor, Record, Rows, each_record, timestamps
from contract.options import LocalTime

_SYSLOG = re.compile(
    r"(?:<\d{1,3}>)?(?P<time>\w{3} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) "
    r"(?:(?P<host>\S+) )?haproxy(?:\[(?P<pid>\d+)\])?: "
)
_START = (
    r"(?P<client_ip>\S+):(?P<client_port>\d+) "
    r"\[(?P<accepted>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] (?P<frontend>\S+)"
)
_COUNTS = r"(?P<counts>\+?\d+(?:/\+?\d+){4}) (?P<queues>\d+/\d+)"
_HTTP = re.compile(
    rf"{_START} (?P<backend>[^\s/]+)/(?P<server>\S+) (?P<timers>\+?-?\d+(?:/\+?-?\d+){{4}}) (?P<status>-?\d+)"
    r" \+?(?P<bytes_read>\d+) (?P<request_cookie>\S+) (?P<response_cookie>\S+)"
    rf" (?P<termination_state>\S{{4}}) {_COUNTS}"
    r'(?: \{(?P<request_headers>[^}]*)\})?(?: \{(?P<response_headers>[^}]*)\})? "(?P<request>[^"]*)"?(?P<more> .*)?',
    re.ASCII,
)
_TCP = re.compile(
    rf"{_START} (?P<backend>[^\s/]+)/(?P<server>\S+) (?P<timers>\+?-?\d+(?:/\+?-?\d+){{2}}) \+?(?P<bytes_read>\d+)"
    rf" (?P<termination_state>\S\S) {_COUNTS}(?P<more> .*)?",
    re.ASCII,
)
_ERROR = re.compile(rf"{_START}: (?P<body>.*)", re.ASCII)
_REQUEST = re.compile(r"([A-Z]+) (\S+)(?: (HTTP/[\d.]+))?", re.ASCII)
_TIMERS = {
    5: ("time_request_ms", "time_queue_ms", "time_connect_ms", "time_response_ms", "time_total_ms"),
    3: ("time_queue_ms", "time_connect_ms", "time_total_ms"),
}
_COUNT_NAMES = ("actconn", "feconn", "beconn", "srv_conn", "retries")


_REQUESTS = re.compile(
    r"^(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S++) haproxy\[(\d++)\]: "
    r"([^\s:]++):(\d{1,9}+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] (\S++) ([^\s/]++)/(\S++)"
    r" (-?\d{1,18}+)/(-?\d{1,18}+)/(-?\d{1,18}+)/(-?\d{1,18}+)/(\d{1,18}+) (-?\d{1,9}+) (\d{1,18}+)"
    r" (\S++) (\S++) (\S{4}) (\d{1,9}+)/(\d{1,9}+)/(\d{1,9}+)/(\d{1,9}+)/(\d{1,9}+) (\d{1,9}+)/(\d{1,9}+)"
    r' \{([^}\n]*+)\} \{([^}\n]*+)\} "(([A-Z]++) ([^\s"]++) (HTTP/[\d.]++))"$',
    re.ASCII | re.MULTILINE,
)
_ROW = (
    *("time", "host", "pid", "client_ip", "client_port", "timestamp", "frontend", "backend", "server", *_TIMERS[5]),
    *("status", "bytes_read", "request_cookie", "response_cookie", "termination_state", *_COUNT_NAMES),
    *("srv_queue", "backend_queue", "request_headers", "response_headers", "request", "method", "path", "protocol"),
)
_ROW_NUMBERS = ("client_port", *_TIMERS[5], "status", "bytes_read", *_COUNT_NAMES, "srv_queue", "backend_queue")


class Options(LocalTime):
    """The operator's `[plugins.options.haproxy]`."""


def parse(line: str, ctx: Context) -> Record | None:
    header = _SYSLOG.match(line)
    rest = line[header.end() :] if header else line
    found = _HTTP.fullmatch(rest) or _TCP.fullmatch(rest) or _ERROR.fullmatch(rest)
    if found is None and header is None:
        raise ValueError("no line that HAProxy writes")
    outer = {name: value for name, value in header.groupdict().items() if value} if header else {}
    if found is None:
        return {**outer, "body": rest}
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value is not None}
    record: dict[str, JsonValue] = {
        "timestamp": timestamps("%d/%b/%Y:%H:%M:%S", ctx.options.time_zone)[str(fields.pop("accepted"))]
    }
    _spread(fields)
    if request := _REQUEST.fullmatch(str(fields.get("request", ""))):
        fields |= dict(zip(("method", "path", "protocol"), request.groups(), strict=True))
    return {**record, **outer, **fields}


def _spread(fields: dict[str, JsonValue]) -> None:
    """Give each number of `a/b/c` its name."""
    timers = str(fields.pop("timers", "")).split("/")
    fields |= {name: int(value) for name, value in zip(_TIMERS.get(len(timers), ()), timers, strict=False)}
    if counts := fields.pop("counts", None):
        fields |= {name: int(value) for name, value in zip(_COUNT_NAMES, str(counts).split("/"), strict=True)}
        server, _, backend = str(fields.pop("queues")).partition("/")
        fields |= {"srv_queue": int(server), "backend_queue": int(backend)}
    fields |= {name: int(str(fields[name])) for name in ("status", "bytes_read", "client_port") if name in fields}


def at_once(text: str, ctx: Context) -> Rows | None:
    """Take lines that are all of requests, as syslog has them, without a number that says `more than`."""
    rows = _REQUESTS.findall(text)
    if len(rows) != text.count("\n") + 1:
        return None
    columns: dict[str, Sequence[str]] = dict(zip(_ROW, zip(*rows, strict=True), strict=True))
    times = timestamps("%d/%b/%Y:%H:%M:%S", ctx.options.time_zone)
    values: dict[str, Iterable[JsonValue]] = {
        **columns,
        "timestamp": [times[time] for time in columns["timestamp"]],
        **{name: map(int, columns[name]) for name in _ROW_NUMBERS},
    }
    return Rows(_ROW, zip(*values.values(), strict=True))


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
