"""Streams and their sources: copies, other framings, plugins that go, versions that do not open what others made."""

from .harness import Daemon, Home, plugin, stopped
from .tracing import OTHER_LAYOUT, expected, records, trace, version

DATA = trace(60, damaged=None)


def kept_by_the_first(home: Home) -> tuple[Daemon, str]:
    """Return a daemon whose first generation keeps a stream that the second cannot open, and the source of that."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:400])
    daemon = home.start()
    daemon.wait_all_read()
    second = version("2.0.0", OTHER_LAYOUT)
    home.drop("trace.py", second)
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    home.append("a.trc", DATA[400:500])
    daemon.wait_event("stream.kept", generation=1)
    daemon.wait_all_read()
    return daemon, second


def test_a_copy_that_a_rotation_makes_goes_on_with_the_stream(home: Home) -> None:
    """`copytruncate` in the middle of a block: the copy is read to its end, the file from its start."""
    home.drop("trace.py", version("1.0.0"))
    path = home.append("a.trc", DATA[:444])
    daemon = home.start()
    daemon.wait_all_read()
    with stopped(daemon):
        home.append("a.trc", DATA[444:])
        (home.logs / "a.trc.1").write_bytes(path.read_bytes())
        path.write_bytes(trace(12, damaged=None))
    daemon.wait_records("trace", 72)
    status = daemon.wait_all_read()
    numbers = sorted(int(record["number"]) for record in home.records("trace"))
    assert numbers == sorted([*range(60), *range(12)])
    assert status["dead_letters"] == {}
    assert daemon.term() == 0


def test_a_version_of_lines_does_not_take_a_stream_over(home: Home) -> None:
    """What is read as lines from now on is what is new; the stream stays with what has opened it."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:400])
    daemon = home.start()
    daemon.wait_all_read()
    home.drop("trace.py", plugin("trace", "2.0.0", glob="*.trc"))
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    home.append("a.trc", DATA[400:])
    kept = daemon.wait_event("stream.kept", source="logs/a.trc", generation=1, refused_by=2)
    assert kept["reason"] == "it is no stream: its framing is 'lines'"
    home.append("b.trc", "text")
    daemon.wait_event("source.found", source="logs/b.trc")
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert [r for r in home.records("trace") if r["@source"] == "logs/b.trc"] == [
        {"line": "text", "by": "2.0.0", "@source": "logs/b.trc"}
    ]
    assert daemon.term() == 0


def test_a_plugin_that_is_removed_takes_what_keeps_its_streams_with_it(home: Home) -> None:
    """No process of it stays; with the plugin back, what kept the stream is back too."""
    daemon, second = kept_by_the_first(home)
    (home.plugins / "trace.py").unlink()
    daemon.wait_event("generation.retired", plugin="trace", generation=1, reason="plugins.d/trace.py was removed")
    home.append("a.trc", DATA[500:])
    home.drop("trace.py", second)
    daemon.wait_event("generation.switched", 2, plugin="trace", version="2.0.0")
    daemon.wait_event("stream.kept", 2, generation=1)
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert daemon.term() == 0


def test_a_restart_while_a_plugin_is_removed_forgets_nothing_that_its_streams_need(home: Home) -> None:
    """What kept one is brought back when the plugin is, however often the daemon was restarted meanwhile."""
    daemon, second = kept_by_the_first(home)
    (home.plugins / "trace.py").unlink()
    daemon.wait_event("generation.retired", plugin="trace", generation=1)
    for _ in range(2):
        assert daemon.term() == 0
        daemon = home.start()
        daemon.rescan()  # which tidies what nothing needs
    home.append("a.trc", DATA[500:])
    home.drop("trace.py", second)
    daemon.wait_event("stream.kept", generation=1)
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert daemon.term() == 0


def test_a_version_that_refuses_the_snapshot_leaves_the_source_to_the_one_that_made_it(home: Home) -> None:
    """Until that ends; what is new goes to the new version, and a restart changes nothing about it."""
    home.configure(paths=("logs/*.trc",))
    home.drop("trace.py", version("1.0.0"))
    old = home.append("old.trc", DATA[:400])
    daemon = home.start()
    daemon.wait_all_read()
    home.drop("trace.py", version("2.0.0", OTHER_LAYOUT))
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    daemon.wait_event("generation.retired", plugin="trace", generation=1)
    home.append("old.trc", DATA[400:600])
    kept = daemon.wait_event("stream.kept", source="logs/old.trc")
    assert (kept["generation"], kept["refused_by"], kept["offset"]) == (1, 2, 400)
    assert kept["reason"].startswith("ValueError: a snapshot of layout 01; this version reads layout 02 (plugins.d/tr")
    home.append("new.trc", DATA)
    daemon.wait_event("source.found", source="logs/new.trc")
    daemon.wait_all_read()
    by = {record["@source"]: record["by"] for record in home.records("trace")}
    assert by == {"logs/old.trc": "1.0.0", "logs/new.trc": "2.0.0"}
    assert (source := daemon.source("logs/old.trc"))
    assert source["kept_by"] == 1
    assert (plugin := daemon.plugin("trace"))
    assert plugin["keeping"] == [{"generation": 1, "version": "1.0.0", "sources": 1}]
    assert "trace: generation 1 (1.0.0) keeps 1 source that the current one cannot go on with" in (
        home.hostd("status").stdout
    )
    daemon.kill9()
    home.append("old.trc", DATA[600:])
    daemon = home.start()
    daemon.wait_event("stream.kept", source="logs/old.trc", generation=1, refused_by=2)
    daemon.wait_all_read()
    old.rename(old.with_suffix(".gone"))
    daemon.wait_event("stream.ended", source="logs/old.trc", generation=1)
    daemon.wait_event("generation.retired", plugin="trace", generation=1)
    assert records(home, "old.trc") == records(home, "new.trc") == expected(DATA)
    assert daemon.status()["dead_letters"] == {}
    assert daemon.term() == 0


def test_a_source_waits_when_nobody_can_go_on_with_it(home: Home) -> None:
    """The bytes of what made its snapshot are gone: that is said, and a version that reads it goes on."""
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", DATA[:400])
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    for kept in (home.state / "artifacts").glob("*/*"):
        kept.unlink()
    home.drop("trace.py", version("2.0.0", OTHER_LAYOUT))
    home.append("a.trc", DATA[400:])
    daemon = home.start()
    waits = daemon.wait_event("stream.waiting", source="logs/a.trc", offset=400)
    assert waits["reason"].startswith("generation 2 does not open the snapshot of generation 1 (ValueError: a snapshot")
    assert waits["reason"].endswith(
        "and that one is gone: its bytes are lost, or not trusted any more; drop in a version whose open takes that"
        " snapshot"
    )
    assert (source := daemon.source("logs/a.trc"))
    assert (source["plugin"], source["why"]) == (None, waits["reason"])
    home.drop("trace.py", version("3.0.0"))
    daemon.wait_all_read()
    assert records(home, "a.trc") == expected(DATA)
    assert daemon.term() == 0
