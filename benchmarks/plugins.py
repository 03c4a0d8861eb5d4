"""The plugin that the swap benchmark replaces again and again: each record carries the version that made it."""

NUMBERED = "numbered"

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
