# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "aws_elb"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Access logs of AWS load balancers: application, network and classic ones."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = """\
#   ^((http|https|h2|ws|wss|grpcs|tls \\d\\.\\d) )?\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z? [\\w./-]+ (\\w+ )?\
#   [\\da-f.:]+:\\d+ \\S+ [\\d.-]+ [\\d.-]+ """
# priority = -10
#
# [[tool.hostd.samples]]
# name = "elb.log"
# input = """\
# h2 2024-05-17T10:05:03.948827Z app/shop/49 192.0.2.7:447 10.0.0.66:9000 0.000 0.002 0.001 200 - 5 257 \
# "GET https://example.com:443/ HTTP/2.0" "curl/7" ECDHE-RSA TLSv1.2 arn:aws:x "Root=1-58337327" "example.com" "-" \
# 1 2024-05-17T10:05:02.372000Z "forward" "-" "-" "10.0.0.66:9000" "200" "-" "-" TID_1 "new"
# 2024-05-17T10:05:04.1Z shop 192.0.2.7:28 - -1 -1 -1 503 0 0 0 "GET http://example.com:80/ HTTP/1.1" "curl" - -
# tls 2.0 2024-05-17T10:05:05 net/shop/c6 g3 192.0.2.7:51 10.0.0.1:443 5 2 98 246 - arn:aws - ECDHE tlsv12 - n - - -
# 2024-05-17T10:05:05Z shop
# """
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.948827Z", "type": "h2", "elb": "app/shop/49", "client":
#    "192.0.2.7:447", "target": "10.0.0.66:9000", "request_processing_time": 0.0, "target_processing_time":
#    0.002, "response_processing_time": 0.001, "elb_status_code": 200, "target_status_code": null,
#    "received_bytes": 5, "sent_bytes": 257, "request": "GET https://example.com:443/ HTTP/2.0", "user_agent":
#    "curl/7", "ssl_cipher": "ECDHE-RSA", "ssl_protocol": "TLSv1.2", "target_group_arn": "arn:aws:x",
#    "trace_id": "Root=1-58337327", "domain_name": "example.com", "chosen_cert_arn": null,
#    "matched_rule_priority": "1", "request_creation_time": "2024-05-17T10:05:02.372000Z", "actions_executed":
#    "forward", "redirect_url": null, "error_reason": null, "target_list": "10.0.0.66:9000",
#    "target_status_code_list": "200", "classification": null, "classification_reason": null, "conn_trace_id":
#    "TID_1", "field_31": "new"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.1Z", "elb": "shop", "client": "192.0.2.7:28", "backend": null,
#    "request_processing_time": -1.0, "backend_processing_time": -1.0, "response_processing_time": -1.0,
#    "elb_status_code": 503, "backend_status_code": 0, "received_bytes": 0, "sent_bytes": 0, "request":
#    "GET http://example.com:80/ HTTP/1.1", "user_agent": "curl", "ssl_cipher": null, "ssl_protocol": null}''',
#   '''{"timestamp": "2024-05-17T10:05:05Z", "type": "tls", "version": "2.0", "elb": "net/shop/c6", "listener":
#    "g3", "client": "192.0.2.7:51", "target": "10.0.0.1:443", "connection_time_ms": 5,
#    "tls_handshake_time_ms": 2, "received_bytes": 98, "sent_bytes": 246, "incoming_tls_alert": null,
#    "chosen_cert_arn": "arn:aws", "chosen_cert_serial": null, "tls_cipher": "ECDHE", "tls_protocol_version":
#    "tlsv12", "tls_named_group": null, "domain_name": "n", "alpn_fe_protocol": null, "alpn_be_protocol":
#    null, "alpn_client_preference_list": null}''',
# ]
# rejected = 1
# ///
"""Access logs of AWS Elastic Load Balancing: of application, network (TLS) and classic load balancers.

Keys: `timestamp`, and the fields by their names in Amazon's manual with underscores (`elb`, `client`, `target` or
`backend`, `request_processing_time`, `elb_status_code`, `request`, `user_agent`, …); `-` is null, times are numbers
of seconds, statuses and bytes integers. Fields that were added since are `field_31` and so on.
"""

import re
from collections.abc import Sequence

from contract import Context, JsonValue, Processor, Record, Rows, each_record, timestamps

_TOKEN = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*)"|(\S+)')
_CLASSIC = (
    *("time", "elb", "client", "backend", "request_processing_time", "backend_processing_time"),
    *("response_processing_time", "elb_status_code", "backend_status_code", "received_bytes", "sent_bytes"),
    *("request", "user_agent", "ssl_cipher", "ssl_protocol"),
)
_APPLICATION = (
    *("type", "time", "elb", "client", "target", "request_processing_time", "target_processing_time"),
    *("response_processing_time", "elb_status_code", "target_status_code", "received_bytes", "sent_bytes"),
    *("request", "user_agent", "ssl_cipher", "ssl_protocol", "target_group_arn", "trace_id", "domain_name"),
    *("chosen_cert_arn", "matched_rule_priority", "request_creation_time", "actions_executed", "redirect_url"),
    *("error_reason", "target_list", "target_status_code_list", "classification", "classification_reason"),
    "conn_trace_id",
)
_NETWORK = (
    *("type", "version", "time", "elb", "listener", "client", "target", "connection_time_ms", "tls_handshake_time_ms"),
    *("received_bytes", "sent_bytes", "incoming_tls_alert", "chosen_cert_arn", "chosen_cert_serial", "tls_cipher"),
    *("tls_protocol_version", "tls_named_group", "domain_name", "alpn_fe_protocol", "alpn_be_protocol"),
    *("alpn_client_preference_list", "tls_connection_creation_time"),
)
_LEAST_TOKENS = 12
_QUOTED = (
    *("request", "user_agent", "trace_id", "domain_name", "chosen_cert_arn", "actions_executed", "redirect_url"),
    *("error_reason", "target_list", "target_status_code_list", "classification", "classification_reason"),
)
_FIELDS = (r'"([^"\\\n]*+)"' if name in _QUOTED else r'([^\s"]++)' for name in _APPLICATION[1:])
_NUMBERS = ("_processing_time", "_status_code", "_bytes")
_LINES = re.compile(rf"^(h2|https?|wss?|grpcs) {' '.join(_FIELDS)}$", re.MULTILINE | re.ASCII)


def parse(line: str, _ctx: Context) -> Record | None:
    tokens = [bare or quoted for quoted, bare in _TOKEN.findall(line)]
    if len(tokens) < _LEAST_TOKENS:
        raise ValueError(f"expected at least {_LEAST_TOKENS} fields, found {len(tokens)}")
    names: tuple[str, ...] = _CLASSIC if tokens[0][0].isdigit() else _NETWORK if tokens[0] == "tls" else _APPLICATION
    names = (*names, *(f"field_{number}" for number in range(len(names) + 1, len(tokens) + 1)))
    fields = {name: _value(name, token) for name, token in zip(names, tokens, strict=False)}
    return {"timestamp": timestamps("%Y-%m-%dT%H:%M:%S%z")[str(fields.pop("time"))], **fields}


def at_once(text: str, _ctx: Context) -> Rows | None:
    """Take lines that are all of application load balancers, in the ordinary form."""
    rows = _LINES.findall(text) if _LINES.match(text) else []
    if len(rows) != text.count("\n") + 1:
        return None
    columns: dict[str, Sequence[str]] = dict(zip(_APPLICATION, zip(*rows, strict=True), strict=True))
    times = timestamps("%Y-%m-%dT%H:%M:%S%z")
    begun = [times[time] for time in columns.pop("time")]
    values = (
        [_value(name, value) for value in column] if name.endswith(_NUMBERS) or "-" in column else column
        for name, column in columns.items()
    )
    return Rows(("timestamp", *columns), zip(begun, *values, strict=True))


def _value(name: str, text: str) -> JsonValue:
    if text == "-":
        return None
    if name.endswith("_processing_time"):
        return float(text)
    if name.endswith(("_status_code", "_bytes", "_time_ms")) and text.isdecimal():
        return int(text)
    return text


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
