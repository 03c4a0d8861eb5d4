"""List, show, replay, export or drop dead letters: input that could not be parsed, kept with the reason.

What only looks at them, and drop, also work without a daemon. Filters combine.
"""

import argparse
import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from hostd.cli import letters as texts
from hostd.cli import outputs
from hostd.cli.asking import state_folder
from hostd.cli.printing import say, say_json
from hostd.control import client
from hostd.control.pages import page_as_json, read_page, to_drop
from hostd.errors import HostdError, NoDaemonError
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.letters import PAGE_LETTERS, open_shelf
from hostd.pipeline.ledger.selection import FILTERS, Selection
from hostd.state import StateFolder

EPILOG = """examples:
  hostd dead list --plugin csv --since 2h
  hostd dead show 17
  hostd dead replay --plugin csv             parse them again now, by what serves now
  hostd dead export --plugin csv -o bad.csv  their bytes, one after another
  hostd dead drop --reason 'expected 3 fields'
"""

ACTIONS = {
    "list": "show them, one line each, the oldest first",
    "show": "show one with all that is known of it",
    "replay": "have what serves now parse them again, and wait",
    "export": "write their bytes to standard output or a file",
    "drop": "remove them for good",
}

Given = dict[str, str]
LAST = 10**18 - 1
"""After which no letter comes: asking for those only tells whether somebody answers."""
GO_ON = "they are parsed on in the background: hostd status tells when that is done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help_text in ACTIONS.items():
        action = actions.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        action.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="settings")
        if name == "show":
            action.add_argument("id", metavar="ID", help="its number, as hostd dead list shows it")
        else:
            _add_filters(action)
        if name in ("list", "show", "export"):
            action.add_argument("--json", action="store_true", help=_JSON[name])
        if name == "list":
            action.add_argument(
                "--limit", metavar="N", default="50", help=f"how many (default: 50; at most {PAGE_LETTERS})"
            )
            action.add_argument("--after", metavar="ID", help="only those with a higher number: the next page")
        if name == "export":
            action.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here")
        if name == "drop":
            action.add_argument("--all", action="store_true", help="all of them; without it, a filter is needed")


_JSON = {
    "list": "print the page as JSON",
    "show": "print it as JSON, its bytes as base64",
    "export": "a line of JSON for each, its bytes as base64",
}


def _add_filters(action: argparse.ArgumentParser) -> None:
    action.add_argument("--plugin", metavar="NAME", help="of this plugin")
    action.add_argument("--source", metavar="GLOB", help="of sources with this name")
    action.add_argument("--generation", metavar="N", help="that this generation could not parse")
    action.add_argument("--reason", metavar="TEXT", help="whose reason has this in it")
    action.add_argument("--since", metavar="TIME", help="not older: 90m, 12h, 7d, or 2026-01-31T12:00:00Z")
    action.add_argument("--id", metavar="ID", help="with this number")


def main(options: argparse.Namespace) -> int:
    """Do it and print."""
    given = {
        name: value for name in (*FILTERS, "limit", "after") if (value := getattr(options, name, None)) is not None
    }
    selection = Selection.parse(given)
    if selection.since is not None:
        given["since"] = selection.since  # the same for every page
    actions: dict[str, Callable[[StateFolder, Given, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "replay": _replay,
        "export": _export,
        "drop": _drop,
    }
    return actions[options.action](state_folder(options), given, options)


def _list(state: StateFolder, given: Given, options: argparse.Namespace) -> int:
    most = min(int(given["limit"]) if given["limit"].isdecimal() else 0, PAGE_LETTERS)
    if not most:
        raise HostdError("--limit", f"{given['limit']!r} is no number of letters", f"give one from 1 to {PAGE_LETTERS}")
    found: list[dict[str, Any]] = []
    with _pages(state) as page_of:
        following = given.get("after", "0")
        while True:
            page = page_of({**given, "after": following, "limit": str(most - len(found))})
            found += page["letters"]
            if page["next"] is None or len(found) >= most:
                break
            following = str(page["next"])
    if options.json:
        say_json({"letters": found, "next": page["next"]})
        return 0
    say(texts.listed(found))
    if page["next"] is not None:
        say([f"there are more: --after {page['next']}"])
    return 0


def _show(state: StateFolder, given: Given, options: argparse.Namespace) -> int:
    with _pages(state) as page_of:
        page = page_of({"id": given["id"], "after": str(max(0, int(given["id"]) - 1)), "limit": "1", "full": "1"})
    if not page["letters"]:
        raise HostdError(f"dead letter {given['id']}", "is not there (any more)", "see hostd dead list")
    [letter] = page["letters"]
    if options.json:
        say_json(letter)
        return 0
    say(texts.shown(letter))
    return 0


def _export(state: StateFolder, given: Given, options: argparse.Namespace) -> int:
    count = cut = 0
    with _pages(state) as page_of, outputs.writing(options.output, "-o"), _output(options.output) as out:
        following: int | None = 0
        while following is not None:
            page = page_of({**given, "after": str(following), "limit": str(PAGE_LETTERS), "full": "1"})
            for letter in page["letters"]:
                raw = base64.b64decode(letter["raw_base64"])
                if options.json:
                    out.write(json.dumps(letter, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
                else:
                    out.write(raw if raw.endswith(b"\n") else raw + b"\n")
                count += 1
                cut += letter["kept"] < letter["length"]
            following = page["next"]
        out.flush()
    rest = f"; of {cut} of them only the start is kept" if cut else ""
    print(f"{count} dead letters exported{rest}", file=sys.stderr)  # noqa: T201
    return 0


def _replay(state: StateFolder, given: Given, options: argparse.Namespace) -> int:  # noqa: ARG001
    try:
        answer = client.ask(state.socket, "POST", f"/dead/replay?{_query(given)}")
    except NoDaemonError as error:
        raise NoDaemonError(
            error.where,
            "no hostd is running on this state folder, and only a daemon has the parsers",
            "start one: hostd run; a mended plugin is replayed by itself",
        ) from error
    say(texts.replayed(answer))
    if not answer["is_done"]:
        say([GO_ON])
    return 1 if answer["postponed"] else 0


def _drop(state: StateFolder, given: Given, options: argparse.Namespace) -> int:
    if options.all:
        given["all"] = "1"
    selection = to_drop(given)
    try:
        dropped = client.ask(state.socket, "POST", f"/dead/drop?{_query(given)}")["dropped"]
    except NoDaemonError:
        dropped = _drop_without_daemon(state, selection)
    print(f"{dropped} dead letters dropped")  # noqa: T201
    return 0


def _drop_without_daemon(state: StateFolder, selection: Selection) -> int:
    open_shelf(state.ledger)[
        0
    ].close()  # refuses what is no ledger of ours, before anything is made or brought up to date
    state.acquire()
    try:
        with closing(Ledger(state.ledger)) as ledger:
            dropped = 0
            after: int | None = 0
            while after is not None:
                count, after = ledger.dead.drop(selection, after)
                dropped += count
            return dropped
    finally:
        state.release()


@contextmanager
def _pages(state: StateFolder) -> Iterator[Callable[[Given], dict[str, Any]]]:
    """Give what returns a page of letters: asked of the daemon, or read from the ledger where none runs."""

    def ask(given: Given) -> dict[str, Any]:
        page: dict[str, Any] = client.ask(state.socket, "GET", f"/dead?{_query(given)}")
        return page

    try:
        ask({"after": str(LAST)})
    except NoDaemonError:
        db, shelf = open_shelf(state.ledger)
        with closing(db):
            yield lambda given: page_as_json(*read_page(shelf, given))
    else:
        yield ask


def _query(given: Given) -> str:
    return urlencode(given, errors="backslashreplace")


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdout.buffer
        return
    with path.open("wb") as file:
        yield file
