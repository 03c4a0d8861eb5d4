"""The best loop by hand for each text format: what one would write for these lines alone, with the same records out.

It knows its lines: nothing is looked for that does not occur, nothing is rejected, no stream is cut. Times are looked
up by their text in the contract's own table, which is the fastest way here to make them. Each record is a dict, as
people write it; a processor that yields rows may take less time than that. Formats of single programs are in
`loops_of_programs`.
"""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks import loops_of_programs as programs
from benchmarks.logs import CSV_HEADER, W3C_HEADER, ZEEK_HEADER
from contract import from_epoch, severity_number, timestamps

Loop = programs.Loop

_ISO = timestamps("%Y-%m-%dT%H:%M:%S%z")


def access() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    times = timestamps("%d/%b/%Y:%H:%M:%S %z")
    line = re.compile(
        r'^([^ ]++) ([^ ]++) ([^ ]++) \[([^]]++)\] "([^ ]++) ([^ ]++) ([^"]++)" '
        r'([^ ]++) ([^ ]++) "([^"]*+)" "([^"]*+)"$',
        re.MULTILINE | re.ASCII,
    )
    return lambda data: [
        {
            "timestamp": times[time],
            "client": client,
            "ident": None if ident == "-" else ident,
            "user": None if user == "-" else user,
            "method": method,
            "path": path,
            "protocol": protocol,
            "status": int(status),
            "bytes": None if size == "-" else int(size),
            "referer": None if referer == "-" else referer,
            "agent": None if agent == "-" else agent,
        }
        for client, ident, user, time, method, path, protocol, status, size, referer, agent in line.findall(
            data.decode()
        )
    ]


def json_lines() -> Loop:
    """Return a loop in C."""
    return msgspec.json.Decoder().decode_lines


def csv_rows() -> Loop:
    """Return a loop of the standard library's reader."""
    names = CSV_HEADER.strip().split(",")
    return lambda data: [
        dict(zip(names, row, strict=False)) for row in csv.reader(io.StringIO(data.decode(), newline="")) if row
    ]


def logfmt() -> Loop:
    """Return a loop of one expression over each line."""
    pairs = re.compile(r'([^\s=]++)=(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|(\S*+))').findall

    def loop(data: bytes) -> list[Any]:
        records = []
        for line in data.decode().split("\n"):
            if line:
                fields = {key: quoted or bare for key, quoted, bare in pairs(line)}
                level = fields.pop("level")
                records.append(
                    {
                        "timestamp": _ISO[fields.pop("time")],
                        "severity_text": level,
                        "severity_number": severity_number(level),
                        "body": fields.pop("msg"),
                        **fields,
                    }
                )
        return records

    return loop


def syslog() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    lines = re.compile(
        r"^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (\S++) ([^\s:\[]++)(?:\[([^\]\s]*+)\]|): (.*+)$",
        re.MULTILINE | re.ASCII,
    ).findall
    return lambda data: [
        {"time": time, "hostname": host, "appname": program, "procid": pid, "body": body}
        if pid
        else {"time": time, "hostname": host, "appname": program, "body": body}
        for time, host, program, pid, body in lines(data.decode())
    ]


def zeek() -> Loop:
    """Return a loop that splits, and converts each column in its own way."""
    names, types = (line.split("\t")[1:] for line in ZEEK_HEADER.splitlines()[-2:])
    makers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("count", "port"), int),
        **dict.fromkeys(("time", "interval"), float),
        "bool": lambda text: text == "T",
        "set[string]": lambda text: [] if text == "(empty)" else text.split(","),
    }
    columns = [(name, makers.get(kind, str)) for name, kind in zip(names, types, strict=True)]

    def loop(data: bytes) -> list[Any]:
        records = []
        for line in data.decode().split("\n"):
            if line:
                values = line.split("\t")
                record: dict[str, Any] = {"timestamp": from_epoch(values[0]), "log": "conn"}
                for (name, make), value in zip(columns, values, strict=True):
                    record[name] = None if value == "-" else make(value)
                records.append(record)
        return records

    return loop


def w3c() -> Loop:
    """Return a loop that splits."""
    names = W3C_HEADER.splitlines()[-1].split()[1:]
    times = timestamps("%Y-%m-%d %H:%M:%S")
    return lambda data: [
        {
            "timestamp": times[line[:19]],
            **{name: None if value == "-" else value for name, value in zip(names, line.split(" "), strict=True)},
        }
        for line in data.decode().split("\n")
        if line
    ]


def cri() -> Loop:
    """Return a loop that splits."""
    return lambda data: [
        {"timestamp": _ISO[time], "stream": stream, "body": text}
        for time, stream, _, text in (line.split(" ", 3) for line in data.decode().split("\n") if line)
    ]


class _DockerLine(msgspec.Struct):
    log: str
    stream: str
    time: str


def docker_json() -> Loop:
    """Return a loop in C, to objects that know their fields."""
    decode = msgspec.json.Decoder(_DockerLine).decode_lines
    return lambda data: [
        {"timestamp": _ISO[line.time], "stream": line.stream, "body": line.log[:-1]} for line in decode(data)
    ]


def app_json() -> Loop:
    """Return a loop in C, and over the objects that it makes."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode_lines

    def loop(data: bytes) -> list[Any]:
        return [
            {
                "timestamp": from_epoch(fields.pop("ts")),
                "severity_text": (level := fields.pop("level")),
                "severity_number": severity_number(level),
                "body": fields.pop("msg"),
                **fields,
            }
            for fields in decode(data)
        ]

    return loop


def app_log() -> Loop:
    """Return a loop of one expression over a whole chunk, that takes the lines that follow along."""
    times = timestamps("%Y-%m-%d %H:%M:%S")
    lines = re.compile(
        r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \[([^]]*+)\] ([A-Z]++) +(\S++) -"
        r" (.*+(?:\n(?!\d{4}-\d\d-\d\d ).++)*+)",
        re.MULTILINE | re.ASCII,
    ).findall
    return lambda data: [
        {
            "timestamp": times[time],
            "severity_text": level,
            "severity_number": severity_number(level),
            "thread": thread,
            "logger": logger,
            "body": body,
        }
        for time, thread, level, logger, body in lines(data.decode())
    ]


def text() -> Loop:
    """Return a loop that splits."""
    return lambda data: [{"body": line} for line in data.decode().split("\n") if line]


def glog() -> Loop:
    """Return a loop of one expression over a whole chunk."""
    levels = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
    lines = re.compile(
        r"^([IWEF])(\d{4} [\d:.]++) +(\d++) ([^\s:\]]++):(\d++)\] (.*+)$", re.MULTILINE | re.ASCII
    ).findall
    return lambda data: [
        {
            "time": time,
            "severity_text": levels[level],
            "severity_number": severity_number(level),
            "thread": thread,
            "file": file,
            "line": int(line),
            "body": body,
        }
        for level, time, thread, file, line, body in lines(data.decode())
    ]


LOOPS: dict[str, Callable[[], Loop]] = {
    "access": access,
    "json_lines": json_lines,
    "csv": csv_rows,
    "logfmt": logfmt,
    "syslog": syslog,
    "zeek": zeek,
    "w3c": w3c,
    "postgres_csv": programs.postgres_csv,
    "cri": cri,
    "docker_json": docker_json,
    "app_json": app_json,
    "aws_s3": programs.aws_s3,
    "haproxy": programs.haproxy,
    "app_log": app_log,
    "glog": glog,
    "text": text,
    "aws_vpc_flow": programs.aws_vpc_flow,
    "aws_elb": programs.aws_elb,
    "redis": programs.redis,
    "logcat": programs.logcat,
    "error_log": programs.error_log,
}
"""By the name of the processor."""
