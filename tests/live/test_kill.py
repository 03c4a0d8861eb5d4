"""kill -9 of any process at any moment: every input line is in the output exactly once, and in order per source."""

import os
import random
import signal
from collections.abc import Callable

import pytest

from .harness import Daemon, Home, Writer, plugin

NAMES = ["a.log", "b.log", "sub/c.log"]
LONGEST_LIFE_S = 0.6
"""A start takes about 0.3 s: half of the moments are before the first batch, half after."""


def assert_output_is_input(home: Home, writer: Writer) -> None:
    """Per source, the records are the lines of the file, byte for byte and in order; nothing was rejected."""
    for name, written in writer.written.items():
        lines = home.lines("lines", f"logs/{name}")
        assert len(lines) == len(written), f"{name}: {len(lines)} records of {len(written)} lines"
        content = "".join(f"{line}\n" for line in lines).encode()
        assert content == (home.logs / name).read_bytes(), name


def finish(home: Home, writer: Writer) -> Daemon:
    """Start once more, let it read everything, and stop it."""
    daemon = home.start()
    status = daemon.wait_all_read(60)
    assert status["dead_letters"] == {}
    assert len(status["sources"]) == len(writer.written)
    assert daemon.term() == 0
    return daemon


def kill_daemons(home: Home, times: int, seed: int) -> None:
    """Kill the daemon at random moments of its life, while lines arrive and versions change."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    home.drop("lines.py", plugin())
    version = 1
    with Writer(home, NAMES).writing() as writer:
        for _ in range(times):
            daemon = home.start(ready=False)
            moment = chance.choice(["time", "time", "time", "started", "routed", "opened", "switched", "swap"])
            if moment == "swap":
                version += 1
                daemon.wait_event("generation.switched")
                home.drop("lines.py", plugin(version=f"{version}.0.0"))
            event = {"started": "daemon.started", "routed": "source.routed", "switched": "generation.switched"}
            if moment == "opened":
                daemon.wait_event("ledger.opened")
            elif moment in event:
                daemon.wait_event(event[moment])
            writer.pause(chance.uniform(0, LONGEST_LIFE_S if moment == "time" else 0.05))
            daemon.kill9()
    finish(home, writer)
    assert_output_is_input(home, writer)


@pytest.mark.slow  # as the benchmark of faults does, with all kinds of kills in one
def test_killing_the_daemon_anywhere_loses_and_doubles_nothing(home: Home) -> None:
    """Eight kills at moments drawn from a fixed seed, and the output is the input."""
    kill_daemons(home, 8, seed=1)


def kill_again_and_again(home: Home, times: int, pick: Callable[[Daemon], int | None], event: str) -> None:
    """Kill what `pick` chooses, each time after new records have come out, while lines arrive."""
    home.drop("lines.py", plugin())
    daemon = home.start()
    with Writer(home, NAMES).writing() as writer:
        for count in range(1, times + 1):
            before = home.raw("lines").count(b"\n")
            daemon.wait("records come out", lambda before=before: home.raw("lines").count(b"\n") > before + 100)
            pid = daemon.wait("there is one to kill", lambda: pick(daemon))
            os.kill(pid, signal.SIGKILL)
            killed = daemon.wait_event(event, pid=pid)
            assert killed["reason"] == "killed by signal 9"
            assert len(daemon.seen(event)) >= count
    assert daemon.running
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    assert daemon.term() == 0
    assert_output_is_input(home, writer)


def living_zygote(daemon: Daemon) -> int | None:
    """Return the zygote's pid; None when it was killed and nobody has needed another one yet."""
    return daemon.zygote if daemon.zygote in daemon.home.pids() else None


@pytest.mark.slow  # as the benchmark of faults does, with all kinds of kills in one
def test_killing_workers_loses_and_doubles_nothing(home: Home) -> None:
    """A worker killed from outside is replaced, its batch parsed again, and the daemon goes on."""
    kill_again_and_again(home, 15, lambda daemon: next(iter(daemon.workers()), None), "worker.exited")


@pytest.mark.slow  # as the benchmark of faults does, with all kinds of kills in one
def test_killing_the_zygote_loses_and_doubles_nothing(home: Home) -> None:
    """When the process that workers are forked from is killed, its workers end with it, and another is started."""
    kill_again_and_again(home, 6, living_zygote, "zygote.exited")


def test_a_crash_between_sink_and_ledger_is_cut_off(home: Home) -> None:
    """Bytes in the output that the ledger does not know are cut off on start, and their input is parsed again."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    daemon.kill9()
    output = home.out / "lines.ndjson"
    length = output.stat().st_size
    with output.open("ab") as file:
        file.write(b'{"line": "never committed"}\n{"li')
    daemon = home.start()
    trimmed = daemon.wait_event("sink.trimmed")
    assert (trimmed["length"], trimmed["cut"]) == (length, 32)
    home.append("a.log", "3")
    daemon.wait_records("lines", 3)
    assert home.lines() == ["1", "2", "3"]


def test_a_plugin_swapped_while_the_daemon_was_dead_serves_the_rest(home: Home) -> None:
    """Killed, another version dropped in, started: the lines before are the old one's, those after the new one's."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    daemon.kill9()
    home.append("a.log", "2")
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon = home.start()
    assert daemon.wait_event("generation.switched", plugin="lines")["generation"] == 2
    assert [record["by"] for record in daemon.wait_records("lines", 2)] == ["1.0.0", "2.0.0"]
