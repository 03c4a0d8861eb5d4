# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "auditd"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The Linux audit log (auditd): the records of one event joined."
# framing = "stream"
#
# [tool.hostd.accepts]
# lines = '^(node=\S+ )?type=[A-Z_0-9\[\]]+ msg=audit\(\d+\.\d+:\d+\): '
# priority = -10
#
# [[tool.hostd.samples]]
# name = "audit.log"
# input = '''
# type=SYSCALL msg=audit(1715940303.295:58): arch=c000003e success=yes comm="cat" exe=2F62696E2F6361742031 key=(null)
# node=h type=USER_LOGIN msg=audit(1715940303.300:59): pid=1 old auid=0 msg='op=login acct="root" res=failed'
# type=PATH msg=audit(1715940303.295:58): item=0 name="/etc/passwd" inode=7
# type=PROCTITLE msg=audit(1715940303.295:58): proctitle=636174002F6574632F706173737764
# type=BROKEN msg=audit(): no time
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.300Z", "sequence": 59, "node": "h", "type": "USER_LOGIN", "records":
#    [{"type": "USER_LOGIN", "pid": "1", "old-auid": "0", "op": "login", "acct": "root", "res": "failed"}]}''',
#   '''{"timestamp": "2024-05-17T10:05:03.295Z", "sequence": 58, "type": "SYSCALL", "records": [{"type":
#    "SYSCALL", "arch": "c000003e", "success": "yes", "comm": "cat", "exe": "/bin/cat 1", "key": "(null)"},
#    {"type": "PATH", "item": "0", "name": "/etc/passwd", "inode": "7"}, {"type": "PROCTITLE", "proctitle":
#    "cat /etc/passwd"}]}''',
# ]
# rejected = 1
# ///
"""The Linux audit log: an event's records, which share a time and a number and may be mixed with others', become
one.

Keys: `timestamp`, `sequence`, `node` if there is one, `type` (of the first record), and `records`: each record's
`type` and fields. Values are strings: without quotes, and those that the kernel writes in hexadecimal decoded, with
NUL as a space. An event ends with its PROCTITLE or EOE, or when events that are two seconds younger begin; messages
of programs (`USER_LOGIN`) are events of their own.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from contract import LineStream, Record, StreamProcessor, each_stream, from_epoch

_LINE = re.compile(
    r"(?:node=(?P<node>\S+) )?type=(?P<type>\S+) msg=audit\((?P<time>\d+\.\d+):(?P<sequence>\d+)\):? ?(?P<fields>.*)",
    re.ASCII | re.DOTALL,
)
_FIELD = re.compile(r"""(?<![\w-])(?:(old|new)[ -])?([\w-]+)=(?:"([^"]*)"|'([^']*)'?|([^\s"'\x1d,]*)),?""", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-F]{2})+", re.ASCII)
_ENCODED = {"name", "proctitle", "cmd", "comm", "exe", "acct", "cwd", "path", "dir", "data", "op", "key", "vm"}
_ARGUMENT = re.compile(r"a\d+(\[\d+\])?", re.ASCII)
_OF_PROGRAMS = re.compile(
    r"(USER|USYS|CRED|SERVICE|DAEMON|SYSTEM|CRYPTO|ADD|DEL|GRP|CHGRP|CHUSER|ACCT|ROLE|VIRT|LABEL|SOFTWARE|TRUSTED|MAC_USER)_"
)
_MOST_OPEN = 64
_PATIENCE_S = 2.0


class AuditStream(LineStream):
    """`kept` holds the events that are open, the oldest first."""

    def parse_line(self, line: str) -> Iterator[Record]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError("not type=… msg=audit(TIME:NUMBER): …")
        kind, time, sequence = found["type"], found["time"], found["sequence"]
        yield from self._overdue(float(time))
        key = f"{found['node'] or ''} {time}:{sequence}"
        if kind == "EOE":
            if key in self.kept:
                yield self.kept.pop(key)
            return
        event = self.kept.get(key) or {
            "timestamp": from_epoch(time),
            "sequence": int(sequence),
            **({"node": found["node"]} if found["node"] else {}),
            "type": kind,
            "records": [],
        }
        event["records"].append({"type": kind, **_fields(found["fields"], kind)})
        if kind == "PROCTITLE" or _OF_PROGRAMS.match(kind):
            self.kept.pop(key, None)
            yield event
        else:
            self.kept[key] = event

    def _overdue(self, now: float) -> Iterator[Record]:
        for key in list(self.kept):
            begun = float(key.rpartition(" ")[2].partition(":")[0])
            if len(self.kept) < _MOST_OPEN and begun > now - _PATIENCE_S:
                return
            yield self.kept.pop(key)

    def finish(self) -> Iterable[Record]:
        unfinished, self.kept = list(self.kept.values()), {}
        return unfinished


def _fields(text: str, kind: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for which, name, quoted, nested, bare in _FIELD.findall(text):
        if nested:
            fields |= _fields(nested, kind)
        elif quoted:
            fields[f"{which}-{name}" if which else name] = quoted
        else:
            encoded = name in _ENCODED or (kind == "EXECVE" and _ARGUMENT.fullmatch(name))
            fields[f"{which}-{name}" if which else name] = _decoded(bare) if encoded else bare
    return fields


def _decoded(text: str) -> str:
    """Return what the kernel has written in hexadecimal, because it holds a space, a quote or worse."""
    if len(text) < 4 or not _HEX.fullmatch(text):
        return text
    return bytes.fromhex(text).rstrip(b"\x00").replace(b"\x00", b" ").decode("utf-8", "backslashreplace")


def new_processor() -> StreamProcessor:
    return each_stream(AuditStream)
