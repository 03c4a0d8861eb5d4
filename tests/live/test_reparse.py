"""Parsing again what one generation parsed: exactly its records are replaced, all at once, whatever else goes on."""

import json
from typing import Any

import pytest

from .harness import Daemon, Home, plugin

NAMES = ["a.log", "b.log", "c.log"]


def reparse(home: Home, generation: int, *more: str, plugin: str = "lines") -> dict[str, Any]:
    """Run the command to its end; return what it says."""
    done = home.hostd("reparse", plugin, "--generation", str(generation), "--json", *more)
    assert done.returncode in (0, 3), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def swap(home: Home, daemon: Daemon, version: str, **more: str) -> int:
    """Put another version into service; return its generation."""
    home.drop("lines.py", plugin(version=version, **more))
    switched = daemon.wait_event("generation.switched", plugin="lines", version=version)
    return int(switched["generation"])


def by_version(home: Home) -> dict[str, list[str]]:
    """Return the lines in the output by the version that made them."""
    found: dict[str, list[str]] = {}
    for record in home.records():
        found.setdefault(record["by"], []).append(record["line"])
    return found


def in_order(home: Home, names: list[str]) -> None:
    """Check that every line of every log is in the output once, in its order."""
    for name in names:
        assert home.lines(source=f"logs/{name}") == (home.logs / name).read_text().splitlines(), name


@pytest.fixture
def three(home: Home) -> tuple[Home, Daemon]:
    """Two logs, each parsed in turn by three generations, of which the second is wrong."""
    home.drop("lines.py", plugin())
    daemon = home.start()
    count = 0
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        if version != "1.0.0":
            swap(home, daemon, version, tag="wrong" if version == "2.0.0" else version)
        for name in ("a.log", "b.log"):
            home.append(name, *[f"{name} {version} {number}" for number in range(50)])
            count += 50
            daemon.wait_records("lines", count)
        daemon.wait_all_read()
    return home, daemon


def test_exactly_what_one_generation_made_is_replaced(three: tuple[Home, Daemon]) -> None:
    """What came before and after stays as it is, byte for byte, and each source keeps its order."""
    home, daemon = three
    before = home.raw("lines").splitlines()
    answer = reparse(home, 2)
    assert answer["state"] == "done"
    assert (answer["records_before"], answer["records_after"], answer["by"]) == (100, 100, [3])
    assert answer["left"] == []
    after = home.raw("lines").splitlines()
    assert after == [line.replace(b'"by":"wrong"', b'"by":"3.0.0"') for line in before]
    in_order(home, ["a.log", "b.log"])
    home.append("a.log", "one more")
    daemon.wait_records("lines", 301)
    [finished] = daemon.seen("reparse.finished")
    assert (finished["records_before"], finished["records_after"]) == (100, 100)
    assert sorted(path.name for path in home.out.iterdir()) == ["lines.ndjson"], "nothing is left beside"
