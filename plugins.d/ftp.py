# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "ftp"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "FTP servers' logs: vsftpd's own, and the transfer log (xferlog) of vsftpd, ProFTPD and wu-ftpd."
# framing = "lines"
#
# [tool.hostd.accepts]
# head = """\
#   ^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d \\d{4} \
#   (\\[pid \\d+\\] (\\[[^\\]\\n]*\\] )?(CONNECT|(OK|FAIL) [A-Z]+|FTP (command|response)|DEBUG): \
#   |\\d+ \\S+ \\d+ \\S.* [ab] [CUT_]+ [iod] [agr] \\S+ \\S+ [01] \\S+ [ci]\\s)"""
# priority = -20
#
# [[tool.hostd.samples]]
# name = "vsftpd.log"
# input = '''
# Fri May 17 10:05:03 2024 [pid 2] CONNECT: Client "192.0.2.7"
# Fri May 17 10:05:04 2024 [pid 3] [dana] OK UPLOAD: Client "192.0.2.7", "/d/a, "b".png", 1884648 bytes, 41.5Kbyte/sec
# Fri May 17 10:05:05 2024 [pid 3] [dana] FAIL DELETE: Client "192.0.2.7", "/x"
# Fri May 17 nothing
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "pid": "2", "action": "CONNECT", "client_ip": "192.0.2.7", "body":
#    "CONNECT: Client \"192.0.2.7\""}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "pid": "3", "user": "dana", "result": "OK", "action": "UPLOAD",
#    "client_ip": "192.0.2.7", "path": "/d/a, \"b\".png", "bytes": 1884648, "kbytes_per_s": 41.5, "body":
#    "OK UPLOAD: Client \"192.0.2.7\", \"/d/a, \"b\".png\", 1884648 bytes, 41.5Kbyte/sec"}''',
#   '''{"timestamp": "2024-05-17T10:05:05Z", "pid": "3", "user": "dana", "result": "FAIL", "action": "DELETE",
#    "client_ip": "192.0.2.7", "path": "/x", "body": "FAIL DELETE: Client \"192.0.2.7\", \"/x\""}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "xferlog"
# input = "Fri May 17 10:05:03 2024 7 192.0.2.7 4463 /pub/a file b _ i r dana ftp 0 * c\n"
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "user": "dana", "result": "OK", "action": "UPLOAD", "client_ip":
#    "192.0.2.7", "path": "/pub/a file", "bytes": 4463, "duration_s": 7, "transfer": "binary", "access": "real",
#    "service": "ftp", "body": "7 192.0.2.7 4463 /pub/a file b _ i r dana ftp 0 * c"}''',
# ]
# ///
"""What FTP servers log: vsftpd in its own words, and the transfer log of wu-ftpd, which vsftpd and ProFTPD write too.

Keys: `timestamp`, `body` (all that follows the time and the names), and where they are said `pid`, `user`, `result`
(`OK`, `FAIL`), `action` (`CONNECT`, `LOGIN`, `UPLOAD`, `DOWNLOAD`, `DELETE`, …), `client_ip`, `path`, `bytes`,
`kbytes_per_s`; of the transfer log also `duration_s`, `transfer` (`binary`, `ascii`), `access` (`anonymous`, `guest`,
`real`), `service`. The times name no zone: the option `time_zone` says which.
"""

import re

from contract import Context, JsonValue, Processor, Record, each_record, timestamps
from contract.options import LocalTime

_TIME = r"(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})"
_VSFTPD = re.compile(
    rf"{_TIME} \[pid (?P<pid>\d+)\] (?:\[(?P<user>[^\]]*)\] )?"
    r"(?P<body>(?:(?P<result>OK|FAIL) )?(?P<action>[A-Za-z][A-Za-z ]*): "
    r'(?:Client "(?P<client_ip>[^"]*)"(?:, (?P<rest>.*))?|.*))',
    re.ASCII,
)
_REST = re.compile(
    r'(?:"(?P<path>.*?)"(?=\Z|, \d))?(?:(?:, )?(?P<bytes>\d{1,18}) bytes)?'
    r"(?:(?:, )?(?P<rate>\d{1,15}\.\d+)Kbyte/sec)?",
    re.ASCII,
)
_TRANSFER = re.compile(
    rf"{_TIME} (?P<body>(?P<seconds>\d{{1,18}}) (?P<client_ip>\S+) (?P<bytes>\d{{1,18}}) (?P<path>\S.*)"
    r" (?P<transfer>[ab]) [CUT_]+ (?P<direction>[iod]) (?P<access>[agr])"
    r" (?P<user>\S+) (?P<service>\S+) [01] \S+ (?P<status>[ci])) ?",
    re.ASCII,
)
_ACTIONS = {"i": "UPLOAD", "o": "DOWNLOAD", "d": "DELETE"}
_ACCESSES = {"a": "anonymous", "g": "guest", "r": "real"}


class Options(LocalTime):
    """The operator's `[plugins.options.ftp]`."""


def parse(line: str, ctx: Context) -> Record:
    found = _VSFTPD.fullmatch(line) or _TRANSFER.fullmatch(line)
    if found is None:
        raise ValueError("a line of neither vsftpd's log nor a transfer log")
    time = timestamps("%a %b %d %H:%M:%S %Y", ctx.options.time_zone)[found["time"]]
    return {
        "timestamp": time,
        **(_of_vsftpd(found) if found.re is _VSFTPD else _of_transfer(found)),
        "body": found["body"],
    }


def _of_vsftpd(found: re.Match[str]) -> dict[str, JsonValue]:
    names = ("pid", "user", "result", "action", "client_ip")
    fields: dict[str, JsonValue] = {name: found[name] for name in names if found[name] is not None}
    rest = _REST.fullmatch(found["rest"]) if found["rest"] else None
    if rest is not None:
        fields |= {"path": rest["path"]} if rest["path"] is not None else {}
        fields |= {"bytes": int(rest["bytes"])} if rest["bytes"] else {}
        fields |= {"kbytes_per_s": float(rest["rate"])} if rest["rate"] else {}
    return fields


def _of_transfer(found: re.Match[str]) -> dict[str, JsonValue]:
    return {
        "user": found["user"],
        "result": "OK" if found["status"] == "c" else "FAIL",
        "action": _ACTIONS[found["direction"]],
        "client_ip": found["client_ip"],
        "path": found["path"],
        "bytes": int(found["bytes"]),
        "duration_s": int(found["seconds"]),
        "transfer": "binary" if found["transfer"] == "b" else "ascii",
        "access": _ACCESSES[found["access"]],
        "service": found["service"],
    }


def new_processor() -> Processor:
    return each_record(parse)
