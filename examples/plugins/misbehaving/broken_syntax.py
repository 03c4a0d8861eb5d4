# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "broken_syntax"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A missing colon."
# accepts = { names = ["*.misbehave_broken_syntax"] }
# ///
"""A file that Python cannot read: refused, with the line to mend. What was in service stays in service."""

from contract import Processor, each_line


def new_processor() -> Processor
    return each_line(str)
