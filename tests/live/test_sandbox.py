"""What the operator sets and grants: the sandbox's mode at start, and what single plugins may reach, live."""

from pathlib import Path

import pytest

from .harness import Home, plugin, wheel

READS = "TABLE = open({path!r}).read()\n"


def reader(path: Path) -> str:
    """Return a plugin that reads a file at import, and says so in its manifest."""
    return plugin(manifest=f"needs = {{ paths = ['{path}'] }}", code=READS.format(path=str(path)))


def grant(path: Path) -> str:
    return f"[plugins.sandbox.grants.lines]\npaths = ['{path}']\n"


@pytest.fixture
def without_bubblewrap(home: Home) -> Home:
    """A home where no program called bwrap is on the path."""
    folder = home.path / "bin"
    folder.mkdir()
    home.variables["PATH"] = str(folder)
    return home


def test_every_mode_serves_where_the_sandbox_works(home: Home) -> None:
    """And status says what is in force."""
    home.drop("lines.py", plugin())
    for number, mode in enumerate(("auto", "required", "off"), start=1):
        home.configure(sandbox=mode)
        home.append("a.log", str(number))
        daemon = home.start()
        daemon.wait_records("lines", number)
        in_force = daemon.status()["sandbox"]
        if mode == "auto" and in_force["by"] == "none":
            pytest.skip(in_force["reason"])
        assert in_force["by"] == ("none" if mode == "off" else "bubblewrap")
        assert daemon.seen("daemon.started")[0]["sandbox"] == mode
        assert not daemon.seen("sandbox.unavailable")
        out = home.hostd("status").stdout.splitlines()
        assert out[1] == ("sandbox: none (it is off)" if mode == "off" else "sandbox: bubblewrap")
        assert daemon.term() == 0


def test_without_bubblewrap_plugins_run_and_one_warning_says_how_to_mend_that(without_bubblewrap: Home) -> None:
    """`auto`: the daemon serves, and neither hides it nor repeats it."""
    home = without_bubblewrap
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    remedy = 'apt-get install bubblewrap (or its like), or set mode = "off" in [plugins.sandbox]'
    (warned,) = daemon.seen("sandbox.unavailable")
    assert (warned["level"], warned["reason"], warned["remedy"]) == ("warning", "bubblewrap is not installed", remedy)
    assert daemon.status()["sandbox"] == {"by": "none", "reason": f"bubblewrap is not installed; {remedy}"}
    (served,) = daemon.status()["plugins"]
    assert served["sandbox"]["by"] == "none"


@pytest.mark.parametrize("command", ["run", "parse", "check"])
def test_without_a_sandbox_that_is_required_nothing_runs(without_bubblewrap: Home, command: str) -> None:
    """Exit 1, and one line with the way out; no code of a plugin has run."""
    home = without_bubblewrap
    home.configure(sandbox="required", level="error")
    ran = home.path / "ran"
    source = home.drop("lines.py", plugin(code=f"open({str(ran)!r}, 'w').close()\n"))
    log = home.append("a.log", "1")
    arguments = {"run": [], "parse": [str(log)], "check": [str(source)]}[command]
    done = home.hostd(command, *arguments)
    assert done.returncode == 1
    assert done.stderr == (
        "hostd: [plugins.sandbox]: the sandbox does not work: bubblewrap is not installed; apt-get install bubblewrap "
        '(or its like), or set mode = "off" in [plugins.sandbox]\n'
    )
    assert not ran.exists()


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_grant_lets_a_plugin_go_live_and_taking_it_back_ends_it(home: Home, mode: str) -> None:
    """The same with the sandbox and without; what was parsed stays, and what comes then waits."""
    table = home.path / "tables" / "codes"
    table.parent.mkdir()
    table.write_text("x")
    home.configure(sandbox=mode)
    home.drop("lines.py", reader(table))
    home.append("a.log", "1")
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", plugin="lines")
    assert refused["stage"] == "prepared"
    assert refused["reason"].startswith(f"plugins.d/lines.py: needs {table}, which is not granted; ")
    home.configure(grant(table.parent), sandbox=mode)
    assert daemon.rescan() == ["settings changed: plugins", "lines 1.0.0 is live as generation 1"]
    daemon.wait_records("lines", 1)
    served = daemon.plugin("lines")
    assert served is not None
    assert served["sandbox"]["paths"] == [str(table)]
    home.configure(sandbox=mode)
    changes = daemon.rescan()
    assert "lines 1.0.0 is retired: plugins.d/lines.py is not granted any more what it needs" in changes
    assert daemon.plugin("lines") is None
    home.append("a.log", "2")
    daemon.wait_event("source.unrouted", source="logs/a.log")
    home.configure(grant(table), sandbox=mode)
    daemon.rescan()
    daemon.wait_records("lines", 2)
    assert home.lines() == ["1", "2"]


def test_a_stand_by_that_needs_nothing_steps_in_for_a_plugin_whose_grant_is_taken_back(home: Home) -> None:
    """Taken back is as good as broken."""
    home.configure(grant(Path("/usr/share")))
    home.drop("old.py", plugin())
    code = "import os\n\nos.listdir('/usr/share')\n"
    home.drop("new.py", plugin(version="2.0.0", manifest="needs = { paths = ['/usr/share'] }", code=code))
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines", version="2.0.0")
    home.configure()
    daemon.rescan()
    daemon.wait_event("generation.switched", plugin="lines", version="1.0.0")


def test_a_granted_path_that_holds_the_state_folder_does_not_show_it(home: Home) -> None:
    """An operator who grants too much does not grant the ledger."""
    code = f"import os\n\nSEEN = sorted(os.listdir({str(home.path)!r})), os.listdir({str(home.state)!r})\n"
    source = plugin(manifest=f"needs = {{ paths = ['{home.path}'] }}", code=code)
    home.configure(grant(home.path))
    home.drop("lines.py", source.replace('{"line": line,', '{"line": line, "seen": SEEN,'))
    home.append("a.log", "1")
    daemon = home.start()
    (record,) = daemon.wait_records("lines", 1)
    if daemon.status()["sandbox"]["by"] == "none":
        pytest.skip(daemon.status()["sandbox"]["reason"])
    there, state = record["seen"]
    assert {"logs", "plugins.d", "state"} <= set(there)
    assert state == []


def test_plugins_with_needs_of_their_own_have_a_zygote_of_their_own(home: Home) -> None:
    """Which ends with the last of them."""
    home.configure(grant(Path("/usr/share")))
    home.drop("other.py", plugin("other", glob="*.other"))
    home.drop("lines.py", plugin(manifest="needs = { paths = ['/usr/share'] }"))
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines")
    daemon.wait_event("generation.switched", plugin="other")
    zygotes = {event["pid"] for event in daemon.seen("zygote.started")}
    assert len(zygotes) == 2
    (home.plugins / "lines.py").unlink()
    daemon.wait_event("generation.retired", plugin="lines")
    daemon.wait("one zygote is left", lambda: len(zygotes & home.pids()) == 1)
    assert not daemon.seen("zygote.exited")


def test_a_wheel_runs_from_where_it_is_shown(home: Home) -> None:
    """Its package's own files, and its name in a traceback, are what they are without a sandbox."""
    name, content = wheel()
    home.drop(name, content)
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    assert not daemon.seen("artifact.refused")
