# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "wrong_contract"
# version = "1.0.0"
# contract = ">=9"
# summary = "A plugin for a later hostd."
# accepts = { names = ["*.misbehave_wrong_contract"] }
# ///
"""Asks for a contract that this hostd does not speak: refused before any of it runs, with both versions."""

from contract import Processor, each_line


def new_processor() -> Processor:
    return each_line(str)
