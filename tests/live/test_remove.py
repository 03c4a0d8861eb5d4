"""`rm` is the interface to unload a plugin: its sources wait, and nothing of them is lost."""

import shutil

import pytest

from .harness import Daemon, Home, plugin


@pytest.fixture
def serving(home: Home) -> Daemon:
    """A daemon whose plugin `lines` 1.0.0 has parsed two lines."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    return daemon


def test_removing_a_plugin_retires_it_and_its_sources_wait(serving: Daemon) -> None:
    """The generation's processes end, lines that arrive meanwhile wait, and the plugin put back parses each once."""
    home = serving.home
    workers = serving.workers()
    assert workers
    (home.plugins / "lines.py").unlink()
    retired = serving.wait_event("generation.retired", plugin="lines", generation=1)
    assert retired["reason"] == "plugins.d/lines.py was removed"
    assert not workers & home.pids()
    assert serving.status()["plugins"] == []
    home.append("a.log", "3", "4")
    unrouted = serving.wait_event("source.unrouted", source="logs/a.log")
    assert (
        unrouted["reason"] == "no plugin accepts it; drop one into the plugins folder, or set processor for its source"
    )
    source = serving.source("logs/a.log")
    assert source is not None
    assert (source["plugin"], source["offset"]) == (None, 4)
    serving.wait("the source has grown", lambda: serving.source("logs/a.log")["size"] == 8)
    home.drop("lines.py", plugin())
    serving.wait_event("generation.switched", plugin="lines", generation=2)
    serving.wait_records("lines", 4)
    assert home.lines() == ["1", "2", "3", "4"]
    assert serving.term() == 0
    assert home.lines() == ["1", "2", "3", "4"]


def test_removing_under_load_loses_and_doubles_nothing(serving: Daemon) -> None:
    """Taken away and put back ten times while lines arrive: all of them, once, in order."""
    home = serving.home
    expected = ["1", "2"]
    for generation in range(1, 11):
        lines = [f"{generation}/{number}" for number in range(2000)]
        expected += lines
        home.append("a.log", *lines)
        (home.plugins / "lines.py").unlink()
        if generation % 2:
            serving.wait_event("generation.retired", plugin="lines", count=(generation + 1) // 2)
        home.drop("lines.py", plugin(version=f"1.0.{generation}"))
        serving.wait_event("generation.switched", plugin="lines", version=f"1.0.{generation}")
    serving.wait_records("lines", len(expected))
    assert home.lines() == expected


def test_another_plugin_takes_over_what_a_removed_one_parsed(serving: Daemon) -> None:
    """When the best plugin goes, the next that accepts the source goes on where it stopped."""
    home = serving.home
    fallback = plugin("fallback").replace('["*.log"]', '["*.log"], priority = -10')
    home.drop("fallback.py", fallback)
    serving.wait_event("generation.switched", plugin="fallback")
    home.append("a.log", "3")
    serving.wait_records("lines", 3)
    (home.plugins / "lines.py").unlink()
    serving.wait_event("source.routed", source="logs/a.log", plugin="fallback")
    home.append("a.log", "4")
    serving.wait_records("fallback", 1)
    assert home.lines("lines") == ["1", "2", "3"]
    assert home.lines("fallback") == ["4"]


def test_a_new_plugin_parses_what_waited_from_the_start(home: Home) -> None:
    """A log that nobody takes waits untouched, however long, and is then parsed from its first byte."""
    home.append("a.other", *(str(number) for number in range(1000)))
    daemon = home.start()
    daemon.wait_event("source.unrouted", source="logs/a.other")
    home.drop("other.py", plugin("other", glob="*.other"))
    daemon.wait_records("other", 1000)
    assert home.lines("other") == [str(number) for number in range(1000)]


@pytest.mark.parametrize("sandbox", ["off", "auto"])
def test_private_copies_that_somebody_removes_end_nothing(home: Home, sandbox: str) -> None:
    """With their folder: what is in service goes on. In a sandbox, which shows it, a new one takes a restart."""
    home.configure(sandbox=sandbox)
    home.drop("lines.py", plugin())
    home.drop("old.py", plugin("old", glob="*.old"))
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_event("generation.switched", plugin="old")
    shutil.rmtree(home.state / "artifacts")
    (home.plugins / "old.py").unlink()
    daemon.wait_event("generation.retired", plugin="old")
    home.drop("new.py", plugin("new", glob="*.new"))
    told = daemon.wait(
        "it serves, or is refused",
        lambda: daemon.seen("artifact.refused") or daemon.seen("generation.switched", plugin="new"),
    )
    if told[0]["event"] == "artifact.refused":
        assert told[0]["reason"].endswith(
            "the folder of private copies, artifacts in the state folder, was removed: restart hostd"
        )
    home.append("a.log", "2")
    daemon.wait_records("lines", 2)
    assert daemon.term() == 0
    home.append("a.new", "3")
    daemon = home.start()
    daemon.wait_records("new", 1)


def test_a_plugin_removed_while_it_starts_does_not_stay(home: Home) -> None:
    """Taken away before its import is done, it serves nothing, and leaves neither process nor copy."""
    home.configure(sandbox="off")
    gate = home.path / "gate"
    wait = f"import pathlib\nimport time\n\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
    home.drop("other.py", plugin("other", glob="*.none"))
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="other")
    home.drop("slow.py", plugin("slow", code=wait))
    daemon.wait("its worker imports it", lambda: len(home.pids() - home.spares()) == 4)
    (home.plugins / "slow.py").unlink()
    (home.plugins / "other.py").unlink()
    daemon.wait_event("generation.retired", plugin="other")  # and so the other one counts as removed as well
    gate.touch()
    alone = {daemon.pid, daemon.zygote}
    daemon.wait("daemon and zygote are alone", lambda: home.pids() - home.spares() == alone, deadline_s=5)
    daemon.wait("no private copy is left", lambda: not list((home.state / "artifacts").iterdir()), deadline_s=5)
    assert daemon.status()["plugins"] == []
    assert daemon.status()["refused"] == []
