"""What hostd is compared to: a loop over a file in one process, no daemon, nothing durable, nothing swapped.

`python -m benchmarks.bare KIND INPUT OUTPUT START END` parses the whole lines of INPUT that begin in
[START, END) and prints as JSON how long the loop took, without start-up, and how many records it wrote.
`regex` is the loop as people write it; `processor` is the shipped access plugin called by hand, and `hand:FORMAT` the
best loop by hand for a format.
"""

import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from benchmarks.host import SHIPPED
from benchmarks.logs import HEADERS
from benchmarks.loops import LOOPS
from contract import Context
from hostd.workers.encode import Encoder

CHUNK_BYTES = 64 << 10

# Possessive throughout: on these lines as fast as an expression with these groups gets.
COMBINED = re.compile(
    r"^(?P<client>[^ ]++) (?P<ident>[^ ]++) (?P<user>[^ ]++) \[(?P<time>[^]]++)\] "
    r'"(?P<method>[^ ]++) (?P<path>[^ ]++) (?P<protocol>[^"]++)" (?P<status>[^ ]++) (?P<bytes>[^ ]++)'
    r' "(?P<referer>[^"]*+)" "(?P<agent>[^"]*+)"$',
    re.MULTILINE | re.ASCII,
)

Loop = Callable[[bytes], tuple[int, bytes]]
"""Takes a run of whole lines; returns the number of records, and their JSON lines."""


def parse(data: bytes) -> list[dict[str, Any]]:
    """Return a dict of the named groups for each match."""
    return [found.groupdict() for found in COMBINED.finditer(data.decode("utf-8", "replace"))]


def by_regex() -> Loop:
    """Return the loop as people write it."""
    encode_lines = msgspec.json.Encoder().encode_lines

    def loop(data: bytes) -> tuple[int, bytes]:
        records = parse(data)
        return len(records), encode_lines(records)

    return loop


def by_processor() -> Loop:
    """Return the shipped access processor and hostd's encoder, called as a worker calls them."""
    spec = importlib.util.spec_from_file_location("access", SHIPPED / "access.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    processor = module.new_processor()
    ctx = Context(source="access.log", reject=lambda _raw, _reason: None, say=lambda _level, _message: None)
    encoder = Encoder("")

    def loop(data: bytes) -> tuple[int, bytes]:
        records, pieces = encoder.encode(processor.parse(data, ctx), "access.log", 1 << 30)
        return records, b"".join(pieces)

    return loop


def by_hand(name: str) -> Loop:
    """Return the loop by hand for a format."""
    make, encode_lines, header = LOOPS[name](), msgspec.json.Encoder().encode_lines, HEADERS.get(name, "").encode()

    def loop(data: bytes) -> tuple[int, bytes]:
        records = make(data.removeprefix(header))
        return len(records), encode_lines(records)

    return loop


KINDS = {
    "regex": by_regex,
    "processor": by_processor,
    **{f"hand:{name}": partial(by_hand, name) for name in LOOPS},
}


def chunks(log: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield runs of whole lines, about `CHUNK_BYTES` each: the lines that begin in [start, end)."""
    log.seek(max(0, start - 1))
    if start:
        log.readline()  # it began before `start`, unless `start` begins a line
    position = log.tell()
    while position < end:
        data = log.read(min(CHUNK_BYTES, end - position))
        if not data:
            return
        if not data.endswith(b"\n"):
            data += log.readline()
        position += len(data)
        yield data


def main(kind: str, source: Path, output: Path, start: int, end: int) -> dict[str, float]:
    """Parse and write; return seconds in the loop and records written."""
    loop = KINDS[kind]()
    records = 0
    began = time.monotonic()
    with source.open("rb", buffering=CHUNK_BYTES) as log, output.open("wb", buffering=0) as out:
        for data in chunks(log, start, end):
            count, encoded = loop(data)
            records += count
            out.write(encoded)
    return {"seconds": time.monotonic() - began, "records": records}


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # as fast an end as there is: interpreter shutdown is not what is compared
