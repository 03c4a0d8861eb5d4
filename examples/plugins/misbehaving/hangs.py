# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "hangs"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A parser that hangs on some lines."
# accepts = { names = ["*.misbehave_hangs"] }
# limits = { time_s = 1 }
# ///
"""Never returns from a line that says `hang`.

After `time_s` the worker is killed, the batch is tried once more on a fresh one, and then cut until the line
that hangs is alone. It becomes a dead letter; other sources never wait for it.
"""

import time

from contract import Processor, Record, each_line


def parse(line: str) -> Record:
    while line == "hang":
        time.sleep(60)
    return line


def new_processor() -> Processor:
    return each_line(parse)
