# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "aws_vpc_flow"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "AWS VPC flow logs, of the default and of custom formats."
# framing = "lines"
# header = '[a-z]+(-[a-z]+)*( [a-z0-9]+(-[a-z0-9]+)*){5}'
#
# [tool.hostd.accepts]
# head = """\
#   \\A(version|account-id|([a-z0-9-]+ )*(interface-id|srcaddr|action|log-status)) [a-z]\
#   |^[2-9] (\\d{12}|unknown) eni-\\w+ """
# priority = -10
#
# [[tool.hostd.samples]]
# name = "flow.log"
# input = '''
# version account-id interface-id srcaddr dstaddr srcport start end action log-status tcp-flags
# 2 123456789010 eni-1235b8ca 192.0.2.7 10.0.0.1 20641 1715940303 1715940363 ACCEPT OK 19
# 2 123456789010 eni-1235b8ca - - - 1715940303 1715940363 - NODATA -
# 2 123456789010
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "version": 2, "account_id": "123456789010", "interface_id":
#    "eni-1235b8ca", "srcaddr": "192.0.2.7", "dstaddr": "10.0.0.1", "srcport": 20641, "start": 1715940303,
#    "end": 1715940363, "action": "ACCEPT", "log_status": "OK", "tcp_flags": 19}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "version": 2, "account_id": "123456789010", "interface_id":
#    "eni-1235b8ca", "srcaddr": null, "dstaddr": null, "srcport": null, "start": 1715940303, "end":
#    1715940363, "action": null, "log_status": "NODATA", "tcp_flags": null}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "default.log"
# input = "2 123456789010 eni-1235b8ca ::1 ::2 20641 22 6 20 4249 1715940303 1715940363 REJECT OK\n"
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "version": 2, "account_id": "123456789010", "interface_id":
#    "eni-1235b8ca", "srcaddr": "::1", "dstaddr": "::2", "srcport": 20641, "dstport": 22, "protocol": 6,
#    "packets": 20, "bytes": 4249, "start": 1715940303, "end": 1715940363, "action": "REJECT", "log_status":
#    "OK"}''',
# ]
# ///
"""AWS VPC flow logs: with a line that names the fields, or in the default format of version 2 without one.

Keys: `timestamp` (of `start`), and the fields by their names with underscores (`srcaddr`, `dstport`, `bytes`,
`action`, …); `-` is null, and ports, counts and times are integers.
"""

from collections.abc import Sequence

from contract import Context, JsonValue, Processor, Record, Rows, each_record, from_epoch

_DEFAULT = (
    *(
        "version",
        "account_id",
        "interface_id",
        "srcaddr",
        "dstaddr",
        "srcport",
        "dstport",
        "protocol",
        "packets",
        "bytes",
    ),
    *("start", "end", "action", "log_status"),
)
_INTEGERS = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "tcp_flags"}


def parse(line: str, ctx: Context) -> Record | None:
    names, values = _names(ctx), line.split()
    if len(values) != len(names):
        raise ValueError(f"expected {len(names)} fields, found {len(values)}")
    fields = {name: _value(name, value) for name, value in zip(names, values, strict=True)}
    start = fields.get("start")
    return {"timestamp": from_epoch(start), **fields} if isinstance(start, int) else fields


def at_once(text: str, ctx: Context) -> Rows | None:
    names, rows = _names(ctx), [line.split() for line in text.split("\n")]
    all_names = ["timestamp", *names]
    if "start" not in names or set(map(len, rows)) != {len(names)} or len(set(all_names)) != len(all_names):
        return None
    columns: dict[str, Sequence[JsonValue]] = {
        name: [_value(name, value) for value in values] if name in _INTEGERS or "-" in values else values
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    starts = [start for start in columns["start"] if isinstance(start, int)]
    if len(starts) != len(rows):
        return None
    return Rows(all_names, zip(map(from_epoch, starts), *columns.values(), strict=True))


def _names(ctx: Context) -> Sequence[str]:
    header = ctx.header.decode("utf-8", "backslashreplace").split()
    return [name.replace("-", "_") for name in header] or _DEFAULT


def _value(name: str, text: str) -> JsonValue:
    if text == "-":
        return None
    return int(text) if name in _INTEGERS else text


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
