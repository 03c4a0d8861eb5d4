# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "error_log"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The error logs of Apache httpd (2.2 and 2.4, ModSecurity) and of nginx."
#
# [tool.hostd.framing]
# kind = "multiline"
# start = '''(\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[)'''
#
# [tool.hostd.accepts]
# lines = """\
#   ^(\\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d(\\.\\d+)? \\d{4}\\] \\[[\\w-]*:?\\w+\\]\
#   |\\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d \\[(debug|info|notice|warn|error|crit|alert|emerg)\\] \\d+#\\d+:)"""
# priority = -22
#
# [[tool.hostd.samples]]
# name = "error.log"
# input = '''
# [Fri May 17 10:05:03.009964 2024] [core:error] [pid 60:tid 14] [client 192.0.2.7:377] AH00124: too many redirects
# [Fri May 17 10:05:04 2024] [notice] caught SIGTERM
# [Fri May 17 10:05:05.1 2024] [:warn] [pid 6] ModSecurity: Hit [id "92"] [tag "a"] [tag "b \"c\""]
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.009964Z", "severity_text": "error", "severity_number": 17,
#    "module": "core", "pid": "60", "tid": "14", "client": "192.0.2.7:377", "code": "AH00124",
#    "body": "too many redirects"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "severity_text": "notice", "severity_number": 10,
#    "body": "caught SIGTERM"}''',
#   '''{"timestamp": "2024-05-17T10:05:05.1Z", "severity_text": "warn", "severity_number": 13, "pid": "6",
#    "body": "ModSecurity: Hit [id \"92\"] [tag \"a\"] [tag \"b \\\"c\\\"\"]",
#    "details": {"id": "92", "tag": ["a", "b \\\"c\\\""]}}''',
# ]
#
# [[tool.hostd.samples]]
# name = "error.log"
# input = '''
# 2024/05/17 10:05:03 [error] 12#34: *56 open() "/x" failed, client: ::1, server: _, request: "GET / HTTP/1.1"
# 2024/05/17 10:05:04 [notice] 12#34: signal 15 (SIGTERM)
#   received
# 2024/05/17 10:05 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "severity_text": "error", "severity_number": 17, "pid": "12",
#    "tid": "34", "connection": "56", "body": "open() \"/x\" failed", "client": "::1",
#    "server": "_", "request": "GET / HTTP/1.1"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "severity_text": "notice", "severity_number": 10, "pid": "12",
#    "tid": "34", "body": "signal 15 (SIGTERM)\n  received\n2024/05/17 10:05 nothing"}''',
# ]
# ///
"""The error logs of Apache httpd and of nginx.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`, `pid`, `tid`, and where they are said `module`,
`code`, `client` (Apache), `connection`, `client`, `server`, `request`, `upstream`, `host`, `referrer` (nginx), and
in `details` what ModSecurity does (`action`), of what (`message`), and what it adds in brackets. The times name no
zone: the option `time_zone` says which. Lines that follow a message belong to it.
"""

import re

from contract import Context, JsonValue, Processor, Record, Rows, each_record, severity_number, timestamps
from contract.options import LocalTime

_APACHE = re.compile(
    r"\[(?P<time>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\] \[(?:(?P<module>[\w-]*):)?(?P<level>\w+)\] "
    r"(?:\[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\] )?(?:\[(?:client|remote) (?P<client>[^\]\s]+)\] )?"
    r"(?:(?P<code>AH\d{5}): )?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
_NGINX = re.compile(
    r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): "
    r"(?:\*(?P<connection>\d+) )?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
# `(?:…|)` is what `(?:…)?` is, in less time.
_APACHES = re.compile(
    r"^\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d(?:\.\d++|) \d{4})\] \[(?:([\w-]*):|)(\w++)\] "
    r"(?:\[pid (\d++)(?::tid (\d++)|)\] |)(?:\[(?:client|remote) ([^\]\s]++)\] |)(?:(AH\d{5}): |)(.*+)$",
    re.ASCII | re.MULTILINE,
)
_CONTEXT = re.compile(r', (client|server|request|subrequest|upstream|host|referrer|login): (?:"([^"]*)"|([^",\s]+))')
_RULE = re.compile(
    r"(?:\[client [^\]]*\] )?ModSecurity: (?P<action>[A-Z][^.]*)\. (?P<message>.*?)(?= \[file \"| \[id \"|$)"
)
_DETAIL = re.compile(r'\[(\w+) "([^"\\]*+(?:\\.[^"\\]*+)*)"\]')


class Options(LocalTime):
    """The operator's `[plugins.options.error_log]`."""


def parse(text: str, ctx: Context) -> Record:
    found = _APACHE.fullmatch(text) or _NGINX.fullmatch(text)
    if found is None:
        raise ValueError("a line of neither Apache's error log nor nginx's")
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value}
    notation = "%a %b %d %H:%M:%S %Y" if text[0] == "[" else "%Y/%m/%d %H:%M:%S"
    level, body = found["level"], found["body"]
    if text[0] == "[":
        rule = _RULE.match(body)
        details = {**(rule.groupdict() if rule else {}), **_details(body)}
        if details:
            fields["details"] = details
    else:
        context = list(_CONTEXT.finditer(body))
        fields |= {part[1]: part[2] if part[2] is not None else part[3] for part in context}
        body = body[: context[0].start()] if context else body
    del fields["time"], fields["level"]
    return {
        "timestamp": timestamps(notation, ctx.options.time_zone)[found["time"]],
        "severity_text": level,
        "severity_number": severity_number(level),
        **fields,
        "body": body,
    }


def at_once(text: str, ctx: Context) -> Rows | None:
    """Take lines that are all of Apache's, without details."""
    found = _APACHES.findall(text) if _APACHES.match(text) else []
    if len(found) != text.count("\n") + 1 or "ModSecurity" in text or ('"' in text and '"]' in text):
        return None
    times = timestamps("%a %b %d %H:%M:%S %Y", ctx.options.time_zone)
    rows = [
        (
            times[time],
            level,
            severity_number(level),
            module or None,
            pid or None,
            tid or None,
            client or None,
            code or None,
            body,
        )
        for time, module, level, pid, tid, client, code, body in found
    ]
    optional = ("module", "pid", "tid", "client", "code")
    return Rows(("timestamp", "severity_text", "severity_number", *optional, "body"), rows, optional=optional)


def _details(body: str) -> dict[str, JsonValue]:
    details: dict[str, list[JsonValue]] = {}
    for name, value in _DETAIL.findall(body):
        details.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in details.items()}


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
