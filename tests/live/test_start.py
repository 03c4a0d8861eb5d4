"""Starting, the first records, stopping: what a person sees who tries hostd for the first time."""

import shutil
import signal
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from .harness import REPOSITORY, Daemon, Home, plugin

FIRST_RECORDS_S = 20.0
"""A second or two on an idle machine, for three dozen plugins; more where tests share their cores."""


@pytest.fixture
def shipped(tmp_path: Path) -> Home:
    """A home with the repository's own settings, plugins and logs."""
    home = Home(tmp_path / "home")
    shutil.rmtree(home.plugins)
    shutil.copytree(REPOSITORY / "plugins.d", home.plugins)
    shutil.copytree(REPOSITORY / "examples" / "logs", home.path / "examples" / "logs")
    shutil.copyfile(REPOSITORY / "hostd.toml", home.settings)
    return home


@pytest.fixture
def running(shipped: Home):
    """That home with a daemon, and an assurance that nothing of it is left."""
    daemon = shipped.start()
    yield daemon
    shipped.end()


def seconds(event: dict) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def test_an_empty_state_has_records_within_a_moment(running: Daemon) -> None:
    """From nothing to records of every shipped processor in the time that a person takes to look."""
    for name in ("access", "csv", "json_lines", "syslog", "text"):
        switched = running.wait_event("generation.switched", plugin=name)
        assert seconds(switched) - running.started_at < FIRST_RECORDS_S
        running.wait(f"records of {name}", lambda name=name: running.home.records(name))
        written = (running.home.out / f"{name}.ndjson").stat().st_mtime
        assert written - running.started_at < FIRST_RECORDS_S
    running.wait_records("access", 200)
    assert seconds(running.wait_event("daemon.ready")) - running.started_at < FIRST_RECORDS_S


def test_ctrl_c_stops_it_with_exit_0_and_nothing_is_left(running: Daemon) -> None:
    """SIGINT ends the daemon, its zygote and every worker, and says what it waited for."""
    running.wait_event("generation.switched", plugin="csv")
    assert len(running.home.pids()) > 2
    assert running.interrupt() == 0
    assert running.seen("daemon.stopping")[0]["reason"] == "SIGINT"
    assert running.seen("daemon.stopped")[0]["exit_code"] == 0
    assert running.home.pids() == set()
    assert not (running.home.state / "hostd.sock").exists()


def test_a_plugin_dropped_in_while_it_runs_parses_the_log_that_waited(running: Daemon) -> None:
    """A log of a format of its own waits; the moment a plugin is copied in it is parsed, by the same daemon."""
    waiting = running.wait_event("source.unrouted", source="examples/logs/telemetry.tlm")
    assert (
        waiting["reason"] == "no plugin accepts it; drop one into the plugins folder, or set processor for its source"
    )
    shutil.copy(REPOSITORY / "examples" / "plugins" / "telemetry.py", running.home.plugins)
    switched = running.wait_event("generation.switched", plugin="telemetry")
    assert (switched["generation"], switched["took_over_from"]) == (1, None)
    records = running.wait_records("telemetry", 59)
    assert (records[0]["sensor"], records[0]["label"]) == (1, "boiler")
    assert running.wait_event("record.rejected", plugin="telemetry")["reason"].startswith("CRC-32 is ")
    assert running.running
    assert running.status()["daemon"]["pid"] == running.pid


def test_a_second_daemon_on_the_same_state_is_refused_by_pid(home: Home) -> None:
    """Two daemons never share a ledger: the second names the first, and ends with 1."""
    first = home.start()
    second = home.hostd("run", "--config", str(home.settings))
    assert second.returncode == 1
    assert second.stderr == (
        f"hostd: {home.state}: another hostd is running on this state folder, pid {first.pid}; "
        f"stop it (kill {first.pid}), or set another [state] folder\n"
    )
    assert first.running
    assert first.status()["daemon"]["pid"] == first.pid


def test_signals_during_the_start_stop_it_cleanly(home: Home) -> None:
    """A daemon that is told to stop before it is ready stops, with 0."""
    home.append("a.log", "one")
    daemon = home.start(ready=False)
    daemon.wait_event("daemon.started")
    daemon.send(signal.SIGTERM)
    daemon.send(signal.SIGTERM)
    assert daemon.wait_exit() == 0


def test_a_restart_starts_nothing_of_what_was_proven(home: Home) -> None:
    """It goes on at once; its first worker comes with its first batch."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    daemon = home.start()
    resumed = daemon.wait_event("generation.resumed", plugin="lines")
    assert (resumed["generation"], resumed["version"]) == (1, "1.0.0")
    daemon.wait_event("generation.switched", plugin="lines", generation=1)
    daemon.wait_all_read()
    assert daemon.workers() == set()
    home.append("a.log", "2")
    daemon.wait_records("lines", 2)
    assert daemon.seen("generation.started") == []
    assert home.lines() == ["1", "2"]


@pytest.mark.parametrize("change", ["permanent = 0", "proven_under = 'hostd 0.0.9, Python 3.11.0, confined by none'"])
def test_a_restart_starts_what_was_not_proven_or_not_under_the_same_python(home: Home, change: str) -> None:
    """As at any other start: it is imported, and must pass its samples."""
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched")
    assert daemon.term() == 0
    with closing(sqlite3.connect(home.state / "ledger.db")) as db:
        db.execute(f"UPDATE generations SET {change}")
        db.commit()
    daemon = home.start()
    daemon.wait_event("generation.started", plugin="lines", generation=1)
    daemon.wait_event("generation.switched", plugin="lines", generation=1)
    assert daemon.seen("generation.resumed") == []


@pytest.mark.slow
def test_what_cannot_be_started_any_more_after_a_restart_is_failing_and_loses_nothing(home: Home) -> None:
    """Its first batch waits, the event says what is missing, and a rescan with that back in place goes on."""
    needed = home.path / "needed.txt"
    needed.write_text("here")
    code = f"from pathlib import Path\n\nassert Path('{needed}').read_text() == 'here'\n"
    home.configure(f"[plugins.sandbox.grants.lines]\npaths = ['{home.path}']\n")
    home.drop("lines.py", plugin(manifest=f"needs = {{ paths = ['{home.path}'] }}", code=code))
    home.append("a.log", "0")
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    needed.write_text("gone")
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_event("generation.resumed")
    failing = daemon.wait_event("generation.failing", plugin="lines", generation=1)
    assert "importing it raises AssertionError" in failing["reason"]
    needed.write_text("here")
    daemon.rescan()
    daemon.wait_records("lines", 2)
    assert home.lines() == ["0", "1"]
