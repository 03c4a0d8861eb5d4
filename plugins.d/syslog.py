# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "syslog"
# version = "2.0.0"
# contract = ">=1.0,<2"
# summary = "Syslog: RFC 5424, RFC 3164, and the files that syslogd and rsyslog write."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   ^(\\xef\\xbb\\xbf)?\
#   (<\\d{1,3}>1 (-|\\d{4}-)\
#   |(<\\d{1,3}>)?\
#     ((Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \\d]?\\d( \\d{4})? \\d\\d:\\d\\d:\\d\\d(\\.\\d+)?\
#     |\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)\
#     ) \\S+ [^\\s:\\[]+(\\[[^\\]\\n]*\\])?:\
#   )"""
# priority = -30
#
# [[tool.hostd.samples]]
# input = '''
# <165>1 2003-10-11T22:14:15.003Z host.example.com app 8710 ID47 [note@32473 iut="3" said="\"hi\""] An event
# <34>Oct 11 22:14:15 host su[231]: 'su root' failed
# 2024-05-17T10:05:03.5+02:00 host sshd[77]: Accepted publickey for dana from 192.0.2.7 port 5022 ssh2
# <34>nothing else
# '''
# rejected = 1
#
# [[tool.hostd.samples.records]]
# timestamp = "2003-10-11T22:14:15.003Z"
# severity_text = "notice"
# severity_number = 10
# facility = "local4"
# hostname = "host.example.com"
# appname = "app"
# procid = "8710"
# msgid = "ID47"
# structured_data = { "note@32473" = { iut = "3", said = '"hi"' } }
# body = "An event"
#
# [[tool.hostd.samples.records]]
# time = "Oct 11 22:14:15"
# severity_text = "crit"
# severity_number = 18
# facility = "auth"
# hostname = "host"
# appname = "su"
# procid = "231"
# body = "'su root' failed"
#
# [[tool.hostd.samples.records]]
# timestamp = "2024-05-17T08:05:03.5Z"
# hostname = "host"
# appname = "sshd"
# procid = "77"
# body = "Accepted publickey for dana from 192.0.2.7 port 5022 ssh2"
# details = { result = "Accepted", method = "publickey", user = "dana", ip = "192.0.2.7", port = 5022 }
# ///
"""Syslog: RFC 5424, RFC 3164, and what syslogd and rsyslog write to files, which has no priority.

Keys: `timestamp`, `severity_text`, `severity_number`, `facility`, `hostname`, `appname`, `procid`, `msgid`,
`structured_data`, `body`, and `details` of what sshd, PAM, sudo, Postfix and the kernel's firewall say. A field
that a message does not have is left out. An indented line goes on with the message before it: it has `body`, and
`continued`, which is true; to wait for it would hold up every message. The times of RFC 3164 have no zone and
mostly no year: without the option `year` one without a year stays as it is written, such as `Oct 11 22:14:15`, as
`time`, because any completion would be a guess. `severity_number` is OpenTelemetry's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from contract import SYSLOG_SEVERITIES, Context, JsonValue, Record, Rows, timestamps
from contract.options import LocalYear

_DATE_TIME = (
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
    r"(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_LINES_IN_A_PIECE = 32
_LEVELS = "EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG"

_PRIORITY = re.compile(r"<(\d{1,3})>", re.ASCII)
# What is repeated is possessive, the groups are not: Python 3.11.2 can leave a possessive group half matched.
_ELEMENTS = r'(?:\[[^\s\]"]++(?: [^\s=\]"]++="[^"\\\]\n]*+(?:\\.[^"\\\]\n]*+)*")*\])+'
_RFC_5424 = re.compile(
    rf"1 (?:-|(?P<timestamp>{_DATE_TIME})) (?:-|(?P<hostname>\S+)) (?:-|(?P<appname>\S+))"
    r" (?:-|(?P<procid>\S+)) (?:-|(?P<msgid>\S+))"
    rf" (?:-|(?P<structured_data>{_ELEMENTS}))"
    r"(?: \ufeff?(?P<body>.*))?",
    re.ASCII | re.DOTALL,
)
# The level in the place of the host name is Chrome OS's.
_RFC_3164 = re.compile(
    rf"(?P<timestamp>(?:{_MONTHS}) [ \d]?\d(?: \d{{4}})? \d\d:\d\d:\d\d(?:\.\d+)?|{_DATE_TIME})"
    rf"(?:: | (?:(?P<level>{_LEVELS}) |(?P<hostname>[^\s\[]+?)(?:: | (?!$)))?)"
    r"(?:(?P<appname>[^\s:\[]+)(?:\[(?P<procid>[^\]\s]*)\])?:(?: |$))?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_REST = rf" (?!(?:{_LEVELS}) )([^\s:\[]++) ([^\s:\[]++)(?:\[([^\]\s]++)\]|): (.*+)$"
_ORDINARY_5424 = re.compile(
    rf"^<(\d{{1,3}})>1 (-|{_DATE_TIME}) (\S++) (\S++) (\S++) (\S++) (-|{_ELEMENTS})(| .*+)$", re.ASCII | re.MULTILINE
)
_ELEMENT = re.compile(r'\[([^\s\]"]++)((?: [^\s=\]"]++="[^"\\\]]*+(?:\\.[^"\\\]]*+)*")*)\]')
_PARAMETER = re.compile(r' ([^\s=\]"]++)="([^"\\\]]*+(?:\\.[^"\\\]]*+)*)"')
_ESCAPE = re.compile(r'\\(["\\\]])')

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)
_PRIORITIES = {
    str(8 * facility + severity): (*SYSLOG_SEVERITIES[severity], name)
    for facility, name in enumerate(_FACILITIES)
    for severity in range(8)
}
_OF_PRIORITY = ["severity_text", "severity_number", "facility"]
_OF_RFC_5424 = ["hostname", "appname", "procid", "msgid", "structured_data", "body"]
_OF_RFC_3164 = ["hostname", "appname", "procid", "body"]
_Row = tuple[JsonValue, ...]

_PAIR = re.compile(r"(?<![^\s,;(])([A-Za-z][\w-]*)=(<[^>\s]*>|[^\s,;]*)")
_OF_PAIRS = re.compile(
    r"pam_\w+\(|[^=]*\bIN=\S* OUT=|[\dA-Za-z]{6,20}: (?:to|from|client|message-id|uid|orig_to)="
    r"|NOQUEUE: |\s*\S+ : (?:.* ; )?TTY="
)
"""The messages of PAM, the kernel's firewall, Postfix and sudo that are of `name=value`."""
_QUEUE_ID = re.compile(r"([\dA-F]{6,15}|[\dB-Zb-z]{10,20}): ", re.ASCII)
_SSH_RESULT = re.compile(r"(Accepted|Failed) (\S+) for ")
_SSH_USER = re.compile(r"\b[Uu]ser (\S+) (?:from )?(?=[\da-f])|\bfor (?:invalid user )?(\S+) from ")
_SSH_CLIENT = re.compile(
    r"\b(?:from|for|by|with|user \S+) (?:\S+ \()?([\da-fA-F]*[.:][\da-fA-F.:]+)(?: port (\d+))?", re.ASCII
)


class Options(LocalYear):
    """The operator's `[plugins.options.syslog]`."""


class SyslogProcessor:
    """Parses a batch in one pass where all lines are as syslogd writes them; else piece by piece, or line by line."""

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        records = _at_once(data, ctx.options)
        return records if records is not None else self._pieces(data.split(b"\n"), ctx)

    def _pieces(self, lines: list[bytes], ctx: Context) -> Iterator[Record]:
        for start in range(0, len(lines), _LINES_IN_A_PIECE):
            piece = lines[start : start + _LINES_IN_A_PIECE]
            records = _at_once(b"\n".join(piece), ctx.options)
            yield from records if records is not None else self._line_by_line(piece, ctx)

    def _line_by_line(self, lines: list[bytes], ctx: Context) -> Iterator[Record]:
        for raw in lines:
            line = raw.decode("utf-8", "backslashreplace").removesuffix("\r").removeprefix("\ufeff")
            if not line.strip():
                continue
            try:
                yield _record(line, ctx.options)
            except ValueError as error:
                ctx.reject(raw, str(error))


def _at_once(data: bytes, options: Options) -> Rows | None:
    """Return a row for each line when all are of one ordinary form, None otherwise."""
    text = data.decode("utf-8", "backslashreplace")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    start = text.find(">", 0, 5) + 1 if text.startswith("<") else 0
    is_5424 = start > 0 and text.startswith("1 ", start)
    form = _ORDINARY_5424 if is_5424 else _ordinary(start > 0, text[start : start + 1].isdecimal())
    found = form.findall(text)
    if not found or len(found) != text.count("\n") + (not text.endswith("\n")):
        return None
    try:
        rows = _rows_5424(found) if is_5424 else _rows(found, options)
    except (ValueError, KeyError):  # an impossible time or priority, which costs its own line only
        return None
    if is_5424:
        names = ["timestamp", *_OF_PRIORITY, *_OF_RFC_5424]
        optional = ["timestamp", *_OF_RFC_5424]
    else:
        is_dated = found[0][1][0].isdecimal() or options.year is not None
        names = ["timestamp" if is_dated else "time", *(_OF_PRIORITY if start else []), *_OF_RFC_3164]
        optional = ["procid"]
    program = names.index("appname")
    if "=" in text or any(str(row[program]).startswith("sshd") for row in rows):
        rows = [(*row, _details(row[program] or "", row[-1] or "") or None) for row in rows]  # type: ignore[arg-type]
        names, optional = [*names, "details"], [*optional, "details"]
    return Rows(names, rows, optional=optional)


@cache
def _ordinary(has_priority: bool, is_iso: bool) -> re.Pattern[str]:
    """Return an expression for lines of RFC 3164 as most are: few logs have more than one of the four forms."""
    priority = r"<(\d{1,3})>" if has_priority else "()"
    time = _DATE_TIME if is_iso else rf"(?:{_MONTHS}) [ \d]\d \d\d:\d\d:\d\d"
    return re.compile(f"^{priority}({time}){_REST}", re.ASCII | re.MULTILINE)


def _rows(found: list[tuple[str, ...]], options: Options) -> list[_Row]:
    """Return what lines of RFC 3164 say. Raises ValueError and KeyError."""
    times: Mapping[str, str] | None = None
    if found[0][1][0].isdecimal():
        times = timestamps("%Y-%m-%dT%H:%M:%S%z")
    elif options.year is not None:
        times = timestamps("%b %d %H:%M:%S", options.time_zone, options.year)
    if found[0][0]:
        return [
            (stamp if times is None else times[stamp], *_PRIORITIES[priority], host, program, procid or None, body)
            for priority, stamp, host, program, procid, body in found
        ]
    return [
        (stamp if times is None else times[stamp], host, program, procid or None, body)
        for _, stamp, host, program, procid, body in found
    ]


def _rows_5424(found: list[tuple[str, ...]]) -> list[_Row]:
    """Return what lines of RFC 5424 say. Raises ValueError and KeyError."""
    times = timestamps("%Y-%m-%dT%H:%M:%S%z")
    return [
        (
            None if stamp == "-" else times[stamp],
            *_PRIORITIES[priority],
            None if host == "-" else host,
            None if program == "-" else program,
            None if procid == "-" else procid,
            None if msgid == "-" else msgid,
            None if elements == "-" else _structured(elements),
            rest[1:].removeprefix("\ufeff") if rest else None,
        )
        for priority, stamp, host, program, procid, msgid, elements, rest in found
    ]


def _record(line: str, options: Options) -> dict[str, JsonValue]:
    priority = _PRIORITY.match(line)
    start = priority.end() if priority is not None else 0
    found = _RFC_5424.fullmatch(line, start) if priority is not None else None
    found = found or _RFC_3164.fullmatch(line, start)
    if found is None and line[0] in " \t":
        return {"body": line.strip(), "continued": True}
    if found is None:
        raise ValueError("neither RFC 5424 nor RFC 3164")
    fields = found.groupdict()
    record: dict[str, JsonValue] = _time(fields.pop("timestamp"), options)
    level = fields.pop("level", None)
    if level is not None:
        record |= _severity(_LEVELS.split("|").index(level))
    if priority is not None:
        told = _PRIORITIES.get(str(int(priority[1])))
        if told is None:
            raise ValueError(f"priority {priority[1]} is over 191")
        record |= dict(zip(_OF_PRIORITY, told, strict=True))
    record |= fields
    elements = fields.get("structured_data")
    if elements is not None:
        record["structured_data"] = _structured(elements)
    record["details"] = _details(fields.get("appname") or "", fields.get("body") or "") or None
    return {name: value for name, value in record.items() if value is not None}


def _time(text: str | None, options: Options) -> dict[str, JsonValue]:
    if text is None:
        return {}
    if text[0].isdigit():
        return {"timestamp": timestamps("%Y-%m-%dT%H:%M:%S%z")[text]}
    if len(text.split()) == 4:
        return {"timestamp": timestamps("%b %d %Y %H:%M:%S", options.time_zone)[text]}
    if options.year is None:
        return {"time": text}
    return {"timestamp": timestamps("%b %d %H:%M:%S", options.time_zone, options.year)[text]}


def _severity(severity: int) -> dict[str, JsonValue]:
    text, number = SYSLOG_SEVERITIES[severity]
    return {"severity_text": text, "severity_number": number}


def _details(program: str, body: str) -> dict[str, JsonValue]:
    if "=" in body and _OF_PAIRS.match(body):
        pairs: dict[str, JsonValue] = {name: value.strip("<>") for name, value in _PAIR.findall(body)}
        if queue_id := _QUEUE_ID.match(body):
            pairs["queue_id"] = queue_id[1]
        return pairs | ({"COMMAND": body.partition("COMMAND=")[2]} if "COMMAND" in pairs else {})
    details: dict[str, JsonValue] = {}
    if program.startswith("sshd"):
        if found := _SSH_RESULT.match(body):
            details |= {"result": found[1], "method": found[2]}
        if found := _SSH_USER.search(body):
            details["user"] = found[1] or found[2]
        if found := _SSH_CLIENT.search(body):
            details["ip"] = found[1]
            details |= {"port": int(found[2])} if found[2] else {}
    return details


def _structured(elements: str) -> dict[str, JsonValue]:
    structured: dict[str, JsonValue] = {}
    for element_id, parameters in _ELEMENT.findall(elements):
        values: dict[str, list[JsonValue]] = {}
        for name, value in _PARAMETER.findall(parameters):
            values.setdefault(name, []).append(_ESCAPE.sub(r"\1", value))
        # A name may occur more than once in an element, such as `ip` in RFC 5424's own `origin`.
        structured[element_id] = {name: given[0] if len(given) == 1 else given for name, given in values.items()}
    return structured


def new_processor() -> SyslogProcessor:
    return SyslogProcessor()
