# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "ids_alert"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Alerts of Snort and Suricata, one a line (fast.log, alert_fast)."
# framing = "lines"
#
# [tool.hostd.accepts]
# head = '^\d\d/\d\d(/\d\d(\d\d)?)?-\d\d:\d\d:\d\d\.\d+ +(\[\w+\] )?\[\*\*\] \[\d+:\d+:\d+\] '
# priority = -20
#
# [[tool.hostd.samples]]
# name = "fast.log"
# input = '''
# 05/17/2024-10:05:03.66  [**] [1:2009:4] ET [x] [**] [Classification: A] [Priority: 3] {TCP} 192.0.2.7:8 -> 10.0.0.1:5
# 05/17-10:05:04.5 [**] [1:366:11] "PING" [**] [Priority: 3] {ICMP} 2001:db8::1 -> 2001:db8::2
# 05/17/2024-10:05:05 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.66Z", "rule": "1:2009:4", "classification": "A", "priority": 3,
#    "protocol": "TCP", "source_ip": "192.0.2.7", "source_port": 8, "destination_ip": "10.0.0.1",
#    "destination_port": 5, "body": "ET [x]"}''',
#   '''{"time": "05/17-10:05:04.5", "rule": "1:366:11", "priority": 3, "protocol": "ICMP", "source_ip":
#    "2001:db8::1", "destination_ip": "2001:db8::2", "body": "PING"}''',
# ]
# rejected = 1
# ///
"""Alerts of Snort and Suricata, one a line.

Keys: `timestamp`, `body` (the rule's message), `rule` (generator, signature, revision), `priority`, `protocol`,
`source_ip`, `destination_ip`, and where they are said `action` (`Drop`), `classification`, `application`,
`source_port`, `destination_port`. The times name no zone, and Snort's no year: the options `time_zone` and `year` say
which; without `year` such a time stays as it is written, as `time`.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalYear

_LINE = re.compile(
    r"(?P<time>\d\d/\d\d(?P<year>/\d\d(?:\d\d)?)?-\d\d:\d\d:\d\d\.\d{1,9}) +(?:\[(?P<action>\w+)\] )?"
    r"\[\*\*\] \[(?P<rule>\d+:\d+:\d+)\] (?P<body>.*?) \[\*\*\] (?:\[Classification: (?P<classification>[^\]]*)\] )?"
    r"(?:\[Priority: (?P<priority>\d{1,9})\] )?(?:\[AppID: (?P<application>[^\]]*)\] )?"
    r"\{(?P<protocol>[^}]*)\} (?P<source>\S+) -> (?P<destination>\S+) *",
    re.ASCII,
)
_NOTATIONS = {0: "%m/%d-%H:%M:%S", 3: "%y/%m/%d-%H:%M:%S", 5: "%m/%d/%Y-%H:%M:%S"}
_WITH_PORTS = {"TCP", "UDP", "SCTP", "006", "017"}
"""In whose alerts an address of IPv6 has a port after its last colon."""


class Options(LocalYear):
    """The operator's `[plugins.options.ids_alert]`."""


def parse(line: str, ctx: Context) -> Record:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("not TIME [**] [RULE] MESSAGE [**] … {PROTOCOL} SOURCE -> DESTINATION")
    year = len(found["year"] or "")
    if year or ctx.options.year is not None:
        times = timestamps(_NOTATIONS[year], ctx.options.time_zone, None if year else ctx.options.year)
        record: dict[str, JsonValue] = {"timestamp": times[found["time"]]}
    else:
        record = {"time": found["time"]}
    record |= {name: found[name] for name in ("action", "rule", "classification", "application") if found[name]}
    record |= {"priority": int(found["priority"])} if found["priority"] else {}
    record["protocol"] = found["protocol"]
    for side in ("source", "destination"):
        record |= _endpoint(side, found[side], found["protocol"])
    return {**record, "body": _unquoted(found["body"])}


def _endpoint(side: str, text: str, protocol: str) -> dict[str, JsonValue]:
    address, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and len(port) <= 5 and (":" not in address or protocol in _WITH_PORTS):
        return {f"{side}_ip": address.strip("[]"), f"{side}_port": int(port)}
    return {f"{side}_ip": text}


def _unquoted(message: str) -> str:
    return message[1:-1] if len(message) > 1 and message[0] == message[-1] == '"' else message


def new_processor() -> Processor:
    return each_record(parse)
