"""The commands, as a person or a script meets them: output, exit codes, and what goes wrong in words."""

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from hostd.cli import COMMANDS, main

from .harness import Daemon, Home, plugin

RAISES = plugin().replace("    return {", '    if line == "bad":\n        raise ValueError("no good")\n    return {')
LINE_OF_RAISE = RAISES.splitlines().index('        raise ValueError("no good")') + 1


@pytest.fixture
def serving(home: Home) -> Daemon:
    """A daemon with one plugin, one source that it parses, and one that waits."""
    return start_serving(home)


def start_serving(home: Home) -> Daemon:
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    home.append("b.unknown", "waits")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_event("source.unrouted")
    daemon.wait("it is committed", lambda: daemon.source("logs/a.log")["offset"] == 2)
    return daemon


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The same, with a file that it has refused. It is only asked: who changes something has a daemon of their own."""
    home = Home(tmp_path_factory.mktemp("asked"))
    home.drop("bad.py", "this is no plugin\n")
    daemon = start_serving(home)
    daemon.wait_event("artifact.refused")
    yield daemon
    home.end()


# run --once


def test_once_parses_all_there_is_and_exits_0(home: Home) -> None:
    """Everything is committed when it returns, and a second run finds nothing to do."""
    home.drop("lines.py", plugin())
    lines = [str(number) for number in range(5000)]
    home.append("a.log", *lines)
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == lines
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == lines
    assert home.pids() == set()


def test_once_exits_3_when_input_is_left(home: Home) -> None:
    """A source that no plugin takes is left, and the exit code says so."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    home.append("b.unknown", "waits")
    assert home.hostd("run", "--once").returncode == 3
    assert home.lines() == ["1"]


def test_once_exits_3_when_input_was_rejected(home: Home) -> None:
    """A dead letter is input that was not parsed, and the exit code says so."""
    home.drop("lines.py", RAISES)
    home.append("a.log", "1", "bad", "2")
    done = home.hostd("run", "--once")
    assert done.returncode == 3
    assert home.lines() == ["1", "2"]
    rejected = next(event for event in map(json.loads, done.stderr.splitlines()) if event["event"] == "record.rejected")
    assert rejected["reason"] == "ValueError: no good"
    assert rejected["preview"] == "bad"


def test_a_log_on_a_disk_that_is_full_costs_no_record(home: Home) -> None:
    """What is said of rejected lines must not decide about their batch."""
    home.drop("lines.py", RAISES)
    home.append("a.log", *map(str, range(20)), "bad")
    environment = {name: value for name, value in home.environment.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "hostd", "run", "--once"]
        done = subprocess.run(
            command, cwd=home.path, env=environment, stderr=full, timeout=60, stdin=subprocess.DEVNULL, check=False
        )
    assert done.returncode == 3
    assert home.lines() == [str(number) for number in range(20)]
    assert "no good" in home.hostd("dead", "list").stdout


def test_once_and_a_daemon_share_what_was_read(home: Home) -> None:
    """What --once has read a daemon does not read again, and the other way round."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    assert home.hostd("run", "--once").returncode == 0
    daemon = home.start()
    home.append("a.log", "2")
    daemon.wait_records("lines", 2)
    assert daemon.term() == 0
    home.append("a.log", "3")
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == ["1", "2", "3"]


# parse


def test_parse_prints_records_and_leaves_nothing_behind(home: Home) -> None:
    """Records as JSON lines on standard output, in order, without a daemon, a ledger or an out folder."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1", "2")
    home.append("b.log", "3")
    done = home.hostd("parse", "logs/a.log", "logs/b.log")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"line": "1", "by": "1.0.0", "@source": "logs/a.log"},
        {"line": "2", "by": "1.0.0", "@source": "logs/a.log"},
        {"line": "3", "by": "1.0.0", "@source": "logs/b.log"},
    ]
    assert not home.state.exists()
    assert not home.out.exists()
    assert home.pids() == set()


@pytest.mark.parametrize(
    "how", [("logs/a.log",), ("--processor", "lines", "logs/a.log"), ("logs/a.log", "logs/none.log")]
)
def test_parse_starts_what_its_files_need_and_nothing_else(home: Home, how: tuple[str, ...]) -> None:
    """Another plugin may take as long to start as it likes, or be broken: that is no matter of theirs."""
    home.drop("lines.py", plugin())
    home.drop("other.py", plugin("other", glob="*.other", code=f"open({str(home.path / 'started')!r}, 'w')\n1 / 0\n"))
    home.append("a.log", "1")
    done = home.hostd("parse", *how)
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == ["1"]
    assert "other" not in done.stderr
    assert not (home.path / "started").exists()


def test_parse_goes_on_to_the_next_where_the_best_does_not_start(home: Home) -> None:
    """As the daemon does: what is broken takes nothing."""
    home.drop("lines.py", plugin(glob="*"))
    home.drop("best.py", plugin("best", code="1 / 0\n").replace('"*.log"] }', '"*.log"], priority = 9 }'))
    home.append("a.log", "1")
    assert home.hostd("identify", "logs/a.log").stdout.startswith("logs/a.log: best (")
    done = home.hostd("parse", "logs/a.log")
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == ["1"]
    assert "best" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_parse_reads_standard_input_with_a_named_processor(home: Home) -> None:
    """`-` is standard input; --processor says who parses what has no name."""
    home.drop("lines.py", plugin())
    done = home.hostd("parse", "--processor", "lines", "-", stdin=b"1\nno line end")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == ["1", "no line end"]


def test_parse_writes_to_a_file(home: Home) -> None:
    """-o takes the records; standard output stays empty."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    done = home.hostd("parse", "logs/a.log", "-o", "records.ndjson")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((home.path / "records.ndjson").read_text())["line"] == "1"
    done = home.hostd("parse", "logs/a.log", "-o", "no/such/folder")
    assert done.returncode == 1
    assert (
        done.stderr
        == "hostd: no/such/folder: cannot be written: No such file or directory; name another file with -o\n"
    )


def test_parse_says_where_and_why_a_line_was_rejected(home: Home) -> None:
    """Exit 1, file, line, byte and reason on standard error; the other lines come out all the same."""
    home.drop("lines.py", RAISES)
    home.append("a.log", "1", "2", "bad", "3")
    done = home.hostd("parse", "logs/a.log")
    assert done.returncode == 1
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == ["1", "2", "3"]
    assert done.stderr == "hostd: logs/a.log:3: rejected at byte 4: ValueError: no good\n"


def test_parse_says_why_a_file_was_not_parsed(home: Home) -> None:
    """A file that is not there, one that nobody takes: exit 1 and the reason."""
    home.drop("lines.py", plugin())
    home.append("b.unknown", "waits")
    done = home.hostd("parse", "logs/none.log", "logs/b.unknown")
    assert done.returncode == 1
    assert done.stderr == (
        "hostd: logs/none.log: cannot be read: No such file or directory; check the path and its mode\n"
        "hostd: logs/b.unknown: not parsed: no plugin accepts it; "
        "drop one into the plugins folder, or set processor for its source\n"
    )


def test_parse_takes_plugins_from_a_named_folder(home: Home) -> None:
    """--plugins is where the plugins are; a folder that is not there is said to be missing."""
    home.append("a.log", "1")
    folder = home.path / "elsewhere"
    folder.mkdir()
    (folder / "lines.py").write_text(plugin())
    assert home.hostd("parse", "--plugins", "elsewhere", "logs/a.log").returncode == 0
    done = home.hostd("parse", "--plugins", "nowhere", "logs/a.log")
    assert done.returncode == 1
    assert done.stderr == f"hostd: {home.path / 'nowhere'}: the plugins folder is not there; name one with --plugins\n"


# check


def test_check_says_of_each_file_whether_the_daemon_would_take_it(home: Home) -> None:
    """One line a file, good ones on standard output, bad ones on standard error with stage and reason; exit 0 or 1."""
    (home.path / "good.py").write_text(
        plugin(manifest='samples = [{ input = "a\\n", records = [{ line = "a", by = "1.0.0" }] }]')
    )
    (home.path / "bare.py").write_text(plugin("bare"))
    (home.path / "bad.py").write_text(plugin("bad").replace("-> Processor:", "-> Processor"))
    done = home.hostd("check", "good.py", "bare.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "good.py: ok, lines 1.0.0; 1 samples pass\nbare.py: ok, bare 1.0.0; it carries no samples; add one\n"
    )
    done = home.hostd("check", "bad.py", "none.py", "notes.md", "good.py")
    assert done.returncode == 1
    assert done.stderr == (
        f"refused at started: {home.path.name}/bad.py:20: SyntaxError: expected ':'; mend line 20\n"
        "refused at found: none.py: is not there; check the path\n"
        "refused at found: notes.md: is not a plugin by its name; call it NAME.py or NAME.toml, or build a wheel\n"
    )
    assert done.stdout == "good.py: ok, lines 1.0.0; 1 samples pass\n"
    assert home.pids() == set()


def test_check_json_has_stable_keys(home: Home) -> None:
    """One object a file, in the order given, with keys that a script can rely on."""
    (home.path / "good.py").write_text(plugin())
    (home.path / "bad.py").write_text(plugin(dependencies='"hostd>=99"'))
    done = home.hostd("check", "good.py", "bad.py", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    good, bad = json.loads(done.stdout)
    common = {"file", "ok", "name", "version", "stage", "reason"}
    assert common <= good.keys()
    assert common <= bad.keys()
    assert (good["file"], good["ok"], good["name"], good["version"], good["stage"], good["reason"]) == (
        "good.py", True, "lines", "1.0.0", None, None,
    )  # fmt: skip
    assert (bad["file"], bad["ok"], bad["name"], bad["version"], bad["stage"]) == (
        "bad.py", False, "lines", "1.0.0", "prepared",
    )  # fmt: skip
    assert bad["reason"].startswith(f"{home.path.name}/bad.py: depends on 'hostd>=99', and this is hostd ")


def test_check_and_the_daemon_say_the_same(home: Home) -> None:
    """What check refuses the daemon refuses, with the same words."""
    path = home.drop("lines.py", plugin(manifest='acepts = { names = ["*"] }'))
    done = home.hostd("check", "plugins.d/lines.py", "--json")
    daemon = home.start()
    refused = daemon.wait_event("artifact.refused", path=f"plugins.d/{path.name}")
    report = json.loads(done.stdout)[0]
    assert (report["stage"], report["reason"]) == (refused["stage"], refused["reason"])


# new


def test_a_new_plugin_passes_its_check_and_goes_live(home: Home) -> None:
    """What `hostd new` writes is a plugin that check accepts and the daemon serves."""
    done = home.hostd("new", "my_format")
    assert (done.returncode, done.stderr) == (0, "")
    assert (home.path / "test_my_format.py").exists()
    done = home.hostd("check", "my_format.py")
    assert (done.returncode, done.stderr) == (0, "")
    daemon = home.start()
    home.drop("my_format.py", (home.path / "my_format.py").read_text())
    daemon.wait_event("generation.switched", plugin="my_format", generation=1)
    done = home.hostd("new", "my_format")
    assert done.returncode == 1
    assert done.stderr == "hostd: my_format.py: is there already; choose another name, or move it away\n"


# status and rescan


def test_status_shows_what_serves_what_is_read_and_what_is_refused(asked: Daemon) -> None:
    """For people: a table of plugins, one of sources, refusals with their reasons."""
    done = asked.home.hostd("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"hostd {version('hostd')}, pid {asked.pid}, since ")
    rows = [line.split() for line in lines]
    assert lines[1].startswith("sandbox: ")
    head = ["PLUGIN", "VERSION", "GENERATION", "STATE", "SINCE", "RECORDS", "REJECTED", "WORKERS", "SANDBOX", "DIGEST"]
    assert rows[3] == head
    lines_row = next(row for row in rows if row[:1] == ["lines"])
    assert lines_row[:4] == ["lines", "1.0.0", "1", "permanent"]
    assert lines_row[5:8] == ["1", "0", "1"]
    assert ["logs/a.log", "lines", "2", "2"] in rows
    assert ["logs/b.unknown", "-", "0", "6"] in rows
    waiting = lines.index("WAITING") + 1
    assert lines[waiting].startswith("  logs/b.unknown: no plugin accepts it; drop one into the plugins folder")
    assert any("at checked: plugins.d/bad.py:1: has no PEP 723 block" in line for line in lines)


def test_status_json_has_stable_keys(asked: Daemon) -> None:
    """For scripts: the same as JSON, with keys that stay."""
    home = asked.home
    done = home.hostd("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads(done.stdout)
    assert {"daemon", "plugins", "sources", "refused", "dead_letters"} <= status.keys()
    assert status["daemon"]["pid"] == asked.pid
    (served,) = status["plugins"]
    keys = {"name", "version", "generation", "digest", "state", "since", "records", "rejected", "workers", "sandbox"}
    assert keys <= served.keys()
    assert (served["name"], served["generation"], served["state"]) == ("lines", 1, "permanent")
    assert len(served["digest"]) == 64
    parsed, waiting = status["sources"]
    assert {"name", "plugin", "offset", "size"} <= parsed.keys()
    assert (parsed["name"], parsed["plugin"], parsed["offset"], parsed["size"]) == ("logs/a.log", "lines", 2, 2)
    assert (waiting["name"], waiting["plugin"], waiting["offset"], waiting["size"]) == ("logs/b.unknown", None, 0, 6)
    (refused,) = status["refused"]
    assert {"path", "stage", "reason"} <= refused.keys()
    assert refused["path"] == str(home.plugins / "bad.py")
    assert refused["stage"] == "checked"


def test_status_is_told_while_the_ledger_is_in_trouble(home: Home) -> None:
    """What only the ledger knows is not known; what holds everything up is said, and why."""
    daemon = start_serving(home)
    (home.state / "ledger.db").rename(home.state / "elsewhere.db")
    (home.out).chmod(0o555)
    home.append("a.log", "2")
    daemon.wait_event("sink.failed")
    done = home.hostd("status")
    (home.state / "elsewhere.db").rename(home.state / "ledger.db")
    assert done.returncode == 0
    assert "\nHELD UP since " in done.stdout
    assert "\nlogs/a.log      lines" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"DEAD LETTERS not known: {home.state / 'ledger.db'}: the ledger cannot be used: unable to open database file; "
        "let the daemon's user write it, and its folder, on a disk that can be written"
    )
    assert home.hostd("status").stdout.count("DEAD LETTERS not known") == 0


def test_a_state_folder_that_is_a_file_is_said(home: Home) -> None:
    """With what to do, by every command that needs it."""
    home.state.write_text("")
    where = f"hostd: {home.state}: the state folder cannot be"
    done = home.hostd("run", "--once")
    assert (done.returncode, done.stderr) == (
        1,
        f"{where} used: File exists; move that file away; or set another [state] folder\n",
    )
    done = home.hostd("doctor")
    assert (done.returncode, done.stderr) == (
        1,
        f"{where} looked at: Not a directory; move away the file that is where a folder should be\n",
    )


def test_rescan_waits_and_prints_what_changed(serving: Daemon) -> None:
    """Like SIGHUP, but it returns when everything is as the folder says, and tells."""
    home = serving.home
    done = home.hostd("rescan")
    assert (done.returncode, done.stdout) == (0, "nothing changed\n")
    licence = home.path / "licence"
    licence.touch()
    needs = f"needs = {{ paths = ['{licence}'] }}"
    home.drop("needs.py", plugin("needs", glob="*.needs", manifest=needs, code=f"open({str(licence)!r}).close()\n"))
    serving.wait_event("artifact.refused", plugin="needs")
    home.configure(f"[daemon]\ngrace_s = 5\n\n[plugins.sandbox.grants.needs]\npaths = ['{licence}']\n")
    done = home.hostd("rescan")
    assert done.returncode == 0
    assert done.stdout == "settings changed: daemon, plugins\nneeds 1.0.0 is live as generation 1\n"


def test_rescan_says_what_holds_from_the_next_start(serving: Daemon) -> None:
    """Whether something else of its table is taken over or not; what is as it was is no change."""
    home = serving.home
    settings = home.settings.read_text()
    later = "plugins.folder holds from the next start\npipeline.memory_mib holds from the next start\n"
    home.settings.write_text(
        settings.replace('folder = "plugins.d"', 'folder = "elsewhere"') + "\n[pipeline]\nmemory_mib = 64\n"
    )
    for _ in range(2):
        done = home.hostd("rescan")
        assert (done.returncode, done.stdout) == (0, later)
    assert serving.seen("config.reloaded") == []
    assert [event["setting"] for event in serving.seen("config.needs_restart")] == [
        "plugins.folder",
        "pipeline.memory_mib",
    ] * 2
    home.settings.write_text(home.settings.read_text().replace("length_s = 0", "length_s = 5"))
    assert home.hostd("rescan").stdout == f"settings changed: plugins\n{later}"
    home.settings.write_text(settings)
    assert home.hostd("rescan").stdout == "settings changed: plugins\n"
    assert home.hostd("rescan").stdout == "nothing changed\n"


def test_without_a_daemon_there_is_nobody_to_ask(home: Home) -> None:
    """Exit 1, and what to do about it; also when a killed daemon left its socket."""
    expected = (
        f"hostd: {home.state}: no hostd is running on this state folder; start one: hostd run; or name its --config\n"
    )
    done = home.hostd("status")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
    home.start().kill9()
    assert (home.state / "hostd.sock").exists()
    done = home.hostd("rescan")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


def test_what_is_private_is_private(asked: Daemon) -> None:
    """The state folder and the control socket are the user's alone, whatever the umask."""
    home = asked.home
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.state / "hostd.sock").stat().st_mode) == 0o600
    assert stat.S_ISSOCK((home.state / "hostd.sock").stat().st_mode)
    assert stat.S_IMODE((home.out / "lines.ndjson").stat().st_mode) & 0o007 == 0
    for path in (home.state / "artifacts").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_nonsense_on_the_control_socket_harms_nothing(asked: Daemon) -> None:
    """What is not HTTP gets no answer and an event; the daemon goes on."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(asked.home.state / "hostd.sock"))
        client.sendall(b"\0\1\2 nonsense\r\n\r\n")
        assert client.recv(1) == b""
    assert "ProtocolError" in asked.wait_event("control.failed")["reason"]
    assert asked.status()["daemon"]["pid"] == asked.pid


# the command line itself


def test_version(home: Home) -> None:
    """--version is one line."""
    done = home.hostd("--version")
    assert (done.returncode, done.stdout) == (0, f"hostd {version('hostd')}\n")


Said = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """The exit code, output and errors of a command that does no more than say something; it needs no process."""
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")  # as it sets for itself, and here for this test alone

    def say(*arguments: str) -> tuple[int | str | None, str, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return end.value.code, *capsys.readouterr()

    return say


def test_every_command_shows_examples(home: Home, said: Said) -> None:
    """-h explains, names the options, and ends with commands to copy."""
    done = home.hostd("-h")
    assert done.returncode == 0
    assert "examples:\n  hostd run" in done.stdout
    for command in COMMANDS:
        assert f"\n    {command} " in done.stdout
        code, shown, errors = said(command, "-h")
        assert (code, errors) == (0, "")
        assert shown.startswith(f"usage: hostd {command} ")
        assert "examples:\n" in shown
        assert f"hostd {command}" in shown.partition("examples:\n")[2]
        assert "--config FILE" in shown


def test_usage_errors_exit_with_2(said: Said) -> None:
    """No command, an unknown command, an unknown option, a missing argument."""
    for arguments, reason in (
        ((), "the following arguments are required: COMMAND"),
        (("rum",), "invalid choice: 'rum'"),
        (("run", "--nonsense"), "unrecognized arguments: --nonsense"),
        (("parse",), "the following arguments are required: FILE"),
        (("check",), "the following arguments are required: FILE"),
        (("doctor", "--unknown", "skip"), "argument --unknown: it goes with --recover alone"),
        (("parse", "--plugins", "", "x"), "argument --plugins: it is empty; name a folder"),
        (("identify", "--plugins", "", "x"), "argument --plugins: it is empty; name a folder"),
    ):
        code, shown, errors = said(*arguments)
        assert code == 2, arguments
        assert shown == ""
        assert errors.startswith("usage: hostd")
        assert reason in errors


def test_settings_that_are_not_there_are_named(home: Home) -> None:
    """A --config that does not exist is an error with its path, not the defaults."""
    done = home.hostd("run", "--config", "none.toml")
    assert done.returncode == 1
    assert done.stderr == (
        "hostd: none.toml: cannot be read: No such file or directory; check its path, and its mode\n"
    )
