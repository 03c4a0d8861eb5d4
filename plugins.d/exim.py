# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "exim"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Exim's main log and reject log."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   ^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(\\.\\d+)?( [+-]\\d{4})?( \\[\\d+\\])? \
#   (\\w{6}-\\w{6,11}-\\w{2,4} (<=|=>|->|>>|\\*>|\\*\\*|==|Completed)\
#   |\\w+ authenticator failed for |H=\\S+ |(Start|End) queue run)"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "mainlog"
# input = '''
# 2024-05-17 12:05:03 +0200 [77] 1oO0Oo-0001Xx-AB <= dana@example.com H=(laptop) [192.0.2.7]:5 P=esmtps T="two words"
# 2024-05-17 10:05:04 1oO0Oo-0001Xx-AB => bob <bob@example.org> R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.8]
# 2024-05-17 10:05:04 1oO0Oo-0001Xx-AB Completed
# 2024-05-17 10:05:04 H=(h) [192.0.2.9] F=<a@example.com> rejected RCPT <b@example.org>: no
# 2024-05-17 10:05:05 login authenticator failed for (h) [192.0.2.9]:55: 535 Incorrect data (set_id=x@example.com)
# nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "pid": "77", "message_id": "1oO0Oo-0001Xx-AB", "body":
#    "<= dana@example.com H=(laptop) [192.0.2.7]:5 P=esmtps T=\"two words\"", "flag": "<=", "address":
#    "dana@example.com", "helo": "laptop", "client_ip": "192.0.2.7", "client_port": "5", "fields": {"H":
#    "(laptop)", "P": "esmtps", "T": "two words"}}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "message_id": "1oO0Oo-0001Xx-AB", "body":
#    "=> bob <bob@example.org> R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.8]", "flag": "=>",
#    "address": "bob", "host": "mx.example.org", "client_ip": "192.0.2.8", "fields": {"R": "dnslookup", "T":
#    "remote_smtp", "H": "mx.example.org"}}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "message_id": "1oO0Oo-0001Xx-AB", "body": "Completed"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "body":
#    "H=(h) [192.0.2.9] F=<a@example.com> rejected RCPT <b@example.org>: no", "helo": "h", "client_ip": "192.0.2.9",
#    "recipient": "b@example.org", "fields": {"H": "(h)", "F": "<a@example.com>"}}''',
#   '''{"timestamp": "2024-05-17T10:05:05Z", "body":
#    "login authenticator failed for (h) [192.0.2.9]:55: 535 Incorrect data (set_id=x@example.com)", "helo":
#    "h", "client_ip": "192.0.2.9", "client_port": "55", "authenticator": "login", "set_id":
#    "x@example.com"}''',
# ]
# rejected = 1
# ///
"""Exim's main log and reject log.

Keys: `timestamp`, `body` (all that follows the time, the pid and the message's id), and where they are said `pid`,
`message_id`, `flag` (`<=` arrival, `=>` delivery, `**` failure, `==` deferral, …), `address`, `host`, `helo`,
`client_ip`, `client_port`, `set_id`, `authenticator`, `recipient`, `sender`, `acl`, and in `fields` what is written
as `K=value`. A time without a zone is of the option `time_zone`.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?)(?: \[(?P<pid>\d+)\])?"
    r"(?: (?P<message_id>\w{6}-\w{6,11}-\w{2,4}))? (?P<body>(?:(?P<flag><=|=>|->|>>|\*>|\*\*|==) (?P<address>\S+))?.*)",
    re.ASCII,
)
_FIELD = re.compile(r'(?<![^ ])([A-Z]{1,4})=(?:"((?:[^"\\]|\\.)*)"|(\S+))', re.ASCII)
_CLIENT = re.compile(r"(?:H=| for )(?:([^\s(\[]+) )?(?:\(([^)]*)\) )?\[([\da-fA-F.:]+)\](?::(\d+))?", re.ASCII)
_SAID = re.compile(
    r"\brejected RCPT <(?P<recipient>[^<>]*)>|\bsender verify fail for <(?P<sender>[^<>]*)>"
    r'|\bin "(?P<acl>[^"]*)" ACL\b|^(?P<authenticator>\w+) authenticator failed\b',
    re.ASCII,
)
_SET_ID = re.compile(r"\(set_id=([^)]*)\)")


class Options(LocalTime):
    """The operator's `[plugins.options.exim]`."""


def parse(line: str, ctx: Context) -> Record | None:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("not TIME [PID] MESSAGE-ID …")
    fields: dict[str, JsonValue] = {name: value for name, value in found.groupdict().items() if value}
    body = str(fields.get("body", ""))
    if client := _CLIENT.search(body):
        names = ("host", "helo", "client_ip", "client_port")
        fields |= {name: value for name, value in zip(names, client.groups(), strict=True) if value}
    for said in _SAID.finditer(body):
        fields |= {name: value for name, value in said.groupdict().items() if value}
    if set_id := _SET_ID.search(body):
        fields["set_id"] = set_id[1]
    if pairs := {name: quoted or bare for name, quoted, bare in _FIELD.findall(body)}:
        fields["fields"] = pairs
    return {"timestamp": timestamps("%Y-%m-%d %H:%M:%S %z", ctx.options.time_zone)[str(fields.pop("time"))], **fields}


def new_processor() -> Processor:
    return each_record(parse)
