# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "aws_s3"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Server access logs of Amazon S3."
# framing = "lines"
#
# [tool.hostd.accepts]
# lines = '^[0-9a-f]{64} \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] \S+ \S+ [0-9A-Z]{16} \w+\.'
# priority = -10
#
# [[tool.hostd.samples]]
# name = "2024-05-17-10-05-03-3E57427F3E"
# input = """\
# 79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be shop [17/May/2024:12:05:03 +0200] 192.0.2.3 \
# arn:aws:iam::1:user/dana 3E57427F3EXAMPLE REST.GET.OBJECT a.png "GET /shop/a.png HTTP/1.1" 200 - 113 462 7 3 \
# "-" "S3Console/0.4" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtj5mKR3/eTPFvsiP/XV/VLi31234= SigV4 ECDHE \
# AuthHeader shop.s3.amazonaws.com TLSV1.2 - -
# 79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be shop
# """
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "bucket_owner":
#    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be", "bucket": "shop", "remote_ip":
#    "192.0.2.3", "requester": "arn:aws:iam::1:user/dana", "request_id": "3E57427F3EXAMPLE", "operation":
#    "REST.GET.OBJECT", "key": "a.png", "request_uri": "GET /shop/a.png HTTP/1.1", "http_status": 200,
#    "error_code": null, "bytes_sent": 113, "object_size": 462, "total_time_ms": 7, "turn_around_time_ms": 3,
#    "referer": null, "user_agent": "S3Console/0.4", "version_id": null, "host_id":
#    "s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtj5mKR3/eTPFvsiP/XV/VLi31234=", "signature_version":
#    "SigV4", "cipher_suite": "ECDHE", "authentication_type": "AuthHeader", "host_header":
#    "shop.s3.amazonaws.com", "tls_version": "TLSV1.2", "access_point_arn": null, "acl_required": null}''',
# ]
# rejected = 1
# ///
"""Server access logs of Amazon S3.

Keys: `timestamp`, and the fields by their names in Amazon's manual with underscores (`bucket`, `remote_ip`,
`requester`, `operation`, `key`, `request_uri`, `http_status`, `bytes_sent`, …); `-` is null, statuses, bytes and
milliseconds are integers. Fields that were added since are `field_27` and so on.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from contract import Context, JsonValue, Processor, Record, Rows, each_record, timestamps

_TOKEN = re.compile(r'"([^"]*)"(?= |$)|\[([^\]\s]* [^\]\s]*)\]|(\S+)')
_NAMES = (
    *("bucket_owner", "bucket", "time", "remote_ip", "requester", "request_id", "operation", "key", "request_uri"),
    *("http_status", "error_code", "bytes_sent", "object_size", "total_time_ms", "turn_around_time_ms", "referer"),
    *("user_agent", "version_id", "host_id", "signature_version", "cipher_suite", "authentication_type", "host_header"),
    *("tls_version", "access_point_arn", "acl_required"),
)
_INTEGERS = {"http_status", "bytes_sent", "object_size", "total_time_ms", "turn_around_time_ms"}
_QUOTED = {"request_uri", "referer", "user_agent"}
_LEAST_TOKENS = 17


def parse(line: str, _: Context) -> Record | None:
    tokens = [quoted or bracketed or bare for quoted, bracketed, bare in _TOKEN.findall(line)]
    if len(tokens) < _LEAST_TOKENS:
        raise ValueError(f"expected at least {_LEAST_TOKENS} fields, found {len(tokens)}")
    names = [*_NAMES, *(f"field_{number}" for number in range(len(_NAMES) + 1, len(tokens) + 1))]
    fields = {name: _value(name, token) for name, token in zip(names, tokens, strict=False)}
    return {"timestamp": timestamps("%d/%b/%Y:%H:%M:%S %z")[str(fields.pop("time"))], **fields}


def at_once(text: str, _: Context) -> Rows | None:
    """Take lines that have as many fields as the first, in the ordinary form."""
    tokens = len(_TOKEN.findall(text[: text.find("\n") if "\n" in text else len(text)]))
    if not _LEAST_TOKENS <= tokens <= len(_NAMES):
        return None
    rows = _lines_of(tokens)(text)
    if len(rows) != text.count("\n") + 1:
        return None
    columns = dict(zip(_NAMES, zip(*rows, strict=True), strict=False))
    times = timestamps("%d/%b/%Y:%H:%M:%S %z")
    begun = [times[time] for time in columns.pop("time")]
    return Rows(("timestamp", *columns), zip(begun, *map(_values, columns, columns.values()), strict=True))


def _values(name: str, texts: Sequence[str]) -> Sequence[JsonValue]:
    if name in _INTEGERS:
        return [None if text == "-" else int(text) for text in texts]
    return [None if text == "-" else text for text in texts] if "-" in texts else texts


@lru_cache(maxsize=len(_NAMES))
def _lines_of(tokens: int) -> Callable[[str], list[tuple[str, ...]]]:
    """Return what finds the fields of each line that has as many.

    What is between quotes may go on to the next line's, and no further: then there are fewer matches than lines.
    """
    fields = (
        r"\[([^]\s]++ [^]\s]++)\]" if name == "time" else r'"([^"]++)"' if name in _QUOTED else r'([^\s"[]\S*+)'
        for name in _NAMES[:tokens]
    )
    return re.compile(f"^{' '.join(fields)}$", re.MULTILINE).findall


def _value(name: str, text: str) -> JsonValue:
    if text == "-":
        return None
    return int(text) if name in _INTEGERS else text


def new_processor() -> Processor:
    return each_record(parse, at_once=at_once)
