"""Have a running daemon read its settings and folders again, refused plugins too; wait, and print what changed."""

import argparse

from hostd.cli.asking import state_folder
from hostd.cli.printing import say
from hostd.control import client

EPILOG = """examples:
  hostd rescan         like kill -HUP, but it waits and tells
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options: none of its own."""
    del parser


def main(options: argparse.Namespace) -> int:
    """Ask, wait, print."""
    answer = client.ask(state_folder(options).socket, "POST", "/rescan")
    say(answer["changes"] or ["nothing changed"])
    return 0
