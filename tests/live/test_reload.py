"""SIGHUP reads the settings and the folders again; what is wrong with them changes nothing."""

import pytest

from .harness import Daemon, Home, plugin

OPTIONS = """

class Options(BaseModel):
    mark: str = "none"


class _Marked:
    def parse(self, data, ctx):
        return [{"line": line, "mark": ctx.options.mark} for line in data.decode().splitlines()]
"""


def marked(version: str = "1.0.0") -> str:
    """Return a plugin with an option."""
    source = plugin("marked", version, glob="*.marked", code=f"from pydantic import BaseModel\n{OPTIONS}")
    return source.replace("return each_line(parse)", "return _Marked()")


@pytest.fixture
def serving(home: Home) -> Daemon:
    """A daemon whose plugin `lines` has parsed a line."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    return daemon


def test_sighup_takes_new_globs(serving: Daemon) -> None:
    """A folder named for the first time is read; one that is named no more is let go of, and neither is read twice."""
    home = serving.home
    more = home.path / "more"
    more.mkdir()
    (more / "b.log").write_text("from more\n")
    home.configure(paths=["logs/**/*", "more/*"])
    serving.hup()
    reloaded = serving.wait_event("config.reloaded")
    assert reloaded["changed"] == ["sources"]
    serving.wait_records("lines", 2)
    assert home.lines("lines", "more/b.log") == ["from more"]
    home.configure(paths=["more/*"])
    serving.hup()
    ended = serving.wait_event("source.ended", source="logs/a.log")
    assert ended["reason"] == "no source names it any more"
    home.append("a.log", "2")
    with (more / "b.log").open("a") as file:
        file.write("more from more\n")
    serving.wait_records("lines", 3)
    home.configure()
    serving.hup()
    serving.wait_event("config.reloaded", count=3)
    serving.wait_records("lines", 4)
    assert home.lines("lines", "logs/a.log") == ["1", "2"]


def test_a_sink_that_comes_to_write_below_a_glob_is_not_read(serving: Daemon) -> None:
    """Neither what it writes from then on, nor what lies there; a daemon that reads its own output never ends."""
    home = serving.home
    (home.logs / "out").mkdir()
    home.append("out/lines.ndjson", '{"line": "of another"}')
    home.drop("any.py", plugin("any", glob="*.ndjson"))
    serving.wait_records("any", 1)
    sinks = '[[sinks]]\nkind = "ndjson"\nfolder = "logs/out"\n'
    home.configure(sinks=sinks)
    rescan = home.hostd("rescan")
    assert "settings changed: sinks" in rescan.stdout
    assert serving.wait_event("source.ended", source="logs/out/lines.ndjson")["reason"] == "a sink writes it now"
    home.append("a.log", "2")
    out = home.logs / "out" / "lines.ndjson"
    serving.wait("it is written there", lambda: b'"2"' in out.read_bytes())
    home.append("b.log", "3")  # a look at all folders
    serving.wait("that is written too", lambda: b'"3"' in out.read_bytes())
    assert not serving.seen("source.found", source="logs/out/any.ndjson")
    assert len(serving.seen("source.found", source="logs/out/lines.ndjson")) == 1
    assert not (home.logs / "out" / "any.ndjson").exists()


def test_a_rescan_does_not_wait_for_a_sink_that_takes_nothing(serving: Daemon) -> None:
    """What was parsed before goes there as soon as it can; what comes then goes to the other, and nothing is lost."""
    home = serving.home
    home.out.rename(home.path / "aside")
    home.out.write_text("in the way")
    home.append("a.log", "2")
    serving.wait_event("sink.failed")
    home.configure(sinks='[[sinks]]\nkind = "ndjson"\nfolder = "out2"\n')
    assert "settings changed: sinks" in home.hostd("rescan").stdout
    home.append("a.log", "3")
    home.out.unlink()
    other = home.path / "out2" / "lines.ndjson"
    serving.wait("the last line is there", lambda: other.exists() and b'"3"' in other.read_bytes())
    assert home.lines() == ["2"]
    assert serving.term() == 0


@pytest.mark.slow
def test_settings_that_are_put_back_while_a_sink_takes_nothing_are_as_they_were(home: Home) -> None:
    """A source that is let go of waits for what was read of it, and the next settings do not wait for that."""
    memory = "[pipeline]\nmemory_mib = 8\n"
    home.configure(memory)
    home.drop("lines.py", plugin())
    daemon = home.start()
    home.out.write_text("in the way")
    lines = [f"{number} {'x' * 100}" for number in range(200_000)]
    home.append("a.log", *lines)
    daemon.wait_event("sink.failed")
    home.configure(memory, paths=["other/*"])
    assert "settings changed: sources" in home.hostd("rescan").stdout
    home.configure(memory)
    assert "settings changed: sources" in home.hostd("rescan").stdout
    home.out.unlink()
    daemon.wait("all lines are there", lambda: len(home.raw("lines").splitlines()) == len(lines), 60)
    assert home.lines() == lines
    assert daemon.term() == 0


def test_sighup_makes_a_generation_of_a_changed_option(serving: Daemon) -> None:
    """An option is part of what a generation is: changing it swaps, with the same file."""
    home = serving.home
    home.drop("marked.py", marked())
    home.append("a.marked", "1")
    assert serving.wait_records("marked", 1)[0]["mark"] == "none"
    home.configure('[plugins.options.marked]\nmark = "new"\n')
    serving.hup()
    switched = serving.wait_event("generation.switched", plugin="marked", generation=2)
    assert switched["took_over_from"] == 1
    home.append("a.marked", "2")
    assert serving.wait_records("marked", 2)[1]["mark"] == "new"


def test_a_bad_option_leaves_the_generation_with_the_old_one(serving: Daemon) -> None:
    """An option of the wrong type is refused with its table and field; what serves goes on with its own."""
    home = serving.home
    home.drop("marked.py", marked())
    home.append("a.marked", "1")
    serving.wait_records("marked", 1)
    home.configure("[plugins.options.marked]\nmark = 5\n")
    serving.hup()
    refused = serving.wait_event("artifact.refused", plugin="marked")
    assert refused["reason"] == (
        "[plugins.options.marked] mark: Input should be a valid string (got 5); correct it in hostd.toml"
    )
    assert refused["serving"] == "generation 1 (1.0.0)"
    home.append("a.marked", "2")
    assert serving.wait_records("marked", 2)[1]["mark"] == "none"


def test_an_unknown_key_keeps_the_settings_in_force(serving: Daemon) -> None:
    """A typing error in hostd.toml is answered with the line and the word meant; the old settings stay."""
    home = serving.home
    home.configure("[workers]\nbussy = 1\n", paths=["nowhere/*"])
    serving.hup()
    refused = serving.wait_event("config.refused")
    line = home.settings.read_text().splitlines().index("bussy = 1") + 1
    assert refused["reason"] == f"{home.settings}:{line}: setting 'workers.bussy' is not known; did you mean 'busy'?"
    home.append("a.log", "2")
    serving.wait_records("lines", 2)
    assert not serving.seen("config.reloaded")
    assert not serving.seen("source.ended")


def test_broken_toml_keeps_the_settings_in_force(serving: Daemon) -> None:
    """A file that is not TOML, and one that is gone, change nothing."""
    home = serving.home
    home.settings.write_text("[plugins\n")
    serving.hup()
    refused = serving.wait_event("config.refused")
    assert refused["reason"].startswith(f"{home.settings}: is not TOML: ")
    assert refused["reason"].endswith("; mend that line")
    home.settings.unlink()
    serving.hup()
    assert "cannot be read" in serving.wait_event("config.refused", count=2)["reason"]
    home.append("a.log", "2")
    serving.wait_records("lines", 2)


def test_a_daemon_does_not_start_on_settings_that_are_wrong(home: Home) -> None:
    """At start there are no old settings to keep: exit 1, one line, no state folder."""
    home.configure("[workers]\nbussy = 1\n")
    done = home.hostd("run")
    assert done.returncode == 1
    assert "hostd.toml:" in done.stderr
    assert done.stderr.endswith("setting 'workers.bussy' is not known; did you mean 'busy'?\n")
    assert done.stderr.count("\n") == 1
    assert not home.state.exists()


def test_sighup_tries_refused_plugins_again(serving: Daemon) -> None:
    """What is refused for a cause outside of its file goes live on SIGHUP once the cause is gone."""
    home = serving.home
    licence = home.path / "licence"
    licence.touch()
    needs = f"needs = {{ paths = ['{licence}'] }}"
    home.drop("needs.py", plugin("needs", glob="*.needs", manifest=needs, code=f"open({str(licence)!r}).close()\n"))
    serving.wait_event("artifact.refused", plugin="needs")
    home.configure(f"[plugins.sandbox.grants.needs]\npaths = ['{licence}']\n")
    serving.hup()
    serving.wait_event("generation.switched", plugin="needs", generation=1)
    assert serving.status()["refused"] == []


def test_a_setting_that_waits_for_a_restart_is_named(serving: Daemon) -> None:
    """How folders are watched is settled at start; the rest of its table is taken over."""
    home = serving.home
    home.configure('[daemon]\nwatch = "poll"\ngrace_s = 5\n')
    serving.hup()
    assert serving.wait_event("config.needs_restart")["setting"] == "daemon.watch"
    serving.wait_event("config.reloaded")
    assert serving.term() == 0
    assert serving.seen("daemon.stopping")[0]["grace_s"] == 5


def test_sighups_before_it_is_ready_are_kept(home: Home) -> None:
    """From the moment that it has begun to start: none ends it, and what the last one is about is in force."""
    home.drop("marked.py", marked())
    home.append("a.marked", "1")
    daemon = home.start(ready=False)
    daemon.wait("its zygote is being started", lambda: len(home.pids()) > 1)
    for number in range(200):
        home.configure(f"[plugins.options.marked]\nmark = '{number}'\n")
        daemon.hup()
    daemon.wait_event("daemon.ready")
    daemon.rescan()
    home.append("a.marked", "2")
    assert daemon.wait_records("marked", 2)[1]["mark"] == "199"


def test_sighups_during_a_swap_are_kept_and_do_not_wait_for_it(home: Home) -> None:
    """A version hangs while it is imported: the settings are read again all the same, and it is started once."""
    home.configure(sandbox="off")  # the plugin waits for a file
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    serving = home.start()
    serving.wait_records("lines", 1)
    gate = home.path / "gate"
    home.drop("marked.py", marked())
    home.append("a.marked", "1")
    serving.wait_records("marked", 1)
    code = (
        f"import os\nimport time\n\nopen({f'{gate}.begun'!r}, 'a').write('x')\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)\n"
    )
    home.drop("lines.py", plugin(version="2.0.0", code=code))
    serving.wait("the next version is being imported", (home.path / "gate.begun").exists)
    for number in range(200):
        home.configure(f"[plugins.options.marked]\nmark = '{number}'\n", sandbox="off")
        serving.hup()
    serving.wait("what the last one is about is in force", lambda: mark_of(serving) == "199")
    assert not serving.seen("generation.switched", plugin="lines", version="2.0.0")
    gate.touch()
    serving.wait_event("generation.switched", plugin="lines", version="2.0.0")
    assert serving.rescan() == []
    assert (home.path / "gate.begun").read_text() == "x"
    assert len(serving.seen("generation.switched", plugin="lines")) == 2


def mark_of(daemon: Daemon) -> str:
    """Return the option that a line is parsed with that is written now."""
    before = len(daemon.home.records("marked"))
    daemon.home.append("a.marked", "next")
    mark: str = daemon.wait_records("marked", before + 1)[-1]["mark"]
    return mark


def test_a_storm_of_sighups_is_harmless(serving: Daemon) -> None:
    """Two hundred SIGHUPs while lines arrive: the same generation, every line once."""
    home = serving.home
    for number in range(200):
        serving.hup()
        home.append("a.log", f"line {number}")
    serving.wait_records("lines", 201)
    assert home.lines()[1:] == [f"line {number}" for number in range(200)]
    assert serving.rescan() == []
    assert [event["generation"] for event in serving.seen("generation.switched")] == [1]
