# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "dies"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A parser that ends its process on some lines."
# accepts = { names = ["*.misbehave_dies"] }
# ///
"""Ends its own process on a line that says `die`, as a crash in a C library would.

Only the worker ends. The batch is tried once more on a fresh one, and then cut until the line that kills is
alone; it becomes a dead letter.
"""

import os

from contract import Processor, Record, each_line


def parse(line: str) -> Record:
    if line == "die":
        os._exit(3)
    return line


def new_processor() -> Processor:
    return each_line(parse)
