"""A generation that loses its worker again and again is failing: its input waits, and it is tried ever more rarely."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Daemon, Home, plugin
from .test_misbehaving import dead_letters

SETTINGS = "[workers]\nlosses = 2\n"


def dying(home: Home, version: str = "1.0.0") -> tuple[str, Path]:
    """Return a plugin that ends its process at every batch for as long as a file is there, and that file."""
    while_there = home.path / "dying"
    while_there.touch()
    source = plugin("dies", version, glob="*.dies", code="import os\n")
    return source.replace(
        "    return {", f"    if os.path.exists({str(while_there)!r}):\n        os._exit(3)\n    return {{"
    ), while_there


@pytest.fixture(name="failing")
def _failing(home: Home) -> tuple[Daemon, Path]:
    """A daemon with a generation that has just begun to fail, after three lines; and the file that it fails by."""
    home.configure(SETTINGS, sandbox="off")  # the plugin looks for a file, or kills its zygote
    source, while_there = dying(home)
    home.drop("dies.py", source)
    home.drop("lines.py", plugin())
    daemon = home.start()
    for number in range(3):
        home.append("a.dies", str(number))
        daemon.wait_event("record.rejected", count=number + 1, plugin="dies")
    event = daemon.wait_event("generation.failing", plugin="dies")
    assert (event["generation"], event["losses"], event["reason"], event["retry_s"]) == (1, 3, "exit status 3", 1.0)
    return daemon, while_there


def state(daemon: Daemon, name: str = "dies") -> str:
    found = daemon.plugin(name)
    assert found is not None
    assert (found["failing"] is not None) == (found["state"] == "failing")
    return str(found["state"])


def test_a_failing_generation_waits_longer_each_time_until_a_try_succeeds(failing: tuple[Daemon, Path]) -> None:
    """Status says so and why; what waits is parsed in the end; another plugin does not notice."""
    daemon, while_there = failing
    home = daemon.home
    home.append("a.dies", "3")
    found = daemon.plugin("dies")
    assert found is not None
    assert found["state"] == "failing"
    assert (found["failing"]["losses"], found["failing"]["reason"]) == (3, "exit status 3")
    assert 0 < found["failing"]["retry_s"] <= 1
    assert "failing" in home.hostd("status").stdout
    home.append("a.log", "meanwhile")
    daemon.wait_records("lines", 1, deadline_s=5)
    assert daemon.wait_event("generation.failing", count=2, plugin="dies")["retry_s"] == 2.0
    daemon.wait_event("record.rejected", count=4, plugin="dies")
    home.append("a.dies", "4")
    while_there.unlink()
    assert not home.records("dies")
    recovered = daemon.wait_event("generation.recovered", plugin="dies")
    assert recovered["generation"] == 1
    assert [record["line"] for record in daemon.wait_records("dies", 1)] == ["4"]
    assert [raw for *_, raw, _ in dead_letters(home)] == [b"0\n", b"1\n", b"2\n", b"3\n"]
    assert state(daemon) == "permanent"
    assert len(daemon.seen("generation.failing")) == 2


def test_sighup_gives_a_failing_generation_another_chance(failing: tuple[Daemon, Path]) -> None:
    """At once, whatever it would have waited; it takes as many losses as before until it is failing again."""
    daemon, while_there = failing
    daemon.hup()
    daemon.wait_event("generation.recovered", plugin="dies")
    assert state(daemon) == "permanent"
    for number in (3, 4):
        daemon.home.append("a.dies", str(number))
        daemon.wait_event("record.rejected", count=number + 1, plugin="dies")
    assert state(daemon) == "permanent"
    daemon.home.append("a.dies", "5")
    assert daemon.wait_event("generation.failing", count=2, plugin="dies")["retry_s"] == 1.0
    daemon.wait_event("record.rejected", count=6, plugin="dies")
    daemon.home.append("a.dies", "6")
    while_there.unlink()
    daemon.hup()
    daemon.wait_event("generation.recovered", count=2, plugin="dies")
    assert [record["line"] for record in daemon.wait_records("dies", 1)] == ["6"]


def test_a_new_digest_begins_without_losses(failing: tuple[Daemon, Path]) -> None:
    """What waited goes to it."""
    daemon, while_there = failing
    daemon.home.append("a.dies", "3")
    daemon.home.drop("dies.py", plugin("dies", "2.0.0", glob="*.dies"))
    daemon.wait_event("generation.switched", plugin="dies", generation=2)
    # And then the dead letters of the one before.
    first = daemon.wait("a record", lambda: daemon.home.records("dies"))[0]
    assert (first["line"], first["by"]) == ("3", "2.0.0")
    assert state(daemon) == "permanent"
    assert while_there.exists()


def test_a_restart_begins_without_losses(failing: tuple[Daemon, Path]) -> None:
    """What waited is parsed as soon as it is up."""
    daemon, while_there = failing
    daemon.home.append("a.dies", "3")
    assert daemon.term() == 0
    while_there.unlink()
    daemon = daemon.home.start()
    daemon.wait_records("dies", 1)
    assert state(daemon) == "permanent"
    assert not daemon.seen("generation.failing")


def test_a_line_among_many_costs_one_loss(home: Home) -> None:
    """Finding it takes a dozen workers, which is nobody's fault but that line's."""
    home.configure("[workers]\nlosses = 1\n", sandbox="off")  # the plugin looks for a file
    source, _ = dying(home)
    home.drop("dies.py", source.replace("if os.path", "if line == 'die' and os.path"))
    home.append("a.dies", *map(str, range(200)), "die", *map(str, range(200)))
    daemon = home.start()
    daemon.wait_records("dies", 400)
    assert len(daemon.seen("worker.exited")) > 8
    assert not daemon.seen("generation.failing")


def test_once_parses_what_a_failing_generation_can_and_does_not_wait(home: Home) -> None:
    """All of it is accounted for, and the exit code says that not all of it was parsed."""
    home.configure("[workers]\nlosses = 1\n\n[pipeline]\nmemory_mib = 8\n", sandbox="off")
    home.drop("dies.py", dying(home)[0])
    for number in range(5):
        home.append(f"{number}.dies", "x")
    daemon = home.start("--once")
    assert daemon.wait_exit() == 3
    assert daemon.seen("generation.failing")
    assert len(dead_letters(home)) == 5


def test_once_leaves_what_no_worker_can_be_started_for(home: Home) -> None:
    """A plugin that loads only once has its input left in its file, with a word, and the daemon ends."""
    home.configure("[workers]\nlosses = 1\n", sandbox="off")  # the plugin looks for a file
    mark = home.path / "loaded"
    code = f"import os\n\nMARK = {str(mark)!r}\nif os.path.exists(MARK):\n    raise RuntimeError('only once')\n"
    code += "os.mknod(MARK)\n"
    source = plugin(code=code).replace("    return {", "    os._exit(3)\n    return {")
    home.drop("lines.py", source)
    home.append("a.log", "1")
    daemon = home.start("--once", ready=False)
    assert daemon.wait_exit() == 3
    assert "only once" in daemon.wait_event("source.unparsed", source="logs/a.log")["reason"]
    assert dead_letters(home) == []


@pytest.mark.slow
def test_a_plugin_that_kills_the_zygote_is_failing_and_no_line_of_another_is_dead(home: Home) -> None:
    """Nobody can tell which batch it was, so none is to blame: the killer's waits, the other's come out."""
    home.configure(SETTINGS, sandbox="off")  # the plugin looks for a file, or kills its zygote
    killing = plugin("kills", glob="*.kills", code="import os\nimport time\n")
    home.drop(
        "kills.py", killing.replace("    return {", "    os.kill(os.getppid(), 9)\n    time.sleep(60)\n    return {")
    )
    home.drop("lines.py", plugin())
    daemon = home.start()
    for name in ("kills", "lines"):
        daemon.wait_event("generation.switched", plugin=name)
    home.append("a.kills", "1")
    lines: list[str] = []
    while not daemon.seen("generation.failing", plugin="kills"):
        lines.append(str(len(lines)))
        home.append("a.log", lines[-1])
        daemon.wait("the line is out", lambda: home.raw("lines").count(b"\n") >= len(lines))
    assert "zygote" in daemon.wait_event("generation.failing", plugin="kills")["reason"]
    assert home.lines() == lines
    assert daemon.status()["dead_letters"] == {}
    waiting = daemon.source("logs/a.kills")
    assert waiting is not None
    assert waiting["offset"] == 0


def test_what_holds_up_an_event_loop_is_seen() -> None:
    """The watch of the grid of failures: whether a callback computes or blocks, and not when it awaits."""
    folder = Path(__file__).parent
    code = (
        "import asyncio, time, watched\n"
        "watched.watch()\n"
        "async def computes():\n"
        "    end = time.thread_time() + 0.1\n"
        "    while time.thread_time() < end: pass\n"
        "async def blocks(): time.sleep(0.1)\n"
        "async def awaits(): await asyncio.sleep(0.1)\n"
        "async def main(): await asyncio.gather(computes(), blocks(), awaits())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = [json.loads(line) for line in done.stderr.splitlines()]
    assert [each["event"] for each in seen] == ["loop.blocked"] * 2
    assert [next(n for n in ("computes", "blocks", "awaits") if n in each["callback"]) for each in seen] == [
        "computes",
        "blocks",
    ]
    assert all(each["held_s"] >= 0.09 for each in seen)
