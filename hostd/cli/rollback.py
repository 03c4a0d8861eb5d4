"""Go back to an earlier generation of a plugin, until its file changes."""

import argparse
from urllib.parse import quote

from hostd.cli.asking import state_folder
from hostd.cli.printing import say
from hostd.control import client

EPILOG = """examples:
  hostd rollback csv            to the one before
  hostd rollback csv --to 3     to this one; hostd status and the log tell their numbers
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="the plugin's name")
    parser.add_argument("--to", type=int, metavar="GENERATION", help="which one (default: the one before)")


def main(options: argparse.Namespace) -> int:
    """Ask, wait, print."""
    to = f"&to={options.to}" if options.to is not None else ""
    answer = client.ask(state_folder(options).socket, "POST", f"/rollback?name={quote(options.name)}{to}")
    say(answer["changes"])
    return 0
