# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "hello"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Greets whoever is named, one to a line."
# accepts = { names = ["*.hello"] }
#
# [[tool.hostd.samples]]
# input = "world\n"
# records = [{ greeting = "Hello, world!" }]
# ///
"""The smallest plugin: a function of one line. Try it with `examples/logs/world.hello`."""

from contract import Processor, Record, each_line


def greet(line: str) -> Record:
    return {"greeting": f"Hello, {line}!"}


def new_processor() -> Processor:
    return each_line(greet)
