"""Have what one generation of a plugin parsed be parsed again by the one in service, and its records replaced.

All of it is replaced in one step, or nothing.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hostd.cli.asking import state_folder
from hostd.cli.printing import say, say_json
from hostd.control import client
from hostd.errors import HostdError

EPILOG = """examples:
  hostd reparse csv --generation 3 --dry-run    what would be done
  hostd reparse csv --generation 3              do it; hostd explain tells which generation made a record

exit code 3: some of it stays as it is; the output says what, and why
"""

POLL_S = 0.2
MAX_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="the plugin's name")
    parser.add_argument("--generation", type=int, required=True, metavar="N", help="whose records are replaced")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")


def main(options: argparse.Namespace) -> int:
    """Ask, follow, print; return 0 when everything was replaced, 3 when some of it stays as it is."""
    socket = state_folder(options).socket
    target = f"/reparse?name={quote(options.name)}&generation={options.generation}"
    answer = client.ask(socket, "POST", f"{target}&dry_run=1" if options.dry_run else target)
    if not options.dry_run:
        answer = _follow(socket, answer)
    if options.json:
        say_json(answer)
    else:
        say(describe(answer))
    return 3 if answer["left"] else 0


def _follow(socket: Path, answer: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end, and show how far it is where somebody looks. Raises HostdError when it fails."""
    shown = sys.stderr.isatty()
    while answer["state"] not in ("done", "failed"):
        if shown and answer["state"] == "waiting":
            sys.stderr.write("\rwaiting for a replay of its dead letters\x1b[K")
            sys.stderr.flush()
        elif shown and answer.get("bytes"):
            sys.stderr.write(f"\r{answer['state']} {answer['parsed'] / answer['bytes']:4.0%}\x1b[K")
            sys.stderr.flush()
        time.sleep(POLL_S)
        answer = client.ask(socket, "GET", "/reparse")
    if shown:
        sys.stderr.write("\r\x1b[K")
    if error := answer["error"]:
        raise HostdError(error["where"], f"{error['problem']}; nothing was replaced", error["remedy"])
    return answer


def describe(answer: dict[str, Any]) -> Iterable[str]:
    """Yield what was done, or would be, as lines for people."""
    is_done = answer["state"] == "done"
    ranges = answer["ranges"]
    for each in ranges[:MAX_SHOWN]:
        yield f"{each['source']}: bytes {each['begin']} to {each['until']}"
    if len(ranges) > MAX_SHOWN:
        yield f"… and {len(ranges) - MAX_SHOWN} ranges more"
    for file in answer["files"]:
        yield f"{file['path']}: {file['records']} records {'replaced' if is_done else 'to be replaced'}"
    for left in answer["left"]:
        amount = f"{left['amount']} {left['unit']} of " if left["amount"] else ""
        yield f"left as it is: {amount}{left['what']}: {left['reason']}"
    what = f"{len(ranges)} ranges, {answer['bytes']} bytes, {answer['sources']} sources"
    before = f"{answer['records_before']} records and {answer['dead_before']} dead letters"
    if is_done:
        by = ", ".join(map(str, answer["by"])) or "none"
        yield (
            f"{answer['plugin']}: {what}: {before} of generation {answer['generation']} are now"
            f" {answer['records_after']} records and {answer['dead_after']} dead letters of generation {by}"
        )
    else:
        yield f"{answer['plugin']}: {what}: {before} of generation {answer['generation']} would be replaced"
