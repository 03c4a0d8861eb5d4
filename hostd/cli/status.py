"""Show what a running daemon does: plugins, sources, and what is not in service and why."""

import argparse
from collections.abc import Iterable
from typing import Any

from hostd.cli.asking import state_folder
from hostd.cli.printing import printable, say, say_json, table
from hostd.control import client

EPILOG = """examples:
  hostd status
  hostd status --json | python3 -m json.tool
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print the whole status as JSON")


def main(options: argparse.Namespace) -> int:
    """Ask and print."""
    status = client.ask(state_folder(options).socket, "GET", "/status")
    if options.json:
        say_json(status)
        return 0
    say(describe(status))
    return 0


def describe(status: dict[str, Any]) -> Iterable[str]:
    """Yield the status as lines for people."""
    daemon = status["daemon"]
    yield f"hostd {daemon['version']}, pid {daemon['pid']}, since {daemon['since']}"
    reason = status["sandbox"]["reason"]
    yield f"sandbox: {status['sandbox']['by']}{f' ({reason})' if reason else ''}"
    yield ""
    yield from table(
        ("PLUGIN", "VERSION", "GENERATION", "STATE", "SINCE", "RECORDS", "REJECTED", "WORKERS", "SANDBOX", "DIGEST"),
        [
            (
                p["name"],
                p["version"],
                p["generation"],
                p["state"],
                p["since"],
                p["records"],
                p["rejected"],
                p["workers"],
                sandbox(p["sandbox"]),
                p["digest"][:12],
            )
            for p in status["plugins"]
        ],
    )
    yield ""
    yield from table(
        ("SOURCE", "ROUTED TO", "OFFSET", "SIZE"),
        [(s["name"], s["plugin"] or "-", s["offset"], s["size"]) for s in status["sources"]],
    )
    if status["intakes"]:
        yield ""
        yield from table(("INTAKE", "LISTENING", "COUNTS"), [_intake(each) for each in status["intakes"]])
    if held_up := status["held_up"]:
        yield ""
        yield f"HELD UP since {held_up['since']}, and reading waits"
        yield f"  {held_up['sink']}: {held_up['reason']}"
    undelivered = [each for each in status["undelivered"] if each["bytes"] or each["failing"]]
    if undelivered:
        yield ""
        yield from table(("UNDELIVERED", "KIB"), [(each["sink"], -(-each["bytes"] // 1024)) for each in undelivered])
        for each in undelivered:
            for failing in each["failing"]:
                yield f"  {failing['processor']}, tried again in {failing['retry_s']} s: {failing['reason']}"
    waiting = [f"{printable(source['name'])}: {source['why']}" for source in status["sources"] if not source["plugin"]]
    if status["left_out"]:
        waiting.append(f"{status['left_out']} more files: no descriptors are left for them (LimitNOFILE=)")
    if waiting:
        yield ""
        yield "WAITING"
        yield from (f"  {each}" for each in waiting)
    notes = [note for plugin in status["plugins"] for note in _notes(plugin)]
    if notes:
        yield ""
        yield "NOTES"
        yield from notes
    if status["refused"]:
        yield ""
        yield "REFUSED"
        for refused in status["refused"]:
            yield f"  at {refused['stage']}: {refused['reason']}"
    if trouble := status["ledger_trouble"]:
        yield ""
        yield f"DEAD LETTERS not known: {trouble}"
    else:
        yield from _dead_letters(status["dead_letter_totals"])


def _intake(intake: dict[str, Any]) -> tuple[str, str, str]:
    counts = {name: value for name, value in intake.items() if name not in ("kind", "name", "listening")}
    counts |= counts.pop("answered", {})
    said = " ".join(f"{name}={value}" for name, value in counts.items() if value not in (None, False))
    name = intake["kind"] if intake["kind"] == intake["name"] else f"{intake['kind']}:{intake['name']}"
    return name, " ".join(intake["listening"]) or "-", said or "-"


def _dead_letters(totals: dict[str, Any]) -> Iterable[str]:
    if not totals:
        return
    yield ""
    yield from table(
        ("DEAD LETTERS", "KEPT", "KIB", "REPLAYED", "EXPIRED", "DROPPED"),
        [
            (
                plugin,
                f"{total['letters']}{' (being replayed)' if total['is_replaying'] else ''}",
                -(-total["bytes"] // 1024),
                total["replayed"],
                total["expired"],
                total["dropped"],
            )
            for plugin, total in totals.items()
        ],
    )


def _notes(plugin: dict[str, Any]) -> Iterable[str]:
    if plugin["warm"] is not None:
        yield f"  {plugin['name']}: on probation; generation {plugin['warm']} is ready to take over again"
    for kept in plugin["keeping"]:
        sources = f"{kept['sources']} source{'s' if kept['sources'] != 1 else ''}"
        who = f"{plugin['name']}: generation {kept['generation']} ({kept['version']})"
        yield f"  {who} keeps {sources} that the current one cannot go on with"
    if held := plugin["held"]:
        yield f"  {plugin['name']}: {held['kind']} until {held['path']} changes: {held['reason']}"
    if failing := plugin["failing"]:
        yield f"  {plugin['name']}: failing, tried again in {failing['retry_s']} s: {failing['reason']}"


def sandbox(in_force: dict[str, Any]) -> str:
    """Return what confines a plugin, and what it was granted, in one word."""
    if in_force["by"] == "none":
        return "none"
    return "+".join([in_force["by"], *(["network"] if in_force["network"] else []), *in_force["paths"]])
