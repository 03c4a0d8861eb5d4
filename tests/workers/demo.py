"""A plugin of lines for the tests of workers, and what is looked at of what comes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostd.workers.batch import Batch, Yield
from hostd.workers.pool import Crew

MakeCrew = Callable[..., Crew]

DATA = b"one\ntwo\nbad\nfour\n"


def batch(data: bytes = DATA, offset: int = 100) -> Batch:
    """Return a batch as the pump makes it."""
    return Batch("a.log", offset, b"", data)


def processor(body: str, factory: str = "return P()") -> str:
    """Return a plugin whose parse sees each line as `line` and has `body` for it; yields the others as records."""
    return f"""
import ctypes, math, os, signal, socket, struct, sys, time
class P:
    def parse(self, data, ctx):
        for raw in data.splitlines():
            line = raw.decode()
            if line == "bad":
                {body}
            yield {{"line": line}}

def new_processor():
    {factory}

def sockets():
    kinds = {{fd: f"/proc/self/fd/{{fd}}" for fd in range(3, 99)}}
    return [fd for fd, path in kinds.items() if os.path.exists(path) and "socket" in os.readlink(path)]

def send(content):
    for fd in sockets():
        os.write(fd, content)

def forge(fields):
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    body = fields.replace("TOKEN", str(frame.f_locals["request"].token)).encode()
    [os.write(fd, struct.pack("!BII", 4, len(body), 0) + body) for fd in sockets()]
"""


def lines_of(result: Yield) -> list[Any]:
    """Return what the records say, in their order."""
    return [json.loads(line)["line"] for line in result.lines.splitlines()]


def is_running(pid: int) -> bool:
    """Tell whether a process exists, a zombie included."""
    return Path(f"/proc/{pid}").exists()
