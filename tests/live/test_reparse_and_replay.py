"""A reparse and a replay of dead letters of one plugin, side by side: each line is a record once, or a dead letter."""

import random
import sqlite3
import threading
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hostd.control import client
from hostd.errors import HostdError

from .harness import Daemon, Home, Writer, plugin, worse

LINES = [f"{'bad' if number % 4 == 3 else 'good'} {number}" for number in range(80)]


def held(home: Home, version: str, *, still_bad: str = "nothing") -> tuple[str, Path]:
    """Return a version that takes what `worse` rejects, and waits while a file is there, which is returned too."""
    gate = home.path / "closed"
    begun = home.path / f"begun {version}"
    code = (
        "import os\nimport time\n\n\n"
        "def wait():\n"
        f"    if os.path.exists({str(gate)!r}):\n"
        f"        open({str(begun)!r}, 'a').write('x')\n"
        f"    while os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.005)\n"
    )
    source = worse(version, word=still_bad, code=code, manifest="limits = { time_s = 60 }")
    return source.replace("    return {", "    wait()\n    return {"), gate


class Asking(threading.Thread):
    """Asks the daemon for something that takes a while; `answer` stays empty where the daemon is killed before that."""

    def __init__(self, home: Home, target: str) -> None:
        super().__init__(daemon=True)
        self.answer: dict[str, Any] = {}
        self._home, self._target = home, target
        self.start()

    def run(self) -> None:
        with suppress(HostdError):
            self.answer = client.ask(self._home.state / "hostd.sock", "POST", self._target)


def ask_reparse(home: Home, generation: int) -> None:
    client.ask(home.state / "hostd.sock", "POST", f"/reparse?name=lines&generation={generation}")


def wait_reparsed(daemon: Daemon) -> dict[str, Any]:
    """Return what the last reparse says once it is done."""

    def ended() -> dict[str, Any] | None:
        answer: dict[str, Any] = client.ask(daemon.home.state / "hostd.sock", "GET", "/reparse")
        return answer if answer["state"] in ("done", "failed") else None

    answer = daemon.wait("the reparse ends", ended)
    assert answer["error"] is None, answer
    return answer


def rejected_by_the_first(home: Home) -> Daemon:
    """Return a daemon whose first generation has rejected a quarter of the lines, and what it takes to try again."""
    home.configure(probation_s=600, sandbox="off")  # nothing is replayed by itself; the plugin looks for a file
    home.drop("lines.py", worse("1.0.0"))
    home.append("a.log", *LINES)
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.status()["dead_letters"] == {"lines": 20}
    return daemon


def swap(home: Home, daemon: Daemon, source: str, version: str) -> None:
    home.drop("lines.py", source)
    daemon.wait_event("generation.switched", plugin="lines", version=version)


def each_once(home: Home, wanted: list[str], by: str | None = None) -> None:
    """Check the records, whatever their order, and by which version they are."""
    records = home.records()
    assert sorted(record["line"] for record in records) == sorted(wanted)
    if by is not None:
        assert {record["by"] for record in records} == {by}


def accounted_once(home: Home) -> None:
    """Check that the ledger of a daemon that has stopped has each byte parsed once, and no letter of what is parsed."""
    with closing(sqlite3.connect(home.state / "ledger.db")) as db:
        for (source,) in db.execute("SELECT id FROM sources").fetchall():
            spans = db.execute(
                "SELECT start, end FROM provenance WHERE source = ? ORDER BY start, end", (source,)
            ).fetchall()
            assert all(end == start for (_, end), (start, _) in pairwise(spans)), spans
        twice = db.execute("SELECT source, offset FROM dead_letters GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
        assert twice == []


@pytest.mark.parametrize("first", ["reparse", "replay"])
@pytest.mark.parametrize("still_bad", ["nothing", "bad 7"], ids=["all are taken", "some stay dead"])
def test_both_at_once_make_each_line_a_record_once(home: Home, first: str, still_bad: str) -> None:
    """Whichever is asked for first, the other takes its turn after it; what stays dead is one letter."""
    daemon = rejected_by_the_first(home)
    source, gate = held(home, "2.0.0", still_bad=still_bad)
    swap(home, daemon, source, "2.0.0")
    gate.touch()
    begun = home.path / "begun 2.0.0"
    if first == "reparse":
        ask_reparse(home, 1)
        daemon.wait("it parses", begun.exists)
        replay = Asking(home, "/dead/replay")
    else:
        replay = Asking(home, "/dead/replay")
        daemon.wait("it parses", begun.exists)
        ask_reparse(home, 1)
    daemon.wait("both were asked for", lambda: replay.is_alive() and daemon.status())
    gate.unlink()
    wait_reparsed(daemon)
    replay.join(20)
    assert replay.answer["is_done"], replay.answer
    status = daemon.status()
    stays = [line for line in LINES if line.startswith(still_bad)]
    assert status["dead_letters"] == ({"lines": len(stays)} if stays else {})
    each_once(home, [line for line in LINES if line not in stays], by="2.0.0")
    assert daemon.term() == 0
    accounted_once(home)


def test_a_kill_while_both_wait_for_a_worker_leaves_all_to_be_done_again(home: Home) -> None:
    """Nothing of either was committed; done again after the start, each line is there once."""
    daemon = rejected_by_the_first(home)
    source, gate = held(home, "2.0.0")
    swap(home, daemon, source, "2.0.0")
    gate.touch()
    ask_reparse(home, 1)
    daemon.wait("it parses", (home.path / "begun 2.0.0").exists)
    done = home.hostd("reparse", "lines", "--generation", "1")
    assert done.stderr == "hostd: lines: lines generation 1 is being parsed again already; wait for its end\n"
    daemon.kill9()
    gate.unlink()
    daemon = home.start()
    daemon.wait("it is in service", lambda: daemon.plugin("lines"))
    assert daemon.status()["dead_letters"] == {"lines": 20}
    replay = Asking(home, "/dead/replay")
    ask_reparse(home, 1)
    wait_reparsed(daemon)
    replay.join(20)
    assert replay.answer["is_done"], replay.answer
    assert daemon.status()["dead_letters"] == {}
    each_once(home, LINES, by="2.0.0")
    assert daemon.term() == 0
    accounted_once(home)


def test_a_letter_that_a_later_version_rejected_too_is_replaced_with_its_bytes(home: Home) -> None:
    """It is that version's letter by then; the bytes are the first one's still."""
    daemon = rejected_by_the_first(home)
    swap(home, daemon, worse("2.0.0"), "2.0.0")
    assert home.hostd("dead", "replay").returncode in (0, 3)
    assert daemon.status()["dead_letters"] == {"lines": 20}
    swap(home, daemon, plugin(version="3.0.0"), "3.0.0")
    done = home.hostd("reparse", "lines", "--generation", "1")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith(
        "60 records and 20 dead letters of generation 1 are now 80 records and 0 dead letters of generation 3"
    )
    assert daemon.status()["dead_letters"] == {}
    replayed = home.hostd("dead", "replay")
    assert replayed.returncode == 0, replayed.stdout
    each_once(home, LINES, by="3.0.0")
    assert daemon.term() == 0
    accounted_once(home)


def test_what_a_wrong_version_made_of_letters_is_replaced_too(home: Home) -> None:
    """Its bytes lie among those of the batch that left them; that batch's records stay as they are."""
    daemon = rejected_by_the_first(home)
    swap(home, daemon, plugin(version="2.0.0", tag="wrong"), "2.0.0")
    assert home.hostd("dead", "replay").returncode == 0
    before = home.records()
    assert [record["by"] for record in before] == ["1.0.0"] * 60 + ["wrong"] * 20
    swap(home, daemon, plugin(version="3.0.0"), "3.0.0")
    done = home.hostd("reparse", "lines", "--generation", "2")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith(
        "20 records and 0 dead letters of generation 2 are now 20 records and 0 dead letters of generation 3"
    )
    assert home.records() == [{**record, "by": record["by"].replace("wrong", "3.0.0")} for record in before]
    assert daemon.term() == 0
    accounted_once(home)


def columns(version: str, *, takes: str) -> str:
    """Return a version that names the columns as the first line does, and takes the second as an expression says."""
    code = (
        "\n\nclass Columns:\n"
        "    def parse(self, data, ctx):\n"
        "        names = ctx.header.decode().strip().split(',')\n"
        "        for line in data.splitlines(keepends=True):\n"
        "            row = dict(zip(names, line.decode().strip().split(',')))\n"
        "            value = row['size']\n"
        "            try:\n"
        f"                yield {{'name': row['name'], 'size': {takes}}}\n"
        "            except ValueError as error:\n"
        "                ctx.reject(line, str(error))\n"
    )
    return plugin(version=version, manifest="header = 1", code=code).replace("each_line(parse)", "Columns()")


def test_what_a_reparse_leaves_dead_is_replayed_with_its_header(home: Home) -> None:
    """The line that says what the columns are goes with the letter, as it does from a live batch."""
    home.configure(probation_s=0)
    home.drop("lines.py", columns("1.0.0", takes="int(value) * 0"))
    home.append("a.log", "name,size", "one,1", "two,x", "three,3")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    home.drop("lines.py", columns("2.0.0", takes="int(value)"))
    daemon.wait_event("letters.replayed", generation=2, rejected=1)
    done = home.hostd("reparse", "lines", "--generation", "1")
    assert done.returncode == 0, done.stderr
    assert daemon.status()["dead_letters"] == {"lines": 1}
    number = home.hostd("dead", "list").stdout.splitlines()[1].split()[0]
    shown = home.hostd("dead", "show", number).stdout
    assert "framing: lines (header = 1)\nheader:\n  name,size\nbytes:\n  two,x\n" in shown
    home.drop("lines.py", columns("3.0.0", takes="value"))
    daemon.wait_event("letters.replayed", generation=3, letters=1)
    assert [record["size"] for record in home.records()] == [1, 3, "x"]
    assert daemon.term() == 0


def kill_while_both(home: Home, times: int, seed: int) -> None:
    """Kill the daemon at random moments while lines come, letters are replayed and generations are parsed again."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    home.drop("lines.py", plugin())
    daemon = home.start()
    with Phases(home, ["a.log", "b.log"], burst=5, pause_s=0.02).writing() as writer:
        for number in range(times):
            version, phase = f"{2 * number + 2}.0.0", f"phase{number}"
            swap(home, daemon, rejecting(version, phase), version)
            wrong = int(daemon.seen("generation.switched", version=version)[0]["generation"])
            writer.phase = phase
            daemon.wait_event("record.rejected", 3, generation=wrong)
            swap(home, daemon, plugin(version=f"{2 * number + 3}.0.0"), f"{2 * number + 3}.0.0")
            replay = Asking(home, "/dead/replay") if chance.random() < 0.5 else None
            ask_reparse(home, wrong)
            if chance.random() < 0.7:
                writer.pause(chance.uniform(0, 0.3))
                daemon.kill9()
                daemon = home.start()
            else:
                wait_reparsed(daemon)
                if replay is not None:
                    replay.join(20)
                    assert replay.answer["is_done"], replay.answer
    daemon.wait_all_read(60)
    daemon.wait("all letters are replayed", lambda: daemon.status()["dead_letters"] == {})
    for name, written in writer.written.items():
        assert sorted(home.lines(source=f"logs/{name}")) == sorted(written), name
    assert daemon.term() == 0
    accounted_once(home)


class Phases(Writer):
    """Writes lines that say in which phase they were written."""

    phase = "before"

    def _write(self) -> None:
        number = 0
        while not self._stop.wait(self._pause_s):
            for name, written in self.written.items():
                lines = [f"{name} {self.phase} {number + k}" for k in range(self._burst)]
                self._home.append(name, *lines)
                written += lines
            number += self._burst


def rejecting(version: str, phase: str) -> str:
    """Return a version that rejects some lines of a phase, and marks all others wrongly."""
    mark = "    return {"
    source = plugin(version=version, tag="wrong")
    is_bad = f"{f' {phase} '!r} in line and line.endswith(('3', '4'))"
    return source.replace(mark, f"    if {is_bad}:\n        raise ValueError(line)\n{mark}")


def test_two_kills_while_both_go_on_lose_and_double_nothing(home: Home) -> None:
    """From a fixed seed; letters are replayed by themselves too, as soon as a version is in service."""
    kill_while_both(home, 3, seed=2)


@pytest.mark.slow
def test_many_kills_while_both_go_on_lose_and_double_nothing(home: Home) -> None:
    """At random moments."""
    kill_while_both(home, 12, seed=random.randrange(1 << 32))
