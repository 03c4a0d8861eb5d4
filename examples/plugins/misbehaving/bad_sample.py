# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "bad_sample"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A parser that fails its sample."
# accepts = { names = ["*.misbehave_bad_sample"] }
#
# [[tool.hostd.samples]]
# input = "shout\n"
# records = [{ message = "SHOUT" }]
# ///
"""Does not yield what its own sample promises: refused, with what was expected and what came of it."""

from contract import Processor, Record, each_line


def parse(line: str) -> Record:
    return {"message": line.lower()}


def new_processor() -> Processor:
    return each_line(parse)
