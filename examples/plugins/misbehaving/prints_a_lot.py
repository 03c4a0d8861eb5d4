# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "prints_a_lot"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A parser that prints a lot."
# accepts = { names = ["*.misbehave_prints_a_lot"] }
# ///
"""Prints a kilobyte for every line, to both standard streams.

A worker speaks to the daemon over a socket of its own, so nothing that a plugin prints can damage a record or
block the daemon.
"""

import sys

from contract import Processor, Record, each_line


def parse(line: str) -> Record:
    print("about to parse", line, "." * 1000)
    print("still parsing", line, "." * 1000, file=sys.stderr)
    return line


def new_processor() -> Processor:
    return each_line(parse)
