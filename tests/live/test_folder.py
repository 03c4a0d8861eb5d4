"""The plugins folder's traps: what may happen to a folder that is watched, and to the files in it."""

import os
import shutil

import pytest

from .harness import Daemon, Home, plugin, stopped


@pytest.fixture
def serving(home: Home) -> Daemon:
    """A daemon whose plugin `lines` 1.0.0 has parsed a line."""
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    return daemon


def next_by(daemon: Daemon) -> str:
    """Return which version parses a line that is written now."""
    before = len(daemon.home.records())
    daemon.home.append("a.log", "next")
    by: str = daemon.wait_records("lines", before + 1)[-1]["by"]
    return by


def test_a_folder_moved_away_uninstalls_nothing_and_a_new_one_is_watched(serving: Daemon) -> None:
    """`mv plugins.d old`: what serves goes on. `mkdir plugins.d` and a file in it: that is what counts."""
    home = serving.home
    home.plugins.rename(home.path / "old")
    unreadable = serving.wait_event("folder.unreadable")
    assert unreadable["reason"] == "No such file or directory"
    assert next_by(serving) == "1.0.0"
    home.plugins.mkdir()
    home.drop("lines.py", plugin(version="2.0.0"))
    serving.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
    assert next_by(serving) == "2.0.0"
    home.drop("lines.py", plugin(version="3.0.0"))
    serving.wait_event("generation.switched", plugin="lines", generation=3, deadline_s=5)
    (home.path / "old" / "lines.py").write_text(plugin(version="9.0.0"))
    assert serving.rescan() == []
    assert next_by(serving) == "3.0.0"


def test_a_folder_swapped_in_one_go_is_noticed(serving: Daemon) -> None:
    """`mv plugins.d old && mkdir plugins.d` gives no event of the folder's own, and is noticed all the same."""
    home = serving.home
    home.plugins.rename(home.path / "old")
    home.plugins.mkdir()
    (home.plugins / "lines.py").write_text(plugin(version="2.0.0"))
    serving.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
    assert next_by(serving) == "2.0.0"
    assert not serving.seen("source.unrouted")


def test_a_folder_removed_and_made_again_is_watched(serving: Daemon) -> None:
    """`rm -r plugins.d`: what serves goes on; what is dropped into a new folder goes live, time and again."""
    home = serving.home
    for generation in range(2, 5):
        shutil.rmtree(home.plugins)
        serving.wait_event("folder.unreadable", count=generation - 1)
        assert next_by(serving) == f"{generation - 1}.0.0"
        home.plugins.mkdir()
        home.drop("lines.py", plugin(version=f"{generation}.0.0"))
        serving.wait_event("generation.switched", plugin="lines", generation=generation, deadline_s=5)
        assert next_by(serving) == f"{generation}.0.0"


def test_an_empty_folder_in_its_place_uninstalls(serving: Daemon) -> None:
    """A folder that is there and empty says what it says: no plugin is to serve."""
    home = serving.home
    home.plugins.rename(home.path / "old")
    home.plugins.mkdir()
    serving.wait_event("generation.retired", plugin="lines", deadline_s=5)
    assert serving.status()["plugins"] == []


def test_a_link_to_a_folder_is_followed_when_it_is_switched(home: Home) -> None:
    """A release is a folder, and plugins.d a link to it: switching the link is a deployment."""
    releases = home.path / "releases"
    for number in (1, 2):
        (releases / str(number)).mkdir(parents=True)
        (releases / str(number) / "lines.py").write_text(plugin(version=f"{number}.0.0"))
    home.plugins.rmdir()
    home.plugins.symlink_to(releases / "1")
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    link = home.path / "new-link"
    link.symlink_to(releases / "2")
    link.replace(home.plugins)
    daemon.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
    assert next_by(daemon) == "2.0.0"
    (releases / "2" / "lines.py").write_text(plugin(version="3.0.0"))
    daemon.wait_event("generation.switched", plugin="lines", generation=3, deadline_s=5)
    assert next_by(daemon) == "3.0.0"


def test_what_is_not_a_plugin_by_its_name_is_ignored(serving: Daemon) -> None:
    """Dotfiles, editors' temporaries, files switched off, folders: none is read, none is refused."""
    home = serving.home
    ignored = (
        ".lines.py.swp",
        ".hidden.py",
        "lines.py~",
        "#lines.py#",
        "lines.py.disabled",
        "__init__.py",
        "README.md",
    )
    for name in ignored:
        home.drop(name, "this is no plugin")
    (home.plugins / ".#lines.py").symlink_to("nobody@nowhere:1")
    (home.plugins / "folder.py").mkdir()
    (home.plugins / "__pycache__").mkdir()
    home.drop("other.py", plugin("other", glob="*.none"))
    serving.wait_event("generation.switched", plugin="other")
    assert serving.status()["refused"] == []
    assert serving.term() == 0
    assert not serving.seen("artifact.refused")
    assert [event["plugin"] for event in serving.seen("generation.switched")] == ["lines", "other"]


def test_a_plugin_is_switched_off_by_its_name(serving: Daemon) -> None:
    """`mv lines.py lines.py.disabled` retires it, and the name given back brings it back."""
    path = serving.home.plugins / "lines.py"
    path.rename(f"{path}.disabled")
    serving.wait_event("generation.retired", plugin="lines", deadline_s=5)
    (serving.home.plugins / "lines.py.disabled").rename(path)
    serving.wait_event("generation.switched", plugin="lines", generation=2, deadline_s=5)
    assert next_by(serving) == "1.0.0"


def test_a_renamed_plugin_goes_on_serving(serving: Daemon) -> None:
    """The same bytes under another file name are the same plugin: no line waits, and no generation is lost."""
    path = serving.home.plugins / "lines.py"
    path.rename(path.with_name("renamed.py"))
    serving.wait_event("artifact.found", path="plugins.d/renamed.py")
    assert next_by(serving) == "1.0.0"
    serving.rescan()
    assert next_by(serving) == "1.0.0"
    assert not serving.seen("source.unrouted")


def test_the_higher_version_of_two_files_serves_and_rm_goes_back(serving: Daemon) -> None:
    """mv and rm are the whole interface of a rollback."""
    home = serving.home
    home.drop("lines-2.py", plugin(version="2.0.0"))
    serving.wait_event("generation.switched", plugin="lines", generation=2)
    standby = serving.wait_event("artifact.standby", plugin="lines")
    assert standby["reason"] == (
        "plugins.d/lines.py: stand-by: plugins.d/lines-2.py has lines 2.0.0; remove that file to go back to this one"
    )
    home.drop("lines-0.py", plugin(version="0.9.0"))
    serving.wait_event("artifact.standby", version="0.9.0")
    assert next_by(serving) == "2.0.0"
    (home.plugins / "lines-2.py").unlink()
    back = serving.wait_event("generation.switched", plugin="lines", generation=3)
    assert (back["version"], back["took_over_from"]) == ("1.0.0", 2)
    assert next_by(serving) == "1.0.0"
    assert not serving.seen("source.unrouted")
    assert not serving.seen("artifact.refused")


def test_of_two_that_appear_at_once_the_higher_is_started_alone(serving: Daemon) -> None:
    """The lower of the two never runs while the higher one lies there, also not after a restart; `rm` brings it."""
    home = serving.home
    with stopped(serving):
        home.drop("lines-2.py", plugin(version="2.0.0"))
        home.drop("lines-3.py", plugin(version="3.0.0"))
    serving.wait_event("generation.switched", version="3.0.0")
    serving.rescan()
    assert [event["version"] for event in serving.seen("generation.started")] == ["1.0.0", "3.0.0"]
    assert {event["version"] for event in serving.seen("artifact.standby")} == {"1.0.0", "2.0.0"}
    assert serving.term() == 0
    daemon = home.start()
    daemon.rescan()
    assert [event["version"] for event in daemon.seen("generation.resumed")] == ["3.0.0"]
    (home.plugins / "lines-3.py").unlink()
    daemon.wait_event("generation.switched", version="2.0.0")
    assert next_by(daemon) == "2.0.0"
    daemon.rescan()
    assert [event["version"] for event in daemon.seen("generation.started")] == ["2.0.0"]


def test_a_broken_higher_version_leaves_the_lower_one_serving(serving: Daemon) -> None:
    """A higher version that cannot serve is refused, and the stand-by is what it was: current."""
    serving.home.drop("lines-2.py", plugin(version="2.0.0", code="raise RuntimeError('no')\n"))
    refused = serving.wait_event("artifact.refused", path="plugins.d/lines-2.py")
    assert refused["serving"] == "generation 1 (1.0.0)"
    assert next_by(serving) == "1.0.0"
    assert len(serving.seen("generation.switched")) == 1


def test_the_same_version_with_other_bytes_is_a_conflict(serving: Daemon) -> None:
    """Two files that both claim to be lines 1.0.0: the one in service stays, the other is told what to do."""
    home = serving.home
    home.drop("another.py", plugin(tag="another"))
    refused = serving.wait_event("artifact.refused", path="plugins.d/another.py")
    assert refused["reason"] == (
        "plugins.d/another.py: has the name and version of plugins.d/lines.py, lines 1.0.0, but other bytes; "
        "give it a higher version, or remove one of the two"
    )
    assert refused["serving"] == "generation 1 (1.0.0)"
    assert next_by(serving) == "1.0.0"
    (home.plugins / "lines.py").unlink()
    serving.wait_event("generation.switched", plugin="lines", generation=2)
    assert next_by(serving) == "another"
    assert serving.status()["refused"] == []


def test_a_conflict_outlives_a_restart(serving: Daemon) -> None:
    """The one of two twins that was in service is in service after a restart."""
    home = serving.home
    home.drop("another.py", plugin(tag="another"))
    serving.wait_event("artifact.refused", path="plugins.d/another.py")
    assert serving.term() == 0
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines")
    assert next_by(daemon) == "1.0.0"


@pytest.mark.parametrize("broken", ["this is no plugin\n", plugin(version="2.0.0", code="raise RuntimeError('no')\n")])
def test_a_restart_with_a_broken_file_comes_up_on_the_last_good_version(serving: Daemon, broken: str) -> None:
    """Broken while nobody looked: refused with its reason, and the version that served last serves again."""
    home = serving.home
    assert serving.term() == 0
    home.drop("lines.py", broken)
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", path="plugins.d/lines.py")
    assert refused["stage"] in ("checked", "started")
    switched = daemon.wait_event("generation.switched", plugin="lines")
    assert (switched["generation"], switched["version"]) == (1, "1.0.0")
    assert next_by(daemon) == "1.0.0"
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("generation.switched", plugin="lines", version="3.0.0")
    assert next_by(daemon) == "3.0.0"


def test_the_last_good_version_survives_two_restarts(serving: Daemon) -> None:
    """The kept copy is still there when the file stays broken over another restart, and a kill."""
    home = serving.home
    assert serving.term() == 0
    home.drop("lines.py", "this is no plugin\n")
    for _ in range(2):
        daemon = home.start()
        daemon.wait_event("generation.switched", plugin="lines")
        assert next_by(daemon) == "1.0.0"
        daemon.wait_all_read()
        daemon.kill9()


def test_a_pipe_named_like_a_plugin_blocks_nothing(serving: Daemon) -> None:
    """A FIFO is refused, and not waited for."""
    os.mkfifo(serving.home.plugins / "pipe.py")
    refused = serving.wait_event("artifact.refused", path="plugins.d/pipe.py")
    assert refused["reason"] == "plugins.d/pipe.py: is not a regular file; drop a file"
    assert next_by(serving) == "1.0.0"


@pytest.mark.slow
def test_a_sink_that_takes_nothing_keeps_no_look_at_the_folder_waiting(home: Home) -> None:
    """Also where nothing but looking tells of a change, and there is something to save for which the ledger waits."""
    home.configure('[daemon]\nwatch = "poll"\n')
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.out.rename(home.path / "aside")
    home.out.write_text("in the way")
    home.append("a.log", "2")
    daemon.wait_event("sink.failed", 3)  # longer than from one look to the next
    home.drop("other.py", plugin("other", glob="*.other"))
    daemon.wait_event("generation.switched", plugin="other")
    home.out.unlink()
    daemon.wait_records("lines", 1)
    assert home.lines() == ["2"]
    assert daemon.term() == 0
