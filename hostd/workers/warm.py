"""Do what loading a plugin and parsing its first batch will do, while nobody waits for it.

A process that was forked pays for each page of memory that it is the first to write to, reference counts included:
that is most of what loading a small plugin costs. Workers are forked ahead, so they can pay ahead too.
"""

import sys

from contract.context import Context
from contract.framing import Framing
from hostd.workers import wire
from hostd.workers.box import NOWHERE
from hostd.workers.digest import sha256_hex
from hostd.workers.encode import Encoder
from hostd.workers.loading import import_source

_SOURCE = b'''"""Lines."""
from contract import Context, Processor, Record, each_line

class Pairs:
    def parse(self, data: bytes, ctx: Context):
        for line in data.splitlines():
            key, _, value = line.decode().partition("=")
            yield {"key": key, "value": int(value), "ratio": 0.5, "tags": [key]}

def parse(line: str) -> Record:
    key, value = line.split("=")
    return {key: value}

def new_processor() -> Processor:
    return each_line(parse)
'''
_NAME = "hostd_warm_up"


def warm_up() -> None:
    """Run a small plugin once, and forget it."""
    module = import_source(_SOURCE, _NAME, _NAME)
    del sys.modules[_NAME]
    sha256_hex(_SOURCE)
    ctx = Context(source=_NAME, reject=lambda _raw, _reason: None, say=lambda _level, _message: None)
    data = b"a=1\nb=2\n"
    for processor in (module.new_processor(), module.Pairs()):
        count, lines = Encoder("@source").encode(processor.parse(data, ctx), _NAME, 1 << 20)
        wire.pack(wire.Parsed(count, [], [], 0, 0), lines, NOWHERE)
    Framing().starts(data)
    asked, _ = wire.pack(wire.Parse(_NAME, 0, 0, 1.0, 1, 1, False, 0), (), NOWHERE)  # noqa: FBT003
    wire.unpack(wire.unpack_head(asked[: wire.HEAD.size])[0], asked[wire.HEAD.size :])
