# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "raises_on_import"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "An import that raises."
# accepts = { names = ["*.misbehave_raises_on_import"] }
# ///
"""Raises while it is imported: refused, with the line that raised.

It happens in a worker, never in the daemon.
"""

from contract import Processor, each_line

raise RuntimeError("the licence server does not answer")


def new_processor() -> Processor:
    return each_line(str)
