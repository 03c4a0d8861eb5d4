"""Which processor takes a file, in the real daemon: it says who is in question, and agrees with the two commands."""

import gzip
import json
import shutil
from typing import Any

import pytest

from hostd.pipeline.routing import MISSING
from tests.live.harness import Daemon, Home, plugin
from tests.processors.support import LOGS, SHIPPED, SHIPPED_MANIFESTS

DATED = r"lines = '^\d\d\.\d\d\.'"


def accepting(name: str, accepts: str) -> str:
    """Return the source of a plugin that accepts this."""
    return plugin(name).replace('accepts = { names = ["*.log"] }', f"accepts = {{ {accepts} }}")


def install(home: Home) -> None:
    """Put all processors that ship into the plugins folder."""
    for path in SHIPPED:
        shutil.copy(path, home.plugins)


def wait_routed(daemon: Daemon, source: str, plugin: str) -> dict[str, Any]:
    """Wait until a source is routed to a plugin."""
    return daemon.wait_event("source.routed", source=source, plugin=plugin)


def test_a_file_that_two_plugins_accept_equally_waits_and_says_which(home: Home) -> None:
    home.drop("a.py", plugin("a"))
    home.drop("b.py", plugin("b"))
    home.append("x.log", "17.05.2024 no")
    daemon = home.start()
    reason = "a and b accept it equally; set processor, or give one a higher priority"
    daemon.wait_event("source.unrouted", source="logs/x.log", reason=reason)
    identified = home.hostd("identify", "logs/x.log")
    assert (identified.returncode, identified.stdout.splitlines()[0]) == (1, f"logs/x.log: waits: {reason}")
    parsed = home.hostd("parse", "logs/x.log")
    assert (parsed.returncode, parsed.stderr) == (1, f"hostd: logs/x.log: not parsed: {reason}\n")
    home.drop("c.py", accepting("c", DATED))
    wait_routed(daemon, "logs/x.log", "c")
    daemon.wait_records("c", 1)
    assert daemon.term() == 0


def test_a_file_that_nobody_accepts_waits_and_says_who_came_close(home: Home) -> None:
    home.drop("a.py", accepting("a", 'names = ["*.log"], head = "^GET"'))
    home.append("x.log", "17.05.2024 no")
    home.append("x.dat", "GET /")
    daemon = home.start()
    rest = "drop one into the plugins folder, or set processor for its source"
    reason = f"no plugin accepts it; a is near, but its head does not fit; {rest}"
    daemon.wait_event("source.unrouted", source="logs/x.log", reason=reason)
    other = f"no plugin accepts it; a is near, but its name does not fit; {rest}"
    daemon.wait_event("source.unrouted", source="logs/x.dat", reason=other)
    assert home.hostd("identify", "logs/x.log").stdout == f"logs/x.log: waits: {reason}\n"
    home.drop("b.py", accepting("b", DATED))
    wait_routed(daemon, "logs/x.log", "b")
    daemon.wait_records("b", 1)
    assert daemon.term() == 0


@pytest.mark.slow
def test_the_daemon_parse_and_identify_agree_on_every_sample_and_example(home: Home) -> None:
    """The three ask one function; packed files, holes and names are told alike on the way to it."""
    install(home)
    for manifest in SHIPPED_MANIFESTS:
        for number, sample in enumerate(manifest.samples):
            home.append(f"{manifest.name}-{number}/{sample.name}", sample.header.encode() + sample.content())
            home.append(f"{manifest.name}-{number}/plain.log", sample.header.encode() + sample.content())
    for log in LOGS.iterdir():
        home.append(f"examples/{log.name}", log.read_bytes())
    home.append("examples/empty.log", b"")
    files = sorted(str(path.relative_to(home.path)) for path in home.logs.rglob("*") if path.is_file())
    identified = {each["file"]: each for each in json.loads(home.hostd("identify", "--json", *files).stdout)}
    assert sorted(identified) == files
    done = home.hostd("parse", "--report", "report.jsonl", "-o", "parsed.ndjson", *files)
    assert done.returncode == 1
    parsed = {each["file"]: each for each in map(json.loads, (home.path / "report.jsonl").read_text().splitlines())}
    assert sorted(parsed) == files
    routed: dict[str, tuple[str | None, str]] = {}
    for event in map(json.loads, home.hostd("run", "--once").stderr.splitlines()):
        if event["event"] == "source.routed":
            routed[event["source"]] = (event["plugin"], event["why"])
        if event["event"] == "source.unrouted":
            routed[event["source"]] = (None, event["reason"])
    for file in files:
        found = (identified[file]["processor"], identified[file]["why"])
        if file != "logs/examples/empty.log":
            assert (parsed[file]["processor"], parsed[file]["why"]) == found
            assert routed[file] == found
        if found[0] is not None:
            assert parsed[file]["read"] == parsed[file]["bytes"]


def test_identify_looks_into_files_as_the_daemon_does(home: Home) -> None:
    """Packed, UTF-16, after a hole, by the name in the archive, and as the settings say."""
    home.drop("csv.py", accepting("csv", 'names = ["*.csv"]'))
    home.drop("get.py", accepting("get", 'head = "\\\\AGET"'))
    home.drop("half.py", "no plugin")
    home.append("a.csv.gz", gzip.compress(b"a,b\n"))
    home.append("b", gzip.compress(b"GET /\n"))
    home.append("c", "GET /\n".encode("utf-16"))
    home.append("d", bytes(70_000) + b"GET /\n")
    home.append("e", b"\xef\xbb\xbfGET /\n")
    home.append("cut.gz", gzip.compress(b"GET /\n" * 10_000)[:-20])
    home.append("set.csv", "GET /")
    home.append("gone/f", "x")
    own = home.settings.read_text().replace(
        "[[sources]]", '[[sources]]\npaths = ["logs/set.*"]\nprocessor = "other"\n\n[[sources]]', 1
    )
    home.settings.write_text(own)
    files = ["a.csv.gz", "b", "c", "d", "e", "cut.gz", "set.csv", "gone", "none"]
    done = home.hostd("identify", "--json", *(f"logs/{file}" for file in files))
    found = {each["file"].removeprefix("logs/"): (each["processor"], each["why"]) for each in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found == {
        "a.csv.gz": ("csv", "name"),
        **dict.fromkeys(["b", "c", "d", "e", "cut.gz"], ("get", "head")),
        "set.csv": (None, f"its configured processor 'other' is not in service; {MISSING}"),
        "gone": (None, "it cannot be read: it is no regular file; name one"),
        "none": (None, "it cannot be read: No such file or directory"),
    }
    assert (
        "half.py is not in service: plugins.d/half.py:1: has no PEP 723 block; begin the file with one" in done.stderr
    )
    assert home.hostd("identify", "logs/e").stdout == (
        "logs/e: get (head)\n  get  its first bytes have the pattern `head`; priority 0\n"
    )
    home.append("empty.csv", b"")
    empty = home.hostd("identify", "logs/empty.csv")
    assert (empty.returncode, empty.stdout) == (
        1,
        "logs/empty.csv: waits: it is empty; what takes it is decided by its first bytes\n",
    )
