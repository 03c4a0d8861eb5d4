"""The best loop by hand for each format that one program writes: see `loops`."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

from contract import from_epoch, severity_number, timestamps

Loop = Callable[[bytes], list[Any]]

_POSTGRES = (
    *("log_time", "user_name", "database_name", "process_id", "connection_from", "session_id", "session_line_num"),
    *("command_tag", "session_start_time", "virtual_transaction_id", "transaction_id", "error_severity"),
    *("sql_state_code", "message", "detail", "hint", "internal_query", "internal_query_pos", "context", "query"),
    *("query_pos", "location", "application_name", "backend_type", "leader_pid", "query_id"),
)


def postgres_csv() -> Loop:
    """Return a loop of the standard library's reader."""
    times = timestamps("%Y-%m-%d %H:%M:%S%Z")

    def loop(data: bytes) -> list[Any]:
        records = []
        for row in csv.reader(io.StringIO(data.decode(), newline="")):
            fields = {name: value for name, value in zip(_POSTGRES, row, strict=False) if value}
            level = fields.pop("error_severity")
            records.append(
                {
                    "timestamp": times[fields.pop("log_time")],
                    "severity_text": level,
                    "severity_number": severity_number(level),
                    "body": fields.pop("message"),
                    **fields,
                }
            )
        return records

    return loop


def haproxy() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%d/%b/%Y:%H:%M:%S")
    lines = re.compile(
        r"^(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S++) haproxy\[(\d++)\]: ([^\s:]++):(\d++) \[([^]]++)\] (\S++)"
        r" ([^\s/]++)/(\S++)"
        r" (\d++)/(\d++)/(\d++)/(\d++)/(\d++) (\d++) (\d++) (\S++) (\S++) (\S{4})"
        r" (\d++)/(\d++)/(\d++)/(\d++)/(\d++) (\d++)/(\d++)"
        r' \{([^}]*+)\} \{([^}]*+)\} "(([A-Z]++) (\S++) (HTTP/[\d.]++))"$',
        re.MULTILINE | re.ASCII,
    ).findall
    names = (
        *(
            "time",
            "host",
            "pid",
            "client_ip",
            "client_port",
            "timestamp",
            "frontend",
            "backend",
            "server",
            "time_request_ms",
        ),
        *(
            "time_queue_ms",
            "time_connect_ms",
            "time_response_ms",
            "time_total_ms",
            "status",
            "bytes_read",
            "request_cookie",
        ),
        *("response_cookie", "termination_state", "actconn", "feconn", "beconn", "srv_conn", "retries", "srv_queue"),
        *("backend_queue", "request_headers", "response_headers", "request", "method", "path", "protocol"),
    )
    numbers = ("client_port", "status", "bytes_read", "actconn", "feconn", "beconn", "srv_conn", "retries", "srv_queue")
    numbers += ("backend_queue", *(name for name in names if name.endswith("_ms")))

    def loop(data: bytes) -> list[Any]:
        records = []
        for row in lines(data.decode()):
            record: dict[str, Any] = dict(zip(names, row, strict=True))
            for name in numbers:
                record[name] = int(record[name])
            record["timestamp"] = times[record["timestamp"]]
            records.append(record)
        return records

    return loop


_FLOW = (
    *("version", "account_id", "interface_id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets"),
    *("bytes", "start", "end", "action", "log_status"),
)


def aws_vpc_flow() -> Loop:
    """Return a loop that splits."""
    numbers = ("version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end")

    def loop(data: bytes) -> list[Any]:
        records = []
        for line in data.decode().split("\n"):
            if line:
                values = line.split(" ")
                record: dict[str, Any] = {"timestamp": from_epoch(values[10]), **dict(zip(_FLOW, values, strict=True))}
                for name in numbers:
                    record[name] = int(record[name])
                records.append(record)
        return records

    return loop


_BALANCED = (
    *("type", "elb", "client", "target", "request_processing_time", "target_processing_time"),
    *("response_processing_time", "elb_status_code", "target_status_code", "received_bytes", "sent_bytes"),
    *("request", "user_agent", "ssl_cipher", "ssl_protocol", "target_group_arn", "trace_id", "domain_name"),
    *("chosen_cert_arn", "matched_rule_priority", "request_creation_time", "actions_executed", "redirect_url"),
    *("error_reason", "target_list", "target_status_code_list", "classification", "classification_reason"),
    "conn_trace_id",
)


def aws_elb() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%Y-%m-%dT%H:%M:%S%z")
    bare, quoted = r"(\S++)", r'"([^"]*+)"'
    lines = re.compile(
        f"^{' '.join([*[bare] * 12, *[quoted] * 2, *[bare] * 3, *[quoted] * 3, *[bare] * 2, *[quoted] * 7, bare])}$",
        re.MULTILINE | re.ASCII,
    ).findall

    def loop(data: bytes) -> list[Any]:
        records = []
        for kind, time, *values in lines(data.decode()):
            record: dict[str, Any] = {
                "timestamp": times[time],
                "type": kind,
                **{name: None if value == "-" else value for name, value in zip(_BALANCED[1:], values, strict=True)},
            }
            for name in _BALANCED[4:7]:
                record[name] = float(record[name])
            for name in _BALANCED[7:11]:
                record[name] = int(record[name])
            records.append(record)
        return records

    return loop


_STORED = (
    *("bucket_owner", "bucket", "remote_ip", "requester", "request_id", "operation", "key", "request_uri"),
    *("http_status", "error_code", "bytes_sent", "object_size", "total_time_ms", "turn_around_time_ms", "referer"),
    *("user_agent", "version_id", "host_id", "signature_version", "cipher_suite", "authentication_type", "host_header"),
    *("tls_version", "access_point_arn", "acl_required"),
)


def aws_s3() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%d/%b/%Y:%H:%M:%S %z")
    bare, quoted, bracketed = r"(\S++)", r'"([^"]*+)"', r"\[([^]]++)\]"
    lines = re.compile(
        f"^{' '.join([bare, bare, bracketed, *[bare] * 5, quoted, *[bare] * 6, quoted, quoted, *[bare] * 9])}$",
        re.MULTILINE | re.ASCII,
    ).findall

    def loop(data: bytes) -> list[Any]:
        records = []
        for owner, bucket, time, *values in lines(data.decode()):
            texts = zip(_STORED, (owner, bucket, *values), strict=True)
            record: dict[str, Any] = {
                "timestamp": times[time],
                **{name: None if value == "-" else value for name, value in texts},
            }
            for name in ("http_status", *_STORED[10:14]):
                record[name] = int(record[name])
            records.append(record)
        return records

    return loop


def redis() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%d %b %Y %H:%M:%S")
    levels = {"-": ("verbose", 8), "*": ("notice", 10), "#": ("warning", 13)}
    roles = {"M": "master", "C": "child"}
    lines = re.compile(r"^(\d++):([A-Z]) (\d\d \w{3} \d{4} [\d:.]++) ([-*#]) (.*+)$", re.MULTILINE | re.ASCII).findall
    return lambda data: [
        {
            "timestamp": times[time],
            "severity_text": levels[level][0],
            "severity_number": levels[level][1],
            "pid": int(pid),
            "role": roles[role],
            "body": body,
        }
        for pid, role, time, level, body in lines(data.decode())
    ]


def logcat() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    numbers = {level: severity_number(level) for level in "VDIWE"}
    lines = re.compile(
        r"^(\d\d-\d\d [\d:.]++) +(\d++) +(\d++) ([VDIWE]) (\w++) *+: (.*+)$", re.MULTILINE | re.ASCII
    ).findall
    return lambda data: [
        {
            "time": time,
            "severity_text": level,
            "severity_number": numbers[level],
            "pid": int(pid),
            "tid": int(tid),
            "tag": tag,
            "body": body,
        }
        for time, pid, tid, level, tag, body in lines(data.decode())
    ]


def error_log() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%a %b %d %H:%M:%S %Y")
    lines = re.compile(
        r"^\[([^]]++)\] \[(\w++):(\w++)\] \[pid (\d++):tid (\d++)\] (?:\[client ([^]]++)\] (\w++): )?+(.*+)$",
        re.MULTILINE | re.ASCII,
    ).findall

    def loop(data: bytes) -> list[Any]:
        records = []
        for time, module, level, pid, tid, client, code, body in lines(data.decode()):
            record = {
                "timestamp": times[time],
                "severity_text": level,
                "severity_number": severity_number(level),
                "module": module,
                "pid": pid,
                "tid": tid,
            }
            if client:
                record["client"] = client
                record["code"] = code
            record["body"] = body
            records.append(record)
        return records

    return loop
