"""Parsing again what one generation parsed: exactly its records are replaced, all at once, whatever else goes on."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from hostd.control import client

from .harness import Daemon, Home, Writer, plugin, worse

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


def test_lines_a_wrong_version_rejected_become_records(home: Home) -> None:
    """Also where it rejected all, so that there is no output yet; its dead letters go, those of the new one stay."""
    home.configure(probation_s=600)  # or they would be parsed again by themselves
    home.drop("lines.py", worse("1.0.0", word="l"))
    lines = [f"l{number}" for number in range(20)] + ["bad"]
    home.append("a.log", *lines[:10])
    daemon = home.start()
    daemon.wait_all_read()
    home.append("a.log", *lines[10:20])
    daemon.wait_all_read()
    assert daemon.status()["dead_letters"] == {"lines": 20}
    assert not (home.out / "lines.ndjson").exists()
    home.drop("lines.py", worse("2.0.0", word="l5"))
    daemon.wait_event("generation.switched", plugin="lines", version="2.0.0")
    answer = reparse(home, 1)
    assert (answer["records_before"], answer["dead_before"]) == (0, 20)
    assert (answer["records_after"], answer["dead_after"]) == (19, 1)
    assert home.lines() == [line for line in lines[:20] if line != "l5"]
    assert daemon.status()["dead_letters"] == {"lines": 1}
    home.append("a.log", "last")
    daemon.wait_records("lines", 20)


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(three: tuple[Home, Daemon]) -> None:
    home, daemon = three
    before = home.raw("lines")
    done = home.hostd("reparse", "lines", "--generation", "2", "--dry-run")
    assert done.returncode == 0
    begin = len("a.log 1.0.0 0\n") * 10 + len("a.log 1.0.0 10\n") * 40
    assert done.stdout.splitlines() == [
        f"logs/a.log: bytes {begin} to {begin * 2}",
        f"logs/b.log: bytes {begin} to {begin * 2}",
        f"{home.out}/lines.ndjson: 100 records to be replaced",
        (
            f"lines: 2 ranges, {2 * begin} bytes, 2 sources: 100 records and 0 dead letters of generation 2 would be"
            " replaced"
        ),
    ]
    assert home.raw("lines") == before
    assert daemon.seen("reparse.started") == []


def test_what_cannot_be_replaced_is_said_and_the_rest_is_replaced(home: Home) -> None:
    """A source that is gone, and records in a file that logrotate took; the command ends with 3."""
    home.drop("lines.py", plugin(tag="wrong"))
    home.append("a.log", "rotated")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    (home.out / "lines.ndjson").rename(home.out / "lines.ndjson.1")
    home.append("a.log", "here")
    home.append("gone.log", "gone")
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    (home.logs / "gone.log").unlink()
    swap(home, daemon, "2.0.0")
    done = home.hostd("reparse", "lines", "--generation", "1")
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-4:] == [
        f"{home.out}/lines.ndjson: 1 records replaced",
        f"left as it is: 5 bytes of logs/gone.log: {home.logs}/gone.log is gone",
        f"left as it is: 1 records of {home.out}/lines.ndjson.1: it was rotated away",
        (
            "lines: 1 ranges, 5 bytes, 1 sources: 1 records and 0 dead letters of generation 1 are now 1 records and"
            " 0 dead letters of generation 2"
        ),
    ]
    assert sorted((record["line"], record["by"]) for record in home.records()) == [("gone", "wrong"), ("here", "2.0.0")]
    assert b"wrong" in (home.out / "lines.ndjson.1").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("lines", "--generation", "3"),
            (
                "lines: generation 3 is the one in service: it would make the same records; drop a mended version into"
                " the plugins folder first"
            ),
        ),
        (
            ("lines", "--generation", "7"),
            (
                "lines: nothing is known to have been parsed by generation 7; known of it are 1, 2, 3; nothing was"
                " replaced; hostd explain tells which generation made a record"
            ),
        ),
        (
            ("other", "--generation", "1"),
            "other: no generation of it is in service; drop it into the plugins folder first",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_words(
    three: tuple[Home, Daemon], arguments: tuple[str, ...], said: str
) -> None:
    home, _ = three
    done = home.hostd("reparse", *arguments)
    assert done.returncode == 1
    assert done.stderr == f"hostd: {said}\n"


def kill_while_reparsing(home: Home, times: int, seed: int) -> None:
    """Kill the daemon at random moments of reparses, while lines arrive; all is there once, in one state or the other.

    Each round a version that marks its records wrongly is replaced by one that does not, and its part parsed again.
    """
    print(f"seed {seed}")
    chance = random.Random(seed)
    home.drop("lines.py", plugin())
    daemon = home.start()
    outcomes = {"old": 0, "new": 0}
    with Writer(home, NAMES, burst=5, pause_s=0.05).writing() as writer:
        for number in range(times):
            wrong = swap(home, daemon, f"{2 * number + 2}.0.0", tag=f"wrong {number}")
            count = home.raw("lines").count(b"\n")
            daemon.wait("lines come", lambda count=count: home.raw("lines").count(b"\n") > count + 60)
            swap(home, daemon, f"{2 * number + 3}.0.0")
            client.ask(home.state / "hostd.sock", "POST", f"/reparse?name=lines&generation={wrong}")
            writer.pause(chance.uniform(0, 0.4))
            daemon.kill9()
            daemon = home.start()
            kept = sum(record["by"] == f"wrong {number}" for record in home.records())
            outcomes["old" if kept else "new"] += 1
            if kept:
                answer = reparse(home, wrong)
                assert answer["records_before"] == kept
                assert answer["left"] == []
            assert not any(record["by"] == f"wrong {number}" for record in home.records())
    daemon.wait_all_read(60)
    print(outcomes)
    for name, written in writer.written.items():
        assert home.lines(source=f"logs/{name}") == written, name
    assert sorted(path.name for path in home.out.iterdir()) == ["lines.ndjson"]
    last = home.records()[-1]
    explained = home.hostd("explain", f"{home.out}/lines.ndjson:{len(home.records())}", "--json")
    assert json.loads(explained.stdout)["input"] == f"{last['line']}\n", explained.stdout


@pytest.mark.slow
def test_killed_while_it_reparses_it_comes_up_in_the_old_state_or_the_new(home: Home) -> None:
    """Three kills at moments from a fixed seed, with a writer that goes on."""
    kill_while_reparsing(home, 3, seed=5)


@pytest.mark.slow
def test_ten_kills_of_a_reparse_lose_and_double_nothing(home: Home) -> None:
    """At random moments."""
    kill_while_reparsing(home, 10, seed=random.randrange(1 << 32))


@pytest.mark.slow
def test_a_large_reparse_holds_up_live_lines_for_a_moment_only(home: Home) -> None:
    """What is new is made beside; a line that is written meanwhile is committed within a second."""
    home.drop("lines.py", plugin(tag="wrong"))
    lines = [f"line {number} of a file that is large enough to take a while" for number in range(400_000)]
    home.append("large.log", *lines)
    daemon = home.start()
    daemon.wait_all_read(120)
    swap(home, daemon, "2.0.0")
    client.ask(home.state / "hostd.sock", "POST", "/reparse?name=lines&generation=1")
    latest, count, longest_s = b"", len(lines), 0.0
    while not daemon.seen("reparse.finished") and not daemon.seen("reparse.failed"):
        count += 1
        began = time.monotonic()
        home.append("small.log", f"small {count}")
        latest = f'"small {count}"'.encode()
        daemon.wait("it is committed", lambda latest=latest: latest in tail_of(home.out / "lines.ndjson"))
        longest_s = max(longest_s, time.monotonic() - began)
    assert daemon.seen("reparse.failed") == []
    assert count > len(lines) + 5, "that was no large reparse"
    assert longest_s < 1.0
    assert len(home.lines(source="logs/large.log")) == len(lines)
    assert {record["by"] for record in home.records()} == {"2.0.0"}


def tail_of(path: Path) -> bytes:
    """Return the last bytes of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1000))
        return file.read()
