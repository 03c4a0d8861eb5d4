"""Numbered lines: who writes them, the plugin that parses them, and what must be true of its records.

That plugin is replaced again and again, and each record carries the version that made it.
"""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.host import REPOSITORY
from benchmarks.measure import Target
from benchmarks.reader import Reader, Row

NUMBERED = "numbered"
GIVE_UP_S = 30.0

_TEXT = '''# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "{name}"
# version = "1.{version}.0"
# contract = ">=1.0,<2"
# accepts = {{ names = ["numbers.log"] }}
# framing = "lines"
# ///
"""Lines of two numbers: which line it is, and the monotonic time in ns at which it was written."""
from contract import Processor, Record, each_line


def parse(line: str) -> Record:
    number, written_ns = line.split()
    return {{"n": int(number), "at": int(written_ns), "v": {version}}}


def new_processor() -> Processor:
    return each_line(parse)
'''


def numbered(version: int) -> str:
    """Return the source of one version."""
    return _TEXT.format(name=NUMBERED, version=version)


def write_lines(path: Path, rate: float) -> subprocess.Popen[bytes]:
    """Start a writer of `rate` lines a second; it ends when its standard input is closed, and says how many."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.writer", path, str(rate)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def wait_for_version(reader: Reader, version: int) -> float:
    """Return the monotonic time at which the first record of a version was seen. Raises RuntimeError."""
    seen_at = reader.follow_until(lambda row: row.v == version, GIVE_UP_S)
    if seen_at is None:
        raise RuntimeError(f"no record of version {version} within {GIVE_UP_S:g} s")
    return seen_at


def faults(path: Path, written: int) -> list[Target]:
    """Return what must be true of the records in `path` of `written` lines."""
    rows = msgspec.json.Decoder(Row).decode_lines(path.read_bytes())
    numbers = [row.n for row in rows]
    versions = [row.v for row in rows]
    lost, doubled = written - len(set(numbers)), len(numbers) - len(set(numbers))
    unordered = sum(second <= first for first, second in pairwise(numbers))
    backwards = sum(second < first for first, second in pairwise(versions))
    return [
        Target(f"lines lost, of {written}", lost, 0, ""),
        Target("lines doubled", doubled, 0, ""),
        Target("lines out of order", unordered, 0, ""),
        Target("records of an older version after a newer one's", backwards, 0, ""),
    ]
