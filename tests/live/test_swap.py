"""A new version serves the next batch, in whichever way its file came into the folder."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from .harness import Home, plugin, wheel


@pytest.fixture
def serving(home: Home):
    """A daemon whose plugin `lines` 1.0.0 has parsed a line."""
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    return daemon


def assert_swapped(daemon, version: str = "2.0.0", generation: int = 2) -> None:
    """The event names who took over from whom and how long it took; the next line is the new one's."""
    switched = daemon.wait_event("generation.switched", plugin="lines", generation=generation)
    assert switched["version"] == version
    assert switched["took_over_from"] == generation - 1
    assert 0 < switched["ms"] < 20_000
    before = len(daemon.home.records())
    daemon.home.append("a.log", "next")
    record = daemon.wait_records("lines", before + 1)[-1]
    assert record == {"line": "next", "by": version, "@source": "logs/a.log"}
    retired = daemon.wait_event("generation.retired", plugin="lines", generation=generation - 1)
    assert retired["reason"] == f"generation {generation} took over"
    assert not daemon.seen("artifact.refused")


def test_saving_as_vim_does_swaps(serving) -> None:
    """The old file renamed to a backup, a new one written, the backup deleted: one swap, no retirement between."""
    path = serving.home.plugins / "lines.py"
    path.rename(path.with_name("lines.py~"))
    path.write_text(plugin(version="2.0.0"))
    path.with_name("lines.py~").unlink()
    assert_swapped(serving)
    assert not serving.seen("source.unrouted")
    assert len(serving.seen("generation.switched", plugin="lines")) == 2


def test_copying_over_it_swaps(serving) -> None:
    """`cp new plugins.d/lines.py` truncates the file and writes into it: one swap, when it is whole."""
    shutil.copyfile(serving.home.aside(plugin(version="2.0.0")), serving.home.plugins / "lines.py")
    assert_swapped(serving)


def test_a_file_is_not_judged_while_it_is_being_written(serving) -> None:
    """A slow copy, in chunks that are no plugin by themselves, is taken in when it is closed, and never refused."""
    home = serving.home
    content = plugin(version="2.0.0").encode()
    third = len(content) // 3
    with (home.plugins / "lines.py").open("wb") as file:
        for number, start in enumerate((0, third, 2 * third)):
            file.write(content[start : start + third if number < 2 else len(content)])
            file.flush()
            # Another plugin going live proves that the folder was looked at with this one half written.
            home.drop(f"other{number}.py", plugin(f"other{number}", glob="*.none"))
            serving.wait_event("generation.switched", plugin=f"other{number}")
        home.append("a.log", "meanwhile")
        assert serving.wait_records("lines", 2)[1]["by"] == "1.0.0"
    assert_swapped(serving)
    assert len(serving.seen("generation.switched", plugin="lines")) == 2


def test_moving_one_in_from_elsewhere_swaps(serving) -> None:
    """`mv /tmp/new plugins.d/lines.py` gives a created event and no close: one swap."""
    serving.home.drop("lines.py", plugin(version="2.0.0"))
    assert_swapped(serving)


def test_a_wheel_takes_over_from_a_file(serving) -> None:
    """A wheel with a higher version placed beside the file takes over; the file becomes its stand-by."""
    name, content = wheel(version="2.0.0")
    serving.home.drop(name, content)
    assert_swapped(serving)
    standby = serving.wait_event("artifact.standby", plugin="lines")
    assert standby["reason"] == (
        f"plugins.d/lines.py: stand-by: plugins.d/{name} has lines 2.0.0; remove that file to go back to this one"
    )


def test_a_wheel_written_in_place_swaps(serving) -> None:
    """A wheel that a build tool writes straight into the folder is taken in when it is whole."""
    name, content = wheel(version="2.0.0")
    with (serving.home.plugins / name).open("wb") as file:
        file.write(content[:100])
        file.flush()
        serving.home.drop("other.py", plugin("other", glob="*.none"))
        serving.wait_event("generation.switched", plugin="other")
        file.write(content[100:])
    assert_swapped(serving)


def test_a_wheel_is_replaced_by_the_next_one(serving) -> None:
    """Two wheels of one package, one after the other: each runs its own code."""
    for generation, version in ((2, "2.0.0"), (3, "3.0.0")):
        name, content = wheel(version=version)
        serving.home.drop(name, content)
        assert_swapped(serving, version, generation)


def test_touching_a_file_swaps_nothing(serving) -> None:
    """A file with other times and the same bytes is the same generation."""
    os.utime(serving.home.plugins / "lines.py")
    shutil.copyfile(serving.home.aside(plugin()), serving.home.plugins / "lines.py")
    assert serving.rescan() == []
    status = serving.plugin("lines")
    assert status is not None
    assert status["generation"] == 1
    assert len(serving.seen("generation.switched", plugin="lines")) == 1


def test_a_storm_of_versions_ends_with_the_last(serving) -> None:
    """Fifty versions as fast as the disk takes them: what came between may be skipped, the last one serves."""
    for number in range(2, 52):
        serving.home.drop("lines.py", plugin(version=f"{number}.0.0"))
    serving.wait_event("generation.switched", plugin="lines", version="51.0.0")
    serving.home.append("a.log", "next")
    assert serving.wait_records("lines", 2)[1]["by"] == "51.0.0"
    switched = serving.seen("generation.switched", plugin="lines")
    assert [event["generation"] for event in switched] == list(range(1, len(switched) + 1))
    assert not serving.seen("artifact.refused")


def test_edits_faster_than_loads_are_skipped(home: Home) -> None:
    """A hundred while the first is being started: it, then the last, and never more than two generations at once."""
    home.configure(sandbox="off")  # the plugin waits for a file
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    serving = home.start()
    serving.wait_records("lines", 1)
    gate = home.path / "gate"
    slow = (
        f"import os\nimport time\n\nopen({f'{gate}.begun'!r}, 'w').close()\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)\n"
    )
    home.drop("lines.py", plugin(version="2.0.0", code=slow))
    serving.wait("the first is being started", (home.path / "gate.begun").exists)
    for number in range(3, 102):
        last = home.drop("lines.py", plugin(version=f"{number}.0.0"))
    serving.wait_event("artifact.found", digest=hashlib.sha256(last.read_bytes()).hexdigest()[:12])
    gate.touch()
    serving.wait_event("generation.switched", plugin="lines", version="101.0.0")
    assert serving.rescan() == []
    serving.wait_event("generation.retired", plugin="lines", generation=2)
    life = [event for event in serving.events if event["event"] in ("generation.started", "generation.retired")]
    assert [event["version"] for event in life if "version" in event] == ["1.0.0", "2.0.0", "101.0.0"]
    alive: set[int] = set()
    for event in life:
        (alive.add if event["event"] == "generation.started" else alive.remove)(event["generation"])
        assert len(alive) <= 2
    assert alive == {3}
    assert_swapped(serving, "101.0.0", 3)


def test_every_line_is_parsed_once_across_swaps(serving) -> None:
    """Lines written before, during and after a swap come out in order, those of one batch by one version."""
    home = serving.home
    expected = ["first"]
    for generation in range(2, 8):
        lines = [f"{generation}-{number}" for number in range(500)]
        home.append("a.log", *lines[:250])
        home.drop("lines.py", plugin(version=f"{generation}.0.0"))
        home.append("a.log", *lines[250:])
        serving.wait_event("generation.switched", plugin="lines", generation=generation)
        expected += lines
    records = serving.wait_records("lines", len(expected))
    assert [record["line"] for record in records] == expected
    versions = [int(record["by"].partition(".")[0]) for record in records]
    assert versions == sorted(versions)


def test_the_daemon_writes_no_bytecode_into_the_plugins_folder(serving) -> None:
    """The folder holds what the user put there, and nothing else."""
    name, content = wheel("other", glob="*.none")
    serving.home.drop(name, content)
    serving.wait_event("generation.switched", plugin="other")
    assert sorted(path.name for path in serving.home.plugins.iterdir()) == ["lines.py", name]
    assert not list(Path(serving.home.state).rglob("*.pyc"))


def test_versions_go_live_and_away_while_a_sink_takes_nothing(serving) -> None:
    """Nothing but their records waits for it, and those come when it does: each line once, by what was live."""
    home = serving.home
    home.drop("other.py", plugin("other", glob="*.other"))
    serving.wait_event("generation.switched", plugin="other")
    home.append("a.other", "1")
    serving.wait_records("other", 1)
    (home.out / "other.ndjson").rename(home.path / "aside")
    (home.out / "other.ndjson").mkdir()
    home.append("a.other", "2")
    serving.wait_event("sink.failed")
    for version in ("2.0.0", "3.0.0"):
        home.drop("lines.py", plugin(version=version))
        serving.wait_event("generation.switched", plugin="lines", version=version)
    (home.plugins / "lines.py").unlink()
    serving.wait_event("generation.retired", plugin="lines", reason="plugins.d/lines.py was removed")
    assert home.lines() == ["first"]
    (home.out / "other.ndjson").rmdir()
    serving.wait_records("other", 1)
    assert home.lines("other") == ["2"]
    assert serving.term() == 0
