"""Asking where a record comes from, as an operator does: with and without a daemon, after rotations and swaps."""

import json
from typing import Any

import pytest

from .harness import Home, plugin


def explain(home: Home, line: str) -> dict[str, Any]:
    """Return what the command says of a line."""
    done = home.hostd("explain", line, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_each_line_is_explained_to_the_bytes_and_the_version_that_made_it(home: Home) -> None:
    """Beside the daemon and after it, also once output and source were rotated."""
    home.drop("lines.py", plugin())
    home.append("a.log", "one", "two")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    home.drop("lines.py", plugin(version="2.0.0"))
    switched = daemon.wait_event("generation.switched", version="2.0.0")
    (home.out / "lines.ndjson").rename(home.out / "lines.ndjson.1")
    (home.logs / "a.log").rename(home.logs / "a.log.1")
    home.append("a.log", "three")
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    started = daemon.wait_event("generation.started", version="2.0.0")

    def check() -> None:
        first, third = explain(home, "out/lines.ndjson.1:2"), explain(home, "out/lines.ndjson:1")
        assert (first["version"], first["generation"], first["exact"]) == ("1.0.0", 1, True)
        assert (first["begin"], first["until"], first["input"]) == (4, 8, "two\n")
        assert (first["source"], first["source_path"]) == ("logs/a.log", str(home.logs / "a.log.1"))
        assert (third["version"], third["generation"]) == ("2.0.0", switched["generation"])
        assert third["digest"].startswith(started["digest"])
        assert (third["source_path"], third["input"]) == (str(home.logs / "a.log"), "three\n")
        assert json.loads(third["record"]) == {"line": "three", "by": "2.0.0", "@source": "logs/a.log"}

    check()
    assert daemon.term() == 0
    check()


def test_for_people_it_is_a_few_lines(home: Home) -> None:
    """What is not text is escaped."""
    home.drop("lines.py", plugin())
    home.append("a.log", b"caf\xc3\xa9\t\x1b[1m\n")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    done = home.hostd("explain", "out/lines.ndjson:1")
    lines = done.stdout.splitlines()
    assert lines[0] == "out/lines.ndjson:1"
    assert [line.split(maxsplit=1)[0] for line in lines[1:]] == [
        *("record", "source", "bytes", "plugin", "digest", "committed", "input")
    ]
    assert lines[3].split(maxsplit=1)[1] == "0 to 11"
    assert lines[4].split(maxsplit=1)[1] == "lines 1.0.0, generation 1"
    assert lines[7].split(maxsplit=1)[1] == "café\\t\\x1b[1m"


@pytest.mark.slow
def test_what_cannot_be_told_is_said_with_what_to_do(home: Home) -> None:
    """A name without a line, a file that is not there, and a folder without a ledger."""
    for text in ("out/lines.ndjson", "out/lines.ndjson:0", "out/lines.ndjson:x"):
        done = home.hostd("explain", text)
        assert done.returncode == 1
        assert done.stderr == (
            f"hostd: {text}: names no line of a file; write it as out/access.ndjson:17, counted from 1\n"
        )
    done = home.hostd("explain", "out/lines.ndjson:1")
    assert done.stderr == (
        f"hostd: {home.state}/ledger.db: there is no ledger here; start hostd once, or name its --config\n"
    )
    home.start().term()
    done = home.hostd("explain", "out/lines.ndjson:1")
    assert done.stderr == (
        "hostd: out/lines.ndjson: cannot be read: No such file or directory; name a sink's file and a line\n"
    )
