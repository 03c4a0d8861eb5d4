"""Keep the generation of a plugin that serves now, whatever else arrives, until its own file changes."""

import argparse
from urllib.parse import quote

from hostd.cli.asking import state_folder
from hostd.cli.printing import say
from hostd.control import client

EPILOG = """examples:
  hostd pin csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="the plugin's name")


def main(options: argparse.Namespace) -> int:
    """Ask, wait, print."""
    answer = client.ask(state_folder(options).socket, "POST", f"/pin?name={quote(options.name)}")
    say(answer["changes"])
    return 0
