"""A new version serves on probation: the proven one stays warm, takes what it fails, and comes back by itself."""

import os
import signal

import pytest

from .harness import Daemon, Home, Writer, plugin, worse
from .test_misbehaving import dead_letters
from .test_robust import gated, open_gate, parses_begun

LONG_S = 600


def serving(home: Home, *lines: str, more: str = "", probation_s: float = LONG_S, source: str | None = None) -> Daemon:
    """Return a daemon whose plugin `lines` 1.0.0 is proven and has parsed some lines, one at least."""
    home.configure(more, probation_s=probation_s)
    home.drop("lines.py", source or plugin())
    home.append("a.log", *(lines or ("first",)))
    daemon = home.start()
    daemon.wait_records("lines", len(lines) or 1)
    return daemon


def on_probation(daemon: Daemon, source: str, generation: int = 2) -> None:
    """Have a version go live, and wait until it does."""
    daemon.home.drop("lines.py", source)
    daemon.wait_event("generation.switched", plugin="lines", generation=generation)


def assert_by(daemon: Daemon, *expected: str) -> None:
    """Every line is one record, by the version expected for it, and none is a dead letter."""
    records = daemon.wait_records("lines", len(expected))
    assert [record["by"] for record in records] == list(expected)
    assert dead_letters(daemon.home) == []


def standing(daemon: Daemon) -> tuple[int, str, int | None]:
    """Return which generation serves, its state, and which one is warm."""
    status = daemon.plugin("lines")
    assert status is not None
    return status["generation"], status["state"], status["warm"]


def test_the_first_generation_is_permanent_at_once(home: Home) -> None:
    """There is nothing to go back to."""
    daemon = serving(home)
    assert standing(daemon) == (1, "permanent", None)
    assert not daemon.seen("generation.confirmed")


def test_after_its_time_a_new_version_is_permanent(home: Home) -> None:
    """Until then the one before is warm, which the status says; then it is retired."""
    daemon = serving(home, probation_s=5)
    on_probation(daemon, plugin(version="2.0.0"))
    assert standing(daemon) == (2, "current", 1)
    assert "  lines: on probation; generation 1 is ready to take over again\n" in home.hostd("status").stdout
    confirmed = daemon.wait_event("generation.confirmed")
    assert (confirmed["plugin"], confirmed["generation"], confirmed["regressions"]) == ("lines", 2, 0)
    retired = daemon.wait_event("generation.retired", generation=1)
    assert retired["reason"] == "generation 2 is proven"
    assert standing(daemon) == (2, "permanent", None)
    assert "NOTES" not in home.hostd("status").stdout
    home.append("a.log", "last")
    assert_by(daemon, "1.0.0", "2.0.0")


def test_a_version_that_fails_a_line_is_rolled_back_by_itself(home: Home) -> None:
    """The line is the proven one's record; the file is set aside, with the line and the ways out."""
    daemon = serving(home)
    on_probation(daemon, worse("2.0.0"))
    home.append("a.log", "good")
    assert_by(daemon, "1.0.0", "2.0.0")
    home.append("a.log", "bad 1")
    regressed = daemon.wait_event("batch.regressed")
    assert {key: regressed[key] for key in ("generation", "fell_back_to", "source", "offset", "regressions")} == {
        "generation": 2,
        "fell_back_to": 1,
        "source": "logs/a.log",
        "offset": 11,
        "regressions": 1,
    }
    assert (regressed["allowance"], regressed["reason"]) == (0, "ValueError: bad 1")
    rolled_back = daemon.wait_event("generation.rolled_back")
    assert rolled_back["level"] == "error"
    assert (rolled_back["generation"], rolled_back["version"], rolled_back["back_to"]) == (2, "2.0.0", 1)
    assert rolled_back["reason"] == "logs/a.log at 11: ValueError: bad 1"
    held = daemon.wait_event("plugin.held")
    assert (held["generation"], held["kind"], held["path"]) == (1, "rolled back", str(home.plugins / "lines.py"))
    refused = daemon.wait_event("artifact.refused")
    assert (refused["stage"], refused["serving"]) == ("probation", "generation 1 (1.0.0)")
    assert refused["reason"] == (
        "plugins.d/lines.py: failed what generation 1 parses: logs/a.log at 11: ValueError: bad 1; "
        "mend it: a changed file is tried again; or have it as it is: hostd rollback lines --to 2"
    )
    assert daemon.wait_event("generation.retired", generation=2)["reason"] == "it was rolled back"
    assert standing(daemon) == (1, "permanent", None)
    status = home.hostd("status").stdout
    path = home.plugins / "lines.py"
    assert f"  lines: rolled back until {path} changes: logs/a.log at 11: ValueError: bad 1\n" in status
    assert f"  at probation: {refused['reason']}\n" in status
    home.append("a.log", "bad 2")
    assert_by(daemon, "1.0.0", "2.0.0", "1.0.0", "1.0.0")


@pytest.mark.parametrize(
    ("does", "reason"),
    [("os._exit(5)", "exit status 5"), ("time.sleep(60)", "no answer within 0.4 s")],
    ids=["dies", "hangs"],
)
def test_a_version_that_loses_its_worker_is_rolled_back_by_itself(home: Home, does: str, reason: str) -> None:
    """The batch is given to the proven one as a whole, after one more try."""
    daemon = serving(home)
    on_probation(
        daemon, worse("2.0.0", does=does, code="import os\nimport time\n", manifest="limits = { time_s = 0.4 }")
    )
    home.append("a.log", "good", "bad 1", "good")
    rolled_back = daemon.wait_event("generation.rolled_back")
    assert rolled_back["reason"] == f"logs/a.log at 6: {reason}"
    assert_by(daemon, *["1.0.0"] * 4)


def test_a_version_that_cannot_be_started_again_is_rolled_back_by_itself(home: Home) -> None:
    """Its first worker has ended, and another one does not load it: its sources do not wait."""
    home.configure(sandbox="off")  # the plugin looks for a file
    in_the_way = home.path / "in_the_way"
    code = f"import os\n\nif os.path.exists({str(in_the_way)!r}):\n    raise RuntimeError('once is enough')\n"
    daemon = serving(home, more="[workers]\nidle_s = 0.1\n")
    on_probation(daemon, plugin(version="2.0.0", code=code))
    in_the_way.touch()
    daemon.wait("its worker has ended", lambda: not daemon.workers())
    home.append("a.log", "second")
    rolled_back = daemon.wait_event("generation.rolled_back")
    assert "cannot be started again: plugins.d/lines.py" in rolled_back["reason"]
    assert "importing it raises RuntimeError: once is enough" in rolled_back["reason"]
    assert_by(daemon, "1.0.0", "1.0.0")
    assert not daemon.seen("source.unparsed")


def test_batches_under_way_when_it_is_rolled_back_go_to_the_proven_one(home: Home) -> None:
    """A dozen files fail side by side: the first rolls back, and no line of the others is lost to it."""
    names = [f"{number}.log" for number in range(12)]
    slowly = worse("2.0.0", does="time.sleep(0.1)\n        raise ValueError(line)", code="import time\n")
    daemon = serving(home)
    for name in names:
        home.append(name, "good")
    daemon.wait_records("lines", 13)
    on_probation(daemon, slowly)
    for name in names:
        home.append(name, "bad", "good")
    daemon.wait_event("generation.rolled_back")
    daemon.wait_all_read()
    assert_by(daemon, *["1.0.0"] * 37)
    assert len(daemon.seen("generation.rolled_back")) == 1


def test_as_many_failing_batches_as_are_allowed_fall_back_and_no_more(home: Home) -> None:
    """Each goes to the proven one; the status counts them."""
    daemon = serving(home, more="", source=plugin())
    home.settings.write_text(home.settings.read_text().replace("length_s = 600 }", "length_s = 600, allowance = 2 }"))
    daemon.hup()
    daemon.wait_event("config.reloaded")
    on_probation(daemon, worse("2.0.0"))
    for number in (1, 2):
        home.append("a.log", f"bad {number}")
        daemon.wait_event("batch.regressed", count=number)
    home.append("a.log", "good")
    assert_by(daemon, "1.0.0", "1.0.0", "1.0.0", "2.0.0")
    assert daemon.plugin("lines")["regressions"] == 2
    assert standing(daemon) == (2, "current", 1)
    home.append("a.log", "bad 3")
    daemon.wait_event("generation.rolled_back")
    assert_by(daemon, "1.0.0", "1.0.0", "1.0.0", "2.0.0", "1.0.0")


def test_a_line_that_both_fail_is_a_dead_letter_and_no_reason_to_go_back(home: Home) -> None:
    """The new one is no worse than the one before."""
    daemon = serving(home, source=worse("1.0.0"))
    on_probation(daemon, worse("2.0.0"))
    home.append("a.log", "bad 1", "good")
    daemon.wait_records("lines", 2)
    assert daemon.wait_all_read()["dead_letters"] == {"lines": 1}
    assert standing(daemon) == (2, "current", 1)
    assert not daemon.seen("batch.regressed")


def test_what_was_rolled_back_stays_so_until_its_file_changes(home: Home) -> None:
    """Not by SIGHUP, a rescan, touching it, or a restart; the mended file is tried with the line that it failed."""
    daemon = serving(home)
    on_probation(daemon, worse("2.0.0"))
    home.append("a.log", "bad 1")
    daemon.wait_event("plugin.held")
    daemon.wait_event("generation.retired", generation=2)
    daemon.hup()
    os.utime(home.plugins / "lines.py")
    assert daemon.rescan() == []
    assert standing(daemon) == (1, "permanent", None)
    assert daemon.term() == 0
    daemon = home.start()
    assert daemon.wait_event("generation.switched")["generation"] == 1
    assert daemon.rescan() == []
    held = daemon.plugin("lines")["held"]
    assert (held["kind"], held["reason"]) == ("rolled back", "logs/a.log at 6: ValueError: bad 1")
    home.drop("lines.py", worse("2.0.1"))
    refused = daemon.wait_event("artifact.refused")
    assert (refused["stage"], "'bad 1' is not parsed" in refused["reason"]) == ("tried", True)
    assert daemon.wait_event("plugin.released")["reason"] == "lines.py has changed"
    on_probation(daemon, plugin(version="2.0.2"), generation=3)
    assert daemon.plugin("lines")["held"] is None
    home.append("a.log", "bad 2")
    assert_by(daemon, "1.0.0", "1.0.0", "2.0.2")


def test_a_rolled_back_option_stays_so(home: Home) -> None:
    """The same bytes with the option that failed do not come back; the one before keeps the option that it had."""
    code = (
        "from pydantic import BaseModel\n\n\nclass Options(BaseModel):\n    refuses: str = 'nothing'\n\n\n"
        "class _Choosy:\n"
        "    def parse(self, data, ctx):\n"
        "        for line in data.decode().splitlines():\n"
        "            if line.startswith(ctx.options.refuses):\n"
        "                raise ValueError(line)\n"
        "            yield {'line': line, 'by': ctx.options.refuses}\n"
    )
    daemon = serving(home, source=plugin(code=code).replace("return each_line(parse)", "return _Choosy()"))
    home.configure("[plugins.options.lines]\nrefuses = 'bad'\n", probation_s=LONG_S)
    daemon.hup()
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "bad 1")
    daemon.wait_event("generation.retired", generation=2)
    assert daemon.rescan() == []
    home.append("a.log", "bad 2")
    assert_by(daemon, *["nothing"] * 3)
    assert standing(daemon) == (1, "permanent", None)


def test_a_third_version_takes_over_and_the_proven_one_stays_warm(home: Home) -> None:
    """What never proved itself is not gone back to."""
    daemon = serving(home)
    on_probation(daemon, plugin(version="2.0.0"))
    home.append("a.log", "second")
    daemon.wait_records("lines", 2)
    on_probation(daemon, worse("3.0.0"), generation=3)
    assert daemon.wait_event("generation.retired", generation=2)["reason"] == "generation 3 took over"
    assert standing(daemon) == (3, "current", 1)
    home.append("a.log", "bad 1")
    assert daemon.wait_event("generation.rolled_back")["back_to"] == 1
    assert_by(daemon, "1.0.0", "2.0.0", "1.0.0")


def test_a_third_version_that_is_being_tried_when_the_second_is_rolled_back_goes_live(home: Home) -> None:
    """It is compared with what serves by then."""
    home.configure(sandbox="off")  # the plugin waits for a file
    daemon = serving(home)
    on_probation(daemon, worse("2.0.0"))
    source, gate = gated(home)
    home.drop("lines.py", source.replace('"1.0.0"', '"3.0.0"'))
    daemon.wait("it is being tried", lambda: parses_begun(gate))
    home.append("a.log", "bad 1")
    daemon.wait_event("generation.retired", generation=2)
    open_gate(gate)
    switched = daemon.wait_event("generation.switched", generation=3)
    assert switched["took_over_from"] == 1
    assert daemon.wait_event("generation.tried", generation=3)["compared_with"] in (1, 2)
    daemon.wait_event("plugin.released")
    home.append("a.log", "bad 2")
    assert_by(daemon, "1.0.0", "1.0.0", "3.0.0")
    assert standing(daemon) == (3, "current", 1)


def test_reverting_the_file_goes_back_at_once(home: Home) -> None:
    """The warm generation is current again, under its number; nothing has to be started."""
    daemon = serving(home)
    on_probation(daemon, plugin(version="2.0.0"))
    started = len(daemon.seen("generation.started"))
    home.drop("lines.py", plugin())
    rolled_back = daemon.wait_event("generation.rolled_back")
    assert (rolled_back["back_to"], rolled_back["reason"]) == (1, "plugins.d/lines.py is back")
    daemon.wait_event("generation.retired", generation=2)
    home.append("a.log", "second")
    assert_by(daemon, "1.0.0", "1.0.0")
    assert standing(daemon) == (1, "permanent", None)
    assert daemon.plugin("lines")["held"] is None
    assert len(daemon.seen("generation.started")) == started
    on_probation(daemon, plugin(version="2.0.0"), generation=3)


def test_removing_the_plugin_retires_both(home: Home) -> None:
    """No process is left of the one on probation, nor of the warm one; what comes waits in its file."""
    daemon = serving(home)
    on_probation(daemon, plugin(version="2.0.0"))
    (home.plugins / "lines.py").unlink()
    daemon.wait_event("generation.retired", generation=1)
    daemon.wait_event("generation.retired", generation=2)
    daemon.wait("no worker is left", lambda: not daemon.workers())
    home.append("a.log", "waits")
    daemon.wait_event("source.unrouted")
    home.drop("lines.py", plugin(version="2.0.0"))
    assert_by(daemon, "1.0.0", "2.0.0")
    assert standing(daemon) == (3, "permanent", None)


def test_removing_the_higher_of_two_files_goes_back_to_the_other(home: Home) -> None:
    """The lower one was its stand-by, and warm."""
    daemon = serving(home)
    home.drop("zz.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    (home.plugins / "zz.py").unlink()
    assert daemon.wait_event("generation.rolled_back")["reason"] == "plugins.d/lines.py is back"
    home.append("a.log", "second")
    assert_by(daemon, "1.0.0", "1.0.0")
    assert daemon.status()["refused"] == []


def test_a_restart_in_the_middle_goes_on_with_the_probation(home: Home) -> None:
    """The proven one is warm again, under its number, and takes what the other fails; no line goes to both."""
    daemon = serving(home)
    on_probation(daemon, worse("2.0.0"))
    home.append("a.log", "good")
    daemon.wait_records("lines", 2)
    assert daemon.term() == 0
    home.append("a.log", "while it was stopped")
    daemon = home.start()
    switched = daemon.wait_event("generation.switched")
    assert (switched["generation"], switched["version"]) == (2, "2.0.0")
    assert standing(daemon) == (2, "current", 1)
    home.append("a.log", "bad 1")
    assert daemon.wait_event("generation.rolled_back")["back_to"] == 1
    assert_by(daemon, "1.0.0", "2.0.0", "2.0.0", "1.0.0")
    daemon.wait_event("generation.retired", generation=2)
    assert standing(daemon) == (1, "permanent", None)
    assert daemon.plugin("lines")["records"] == 2


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_broken_file_at_a_restart_comes_up_on_the_permanent_one(home: Home, how: str) -> None:
    """Not on the one that was on probation, and under its number; the refusal stays to be seen."""
    daemon = serving(home)
    on_probation(daemon, plugin(version="2.0.0"))
    home.append("a.log", "second")
    daemon.wait_records("lines", 2)
    daemon.wait_all_read()
    if how == "SIGTERM":
        assert daemon.term() == 0
    else:
        daemon.kill9()
    home.drop("lines.py", plugin(version="3.0.0", code="def broken(:\n"))
    home.append("a.log", "third")
    daemon = home.start()
    assert daemon.wait_event("generation.switched")["generation"] == 1
    assert_by(daemon, "1.0.0", "2.0.0", "1.0.0")
    assert standing(daemon) == (1, "permanent", None)
    [refused] = daemon.status()["refused"]
    assert (refused["stage"], "SyntaxError" in refused["reason"]) == ("started", True)
    home.drop("lines.py", plugin(version="3.0.1"))
    daemon.wait_event("generation.switched", generation=3, took_over_from=1)
    assert daemon.status()["refused"] == []


@pytest.mark.slow
def test_what_is_permanent_survives_restarts(home: Home) -> None:
    """Version after version is proven; a broken file finds the last of them, however often the daemon restarts."""
    daemon = serving(home, probation_s=0.2)
    for number in range(2, 8):
        on_probation(daemon, plugin(version=f"{number}.0.0"), generation=number)
        daemon.wait_event("generation.confirmed", generation=number)
    assert daemon.term() == 0
    home.drop("lines.py", "nonsense\n")
    for count in range(2, 4):
        home.append("a.log", "more")
        daemon = home.start()
        assert daemon.wait_event("generation.switched")["generation"] == 7
        daemon.wait_records("lines", count)
        daemon.kill9()
    assert [record["by"] for record in home.records()] == ["1.0.0", "7.0.0", "7.0.0"]


def test_kill_9_right_after_a_roll_back_keeps_it(home: Home) -> None:
    """The decision is durable when it is said; the line that it was about comes out once."""
    daemon = serving(home)
    on_probation(daemon, worse("2.0.0"))
    home.append("a.log", "good", "bad 1")
    daemon.wait_event("plugin.held")
    daemon.kill9()
    home.append("a.log", "bad 2")
    daemon = home.start()
    assert daemon.wait_event("generation.switched")["generation"] == 1
    assert_by(daemon, *["1.0.0"] * 4)
    assert daemon.plugin("lines")["held"]["kind"] == "rolled back"


@pytest.mark.parametrize(
    "said", ["generation.switched", "batch.regressed", "generation.rolled_back", "plugin.held", "artifact.refused"]
)
def test_kill_9_at_any_moment_around_a_roll_back_loses_and_doubles_no_line(home: Home, said: str) -> None:
    """Killed as soon as a step is said: the next daemon ends up on the proven one, with every line once."""
    daemon = serving(home)
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "good", "bad 1", "good")
    daemon.wait_event(said)
    daemon.kill9()
    daemon = home.start()
    assert_by(daemon, *["1.0.0"] * 4)
    daemon.wait("the proven one serves", lambda: daemon.plugin("lines") and standing(daemon) == (1, "permanent", None))


def test_swaps_and_roll_backs_under_load_lose_and_double_nothing(home: Home) -> None:
    """Lines of four files while versions come, fail and go: each is one record, in its file's order."""
    names = ["a.log", "b.log", "c.log", "d.log"]
    daemon = serving(home, "a.log 0", more="[plugins.trial]\nmode = 'off'\n")
    writer = Writer(home, names)
    with writer.writing():
        for number in range(2, 8):
            # Each fails on some line of those to come.
            home.drop(
                "lines.py",
                worse(f"{number}.0.0", "b.log", f"if line.endswith('{number}'):\n            raise ValueError(line)"),
            )
            daemon.wait_event("generation.rolled_back", version=f"{number}.0.0")
            daemon.wait_event("generation.retired", generation=number)
    daemon.wait_all_read(60)
    assert dead_letters(home) == []
    assert home.lines(source="logs/a.log") == ["a.log 0", *writer.written["a.log"]]
    for name in names[1:]:
        assert home.lines(source=f"logs/{name}") == writer.written[name]
    assert standing(daemon) == (1, "permanent", None)


def test_the_zygote_killed_during_a_probation_rolls_nothing_back(home: Home) -> None:
    """The batch is lost through no fault of the version's: it is parsed again, by it."""
    home.configure(sandbox="off")  # the plugin waits for a file
    daemon = serving(home)
    source, gate = gated(home, manifest="limits = { time_s = 20 }")
    home.configure("[plugins.trial]\nmode = 'off'\n", probation_s=LONG_S)
    daemon.hup()
    daemon.wait_event("config.reloaded")
    on_probation(daemon, source.replace('"1.0.0"', '"2.0.0"'))
    home.append("a.log", "second")
    daemon.wait("a batch is under way", lambda: parses_begun(gate))
    os.kill(daemon.zygote, signal.SIGKILL)
    daemon.wait_event("zygote.exited")
    open_gate(gate)
    assert_by(daemon, "1.0.0", "2.0.0")
    assert not daemon.seen("batch.regressed")


def test_run_once_ends_a_probation_with_its_input(home: Home) -> None:
    """What has parsed all that there is, is proven: the next run does not compare it any more."""
    home.configure(probation_s=LONG_S)
    home.drop("lines.py", plugin())
    home.append("a.log", "first")
    assert home.start("--once", ready=False).wait_exit() == 0
    home.drop("lines.py", plugin(version="2.0.0"))
    home.append("a.log", "second")
    daemon = home.start("--once", ready=False)
    assert daemon.wait_exit() == 0
    assert daemon.seen("generation.confirmed", generation=2)
    assert daemon.seen("generation.tried", generation=2)
    home.append("a.log", "third")
    daemon = home.start("--once", ready=False)
    assert daemon.wait_exit() == 0
    assert not daemon.seen("generation.tried")
    assert [record["by"] for record in home.records()] == ["1.0.0", "2.0.0", "2.0.0"]
