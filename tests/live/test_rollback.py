"""`hostd rollback`, `pin`, `unpin`: what an operator decides holds until the plugin's file changes."""

import shutil

import pytest

from .harness import Daemon, Home, plugin, wheel, worse
from .test_misbehaving import dead_letters

pytestmark = pytest.mark.slow


def serving(home: Home, versions: int = 3, more: str = "") -> Daemon:
    """Return a daemon on whose plugin `lines` so many versions served, each proven, each parsing one line."""
    home.configure(more)
    daemon = home.start()
    for number in range(1, versions + 1):
        home.drop("lines.py", plugin(version=f"{number}.0.0"))
        daemon.wait_event("generation.switched", generation=number)
        home.append("a.log", f"line {number}")
        daemon.wait_records("lines", number)
    daemon.wait("only the last one is left", lambda: len(daemon.workers()) == 1)
    return daemon


def said(home: Home, *arguments: str) -> str:
    """Return what a command prints; it must succeed."""
    done = home.hostd(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def complaint(home: Home, *arguments: str) -> str:
    """Return what a command complains of; it must fail."""
    done = home.hostd(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def standing(daemon: Daemon) -> tuple[int, str, str | None]:
    """Return which generation serves, its state, and what it is held as."""
    status = daemon.plugin("lines")
    assert status is not None
    return status["generation"], status["state"], status["held"]["kind"] if status["held"] else None


def assert_next_by(daemon: Daemon, version: str) -> None:
    """One more line is one more record, by this version; nothing was ever rejected."""
    count = len(daemon.home.records())
    daemon.home.append("a.log", "next")
    assert daemon.wait_records("lines", count + 1)[-1]["by"] == version
    assert dead_letters(daemon.home) == []


def test_rollback_goes_back_to_the_one_before(home: Home) -> None:
    """Under its own number, with the bytes it had; the status says until when."""
    daemon = serving(home)
    assert said(home, "rollback", "lines") == (
        "lines is rolled back: generation 2 serves\nlines 2.0.0 is live as generation 2, taking over from 3 (3.0.0)\n"
    )
    assert standing(daemon) == (2, "permanent", "rolled back")
    held = daemon.wait_event("plugin.held")
    assert (held["generation"], held["kind"], held["reason"]) == (2, "rolled back", "the operator went back")
    path = home.plugins / "lines.py"
    assert f"  lines: rolled back until {path} changes: the operator went back\n" in said(home, "status")
    assert daemon.plugin("lines")["records"] == 1
    assert_next_by(daemon, "2.0.0")
    assert not daemon.seen("generation.tried", generation=2, compared_with=3)
    assert said(home, "rollback", "lines").startswith("lines is rolled back: generation 1 serves\n")
    assert_next_by(daemon, "1.0.0")


def test_rollback_to_a_generation_by_its_number(home: Home) -> None:
    """Back, and forward again."""
    daemon = serving(home)
    assert said(home, "rollback", "lines", "--to", "1").startswith("lines is rolled back: generation 1 serves\n")
    assert_next_by(daemon, "1.0.0")
    assert said(home, "rollback", "lines", "--to", "3").startswith("lines is rolled back: generation 3 serves\n")
    assert_next_by(daemon, "3.0.0")
    assert standing(daemon) == (3, "permanent", "rolled back")
    assert said(home, "unpin", "lines") == "lines is released\n"
    assert standing(daemon) == (3, "permanent", None)


def test_a_rollback_during_a_probation_goes_to_the_warm_one(home: Home) -> None:
    """Nothing has to be started."""
    daemon = serving(home, 2)
    home.configure(probation_s=600)
    daemon.hup()
    daemon.wait_event("config.reloaded")
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("generation.switched", generation=3)
    started = len(daemon.seen("generation.started"))
    assert said(home, "rollback", "lines") == (
        "lines is rolled back: generation 2 serves\nlines is back at generation 2 (2.0.0): the operator went back\n"
    )
    daemon.wait_event("generation.retired", generation=3)
    assert daemon.wait_event("generation.rolled_back")["reason"] == "the operator went back"
    assert len(daemon.seen("generation.started")) == started
    assert standing(daemon) == (2, "permanent", "rolled back")
    assert_next_by(daemon, "2.0.0")


def test_a_rollback_past_the_warm_one_ends_both(home: Home) -> None:
    """It was decided: there is no probation."""
    daemon = serving(home, 2)
    home.configure(probation_s=600)
    daemon.hup()
    daemon.wait_event("config.reloaded")
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("generation.switched", generation=3)
    said(home, "rollback", "lines", "--to", "1")
    assert standing(daemon) == (1, "permanent", "rolled back")
    for number in (2, 3):
        daemon.wait_event("generation.retired", generation=number)
    assert_next_by(daemon, "1.0.0")
    daemon.wait("one worker is left", lambda: len(daemon.workers()) == 1)


@pytest.mark.parametrize("change", ["touch", "hup", "rescan", "restart", "kill"])
def test_nothing_but_another_file_undoes_a_rollback(home: Home, change: str) -> None:
    """Not looking again, nor starting again."""
    daemon = serving(home)
    said(home, "rollback", "lines", "--to", "1")
    if change == "touch":
        shutil.copyfile(home.aside(plugin(version="3.0.0")), home.plugins / "lines.py")
    elif change == "hup":
        home.configure("[plugins.trial]\nregressions = 1\n")
        daemon.hup()
        daemon.wait_event("config.reloaded")
    elif change == "restart":
        assert daemon.term() == 0
    elif change == "kill":
        daemon.kill9()
    if not daemon.running:
        daemon = home.start()
        daemon.wait_event("generation.switched")
    assert daemon.rescan() == []
    assert standing(daemon) == (1, "permanent", "rolled back")
    assert_next_by(daemon, "1.0.0")


def test_another_file_ends_a_rollback(home: Home) -> None:
    """It is a version like any other: tried, and live."""
    daemon = serving(home)
    said(home, "rollback", "lines", "--to", "1")
    home.drop("lines.py", plugin(version="3.0.1"))
    assert daemon.wait_event("generation.switched", generation=4)["took_over_from"] == 1
    released = daemon.wait_event("plugin.released")
    assert (released["kind"], released["reason"]) == ("rolled back", "lines.py has changed")
    assert standing(daemon) == (4, "permanent", None)
    assert_next_by(daemon, "3.0.1")


def test_removing_the_file_removes_the_plugin_rolled_back_or_not(home: Home) -> None:
    """`rm` stays the whole interface; what is dropped in next is new."""
    daemon = serving(home)
    said(home, "rollback", "lines", "--to", "1")
    (home.plugins / "lines.py").unlink()
    assert daemon.wait_event("plugin.released")["reason"] == "lines.py was removed"
    daemon.wait("nothing serves", lambda: not daemon.status()["plugins"])
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("generation.switched", generation=4)
    assert_next_by(daemon, "3.0.0")


def test_a_broken_save_does_not_end_a_rollback(home: Home) -> None:
    """It is refused; the file as it was changes nothing either."""
    daemon = serving(home)
    said(home, "rollback", "lines", "--to", "1")
    home.drop("lines.py", "nonsense\n")
    daemon.wait_event("artifact.refused")
    assert standing(daemon) == (1, "permanent", "rolled back")
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait("nothing is refused", lambda: not daemon.rescan() and not daemon.status()["refused"])
    assert standing(daemon) == (1, "permanent", "rolled back")
    assert_next_by(daemon, "1.0.0")


def test_a_higher_version_beside_it_ends_a_rollback(home: Home) -> None:
    """Once it serves: one that is refused does not bring back what was rolled back."""
    daemon = serving(home)
    said(home, "rollback", "lines", "--to", "1")
    home.drop("zz.py", plugin(version="4.0.0", code="raise RuntimeError('no')\n"))
    daemon.wait_event("artifact.refused", path="plugins.d/zz.py")
    daemon.rescan()
    assert standing(daemon) == (1, "permanent", "rolled back")
    assert_next_by(daemon, "1.0.0")
    home.drop("zz.py", plugin(version="4.0.1"))
    daemon.wait_event("generation.switched", version="4.0.1")
    assert daemon.wait_event("plugin.released", deadline_s=5)["reason"] == "zz.py has a higher version"
    assert_next_by(daemon, "4.0.1")


def test_a_rollback_while_the_file_is_refused_holds(home: Home) -> None:
    """What lies there now is set aside, not what once did."""
    daemon = serving(home)
    home.drop("lines.py", plugin(version="4.0.0", code="raise RuntimeError('no')\n"))
    daemon.wait_event("artifact.refused")
    assert said(home, "rollback", "lines").startswith("lines is rolled back: generation 2 serves\n")
    daemon.rescan()
    assert standing(daemon) == (2, "permanent", "rolled back")
    home.drop("lines.py", plugin(version="4.0.1"))
    daemon.wait_event("generation.switched", version="4.0.1")


def test_a_generation_whose_bytes_are_gone_is_not_gone_back_to(home: Home) -> None:
    """The message says which are kept; nothing changes."""
    daemon = serving(home)
    digest = next(event for event in daemon.seen("artifact.found"))["digest"]
    [copy] = (home.state / "artifacts").glob(f"{digest}*")
    shutil.rmtree(copy)
    assert complaint(home, "rollback", "lines", "--to", "1") == (
        "hostd: lines: the bytes of generation 1 are not kept, or not trusted any more; "
        "kept beside generation 3: 2 (2.0.0)\n"
    )
    assert standing(daemon) == (3, "permanent", None)


def test_what_cannot_be_gone_back_to_is_said(home: Home) -> None:
    """No such plugin, no such generation, none before, the one that serves, no number."""
    daemon = serving(home, 2)
    assert complaint(home, "rollback", "other") == (
        "hostd: other: no plugin of this name is in service; in service: lines\n"
    )
    assert complaint(home, "rollback", "lines", "--to", "7") == (
        "hostd: lines: there is no generation 7 to go back to; kept beside generation 2: 1 (1.0.0)\n"
    )
    assert complaint(home, "rollback", "lines", "--to", "2") == (
        "hostd: lines: generation 2 serves already; kept beside generation 2: 1 (1.0.0)\n"
    )
    said(home, "rollback", "lines")
    assert complaint(home, "rollback", "lines") == (
        "hostd: lines: there is no earlier generation to go back to; kept beside generation 1: 2 (2.0.0)\n"
    )
    assert complaint(home, "pin", "other").startswith("hostd: other: no plugin of this name is in service; ")
    assert home.hostd("rollback", "lines", "--to", "x").returncode == 2
    assert standing(daemon) == (1, "permanent", "rolled back")


def test_a_generation_that_does_not_start_any_more_leaves_what_serves(home: Home) -> None:
    """It is tried once, and the command says why it failed; the file in service is not blamed."""
    home.configure(sandbox="off")  # the plugin needs a file
    needed = home.path / "needed"
    needed.touch()
    home.drop("lines.py", plugin(code=f"open({str(needed)!r}).close()\n"))
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.retired", generation=1)
    needed.unlink()
    assert complaint(home, "rollback", "lines").startswith(
        "hostd: lines: generation 1 does not come up; lines.py is refused: plugins.d/lines.py:14: "
        "importing it raises FileNotFoundError"
    )
    daemon.rescan()
    assert standing(daemon) == (2, "permanent", None)
    assert daemon.status()["refused"] == []
    assert len(daemon.seen("artifact.refused")) == 1
    assert_next_by(daemon, "2.0.0")


def test_a_held_generation_that_does_not_start_after_a_restart_leaves_the_choice_to_the_file(home: Home) -> None:
    """Tried once and not for ever; the decision stays, should it start again."""
    home.configure(sandbox="off")  # the plugin needs a file
    needed = home.path / "needed"
    needed.touch()
    home.drop("lines.py", plugin(code=f"open({str(needed)!r}).close()\n"))
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.retired", generation=1)
    said(home, "rollback", "lines")
    assert daemon.term() == 0
    needed.unlink()
    daemon = home.start()
    daemon.wait_event("generation.switched", version="2.0.0")
    assert len(daemon.seen("artifact.refused")) == 1
    needed.touch()
    daemon.rescan()
    assert standing(daemon) == (1, "permanent", "rolled back")
    assert_next_by(daemon, "1.0.0")


def test_pin_keeps_what_serves_until_unpin(home: Home) -> None:
    """A higher version beside it waits; then it goes live."""
    daemon = serving(home)
    assert said(home, "pin", "lines") == "lines is pinned: generation 3 serves\n"
    held = daemon.wait_event("plugin.held")
    assert (held["kind"], held["reason"]) == ("pinned", "the operator pinned it")
    name, content = wheel(version="4.0.0")
    home.drop(name, content)
    daemon.wait_event("artifact.found", path=f"plugins.d/{name}")
    assert daemon.rescan() == []
    assert standing(daemon) == (3, "permanent", "pinned")
    path = home.plugins / "lines.py"
    assert f"  lines: pinned until {path} changes: the operator pinned it\n" in said(home, "status")
    assert_next_by(daemon, "3.0.0")
    assert said(home, "unpin", "lines") == (
        "lines is released\nlines 4.0.0 is live as generation 4, taking over from 3 (3.0.0)\n"
    )
    assert_next_by(daemon, "4.0.0")
    assert complaint(home, "unpin", "lines") == "hostd: lines: is neither pinned nor rolled back; see hostd status\n"


def test_a_pin_survives_restarts_and_ends_with_its_file(home: Home) -> None:
    """With a higher version beside it all the while."""
    daemon = serving(home, 1)
    said(home, "pin", "lines")
    home.drop("zz.py", plugin(version="9.0.0"))
    assert daemon.rescan() == []
    daemon.kill9()
    daemon = home.start()
    assert daemon.wait_event("generation.switched")["generation"] == 1
    assert daemon.rescan() == []
    assert standing(daemon) == (1, "permanent", "pinned")
    home.drop("lines.py", plugin(version="1.0.1"))
    assert daemon.wait_event("plugin.released")["reason"] == "lines.py has changed"
    daemon.wait_event("generation.switched", version="9.0.0")


def test_a_pin_during_a_probation_is_not_undone_by_a_regression(home: Home) -> None:
    """What it fails is the proven one's, as before; but it was decided that it stays."""
    home.configure(probation_s=600)
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    said(home, "pin", "lines")
    home.append("a.log", "bad 1")
    daemon.wait_event("batch.regressed")
    assert daemon.wait_records("lines", 2)[1]["by"] == "1.0.0"
    assert_next_by(daemon, "2.0.0")
    assert standing(daemon) == (2, "current", "pinned")


def test_a_pin_keeps_options_too(home: Home) -> None:
    """Options are part of a generation."""
    code = (
        "from pydantic import BaseModel\n\n\nclass Options(BaseModel):\n    mark: str = 'none'\n\n\n"
        "class _Marked:\n"
        "    def parse(self, data, ctx):\n"
        "        return [{'line': line, 'by': ctx.options.mark} for line in data.decode().splitlines()]\n"
    )
    home.drop("lines.py", plugin(code=code).replace("return each_line(parse)", "return _Marked()"))
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    said(home, "pin", "lines")
    home.configure("[plugins.options.lines]\nmark = 'new'\n")
    daemon.hup()
    daemon.wait_event("config.reloaded")
    daemon.rescan()
    assert_next_by(daemon, "none")
    said(home, "unpin", "lines")
    assert_next_by(daemon, "new")


def test_pinning_what_was_rolled_back_to_keeps_it(home: Home) -> None:
    """By a probation: the file that failed does not come back by being pinned away from."""
    home.configure("[plugins.trial]\nmode = 'off'\n", probation_s=600)
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "bad 1")
    daemon.wait_event("generation.retired", generation=2)
    assert said(home, "pin", "lines") == "lines is pinned: generation 1 serves\n"
    home.drop("zz.py", plugin(version="3.0.0"))
    daemon.wait_event("artifact.found", path="plugins.d/zz.py")
    daemon.rescan()
    assert standing(daemon) == (1, "permanent", "pinned")
    assert_next_by(daemon, "1.0.0")


def test_a_version_that_was_rolled_back_by_itself_is_had_as_it_is_on_request(home: Home) -> None:
    """As its refusal says; it is not on probation then, and its failures are dead letters."""
    home.configure(probation_s=600)
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "bad 1")
    daemon.wait_event("generation.retired", generation=2)
    reason = daemon.wait_event("artifact.refused")["reason"]
    command = reason.rpartition("hostd ")[2]
    assert said(home, *command.split()).startswith("lines is rolled back: generation 2 serves\n")
    assert standing(daemon) == (2, "permanent", "rolled back")
    home.append("a.log", "bad 2", "good")
    assert daemon.wait_records("lines", 3)[-1]["by"] == "2.0.0"
    assert daemon.wait_all_read()["dead_letters"] == {"lines": 1}


def test_a_rollback_of_what_is_pinned_stays_a_pin(home: Home) -> None:
    """A higher version beside it, which the pin kept out, does not step in."""
    daemon = serving(home, 2)
    said(home, "pin", "lines")
    home.drop("zz.py", plugin(version="9.0.0"))
    assert daemon.rescan() == []
    assert said(home, "rollback", "lines").startswith("lines is pinned: generation 1 serves\n")
    assert daemon.rescan() == []
    assert standing(daemon) == (1, "permanent", "pinned")
    assert_next_by(daemon, "1.0.0")


def test_deciding_for_one_plugin_tries_no_other_again(home: Home) -> None:
    """What is refused elsewhere is nothing that the command should tell."""
    home.drop("other.py", plugin("other", glob="*.none", code="raise RuntimeError('no')\n"))
    serving(home, 2)
    assert said(home, "pin", "lines") == "lines is pinned: generation 2 serves\n"
    assert said(home, "unpin", "lines") == "lines is released\n"
    assert said(home, "rollback", "lines").count("\n") == 2


def test_copies_of_the_last_generations_stay_and_no_others(home: Home) -> None:
    """Five, and the proven one if it is older; of a plugin that was removed none."""
    daemon = serving(home, 8)
    daemon.wait("five copies are left", lambda: len(list((home.state / "artifacts").iterdir())) == 5)
    assert complaint(home, "rollback", "lines", "--to", "3").endswith(
        "there is no generation 3 to go back to; kept beside generation 8: 4 (4.0.0), 5 (5.0.0), 6 (6.0.0), 7 (7.0.0)\n"
    )
    assert said(home, "rollback", "lines", "--to", "4").startswith("lines is rolled back: generation 4 serves\n")
    assert_next_by(daemon, "4.0.0")
    (home.plugins / "lines.py").unlink()
    daemon.wait("no copy is left", lambda: not list((home.state / "artifacts").iterdir()))
