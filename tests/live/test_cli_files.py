"""What commands read and write: nothing of it is lost to a slip of the hand, and every failure is one line."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from .harness import Home, eventually, plugin

LINES = [str(number) for number in range(10)]


@pytest.fixture
def lines(home: Home) -> Home:
    """A plugin, and a log with something in it."""
    home.drop("lines.py", plugin())
    home.append("a.log", *LINES)
    return home


def shell(home: Home, script: str) -> "subprocess.CompletedProcess[str]":
    """Run a script in which `$H` is hostd."""
    environment = {**home.environment, "H": f"{sys.executable} -m hostd"}
    return subprocess.run(
        ["bash", "-c", script], cwd=home.path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


# nothing that is read is written to, and nothing is emptied in vain


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("$H parse -o logs/a.log logs/a.log", "logs/a.log: is the same file as logs/a.log, which is read; "),
        ("$H parse --report logs/a.log logs/a.log", "logs/a.log: is the same file as logs/a.log, which is read; "),
        ("ln logs/a.log b && $H parse -o b logs/a.log", "b: is the same file as logs/a.log, which is read; "),
        ("ln -s logs/a.log c && $H parse -o c logs/a.log", "c: is the same file as logs/a.log, which is read; "),
        ("$H parse --processor lines -o logs/a.log - < logs/a.log", "logs/a.log: is the same file as standard input"),
        ("$H parse logs/a.log >> logs/a.log", "standard output: is the same file as logs/a.log, which is read; "),
        ("$H parse -o made --report made logs/a.log", "made: is where the records go; "),
    ],
)
def test_parse_writes_to_nothing_that_it_reads(lines: Home, script: str, said: str) -> None:
    """Whatever it is called there: the file stays as it is."""
    done = shell(lines, script)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hostd: {said}")
    assert (lines.logs / "a.log").read_text().splitlines() == LINES


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plugins", "nowhere", "logs/a.log"),
        ("--processor", "lime", "logs/a.log"),
        ("logs/none.log",),
        ("--config", "none.toml", "logs/a.log"),
    ],
)
def test_an_output_is_emptied_only_for_what_takes_its_place(lines: Home, arguments: tuple[str, ...]) -> None:
    """What goes wrong before the first file is opened leaves it as it was; then it is written anew."""
    kept, report = lines.path / "kept.ndjson", lines.path / "report.jsonl"
    for path in (kept, report):
        path.write_text("of yesterday\n" * 100)
    done = lines.hostd("parse", "-o", "kept.ndjson", "--report", "report.jsonl", *arguments)
    assert done.returncode == 1
    assert kept.read_text() == report.read_text() == "of yesterday\n" * 100
    assert lines.hostd("parse", "-o", "kept.ndjson", "--report", "report.jsonl", "logs/a.log").returncode == 0
    assert [json.loads(line)["line"] for line in kept.read_text().splitlines()] == LINES
    assert json.loads(report.read_text())["records"] == len(LINES)


# what the settings say of a file


def test_parse_takes_a_file_as_the_settings_say_and_identify_tells(lines: Home) -> None:
    """Its processor, and whether it is unpacked; --processor comes before that."""
    lines.drop("other.py", plugin("other", glob="*.other"))
    packed = gzip.compress(b"1\n2\n")
    lines.append("packed.log.gz", packed)
    named = (
        '[[sources]]\npaths = ["logs/a.log"]\nprocessor = "other"\n[[sources]]\npaths = ["logs/*.gz"]\ndecode = false\n'
    )
    lines.settings.write_text(lines.settings.read_text().replace("[[sources]]", f"{named}[[sources]]", 1))
    assert lines.hostd("identify", "logs/a.log").stdout.splitlines()[0] == "logs/a.log: other (configured)"
    assert lines.hostd("parse", "--report", "r", "logs/a.log").returncode == 0
    report = json.loads((lines.path / "r").read_text())
    assert (report["processor"], report["why"]) == ("other", "configured")
    assert lines.hostd("parse", "--processor", "lines", "--report", "r", "logs/a.log").returncode == 0
    assert json.loads((lines.path / "r").read_text())["processor"] == "lines"
    waits = "waits: no plugin accepts it; "
    assert waits in lines.hostd("identify", "logs/packed.log.gz").stdout
    done = lines.hostd("parse", "--report", "r", "logs/packed.log.gz")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads((lines.path / "r").read_text())["bytes"] == len(packed)


def test_parse_names_what_is_in_service_instead(lines: Home) -> None:
    """The one that is alike, or all there are."""
    assert lines.hostd("parse", "--processor", "lime", "logs/a.log").stderr == (
        "hostd: --processor: 'lime' is not in service; did you mean 'lines'?\n"
    )
    assert lines.hostd("parse", "--processor", "x", "logs/a.log").stderr == (
        f"hostd: --processor: 'x' is not in service; those in {lines.plugins} are lines\n"
    )


# what the system refuses is one line


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "$H parse logs/a.log > /dev/full",
            "standard output: cannot be written: No space left on device; name another",
        ),
        ("$H parse -o /dev/full logs/a.log", "/dev/full: cannot be written: No space left on device; name another"),
        ("$H parse --report /dev/full logs/a.log > x", "/dev/full: cannot be written: No space left on device; name"),
        ("$H identify logs/a.log > /dev/full", "standard output: No space left on device; free space on its disk"),
        ("$H identify --json logs/a.log > /dev/full", "standard output: No space left on device; free space"),
        ("PYTHONUNBUFFERED=1 $H identify logs/a.log > /dev/full", "standard output: No space left on device; free"),
        ("$H check plugins.d/lines.py > /dev/full", "standard output: No space left on device; free space"),
        ("$H parse --processor lines - <&-", "standard input: Bad file descriptor; do not close it"),
        (
            "$H parse logs/a.log >&-",
            "standard output: cannot be written: Bad file descriptor; name another file with -o",
        ),
        ("$H identify logs/a.log >&-", "standard output: Bad file descriptor; do not close it"),
        ("$H parse logs", "logs: is no regular file; name one, or give what is in it as standard input, -"),
        ("mkfifo f && $H parse f", "f: is no regular file; name one, or give what is in it as standard input, -"),
        ("$H parse logs/a.log -o .", ".: cannot be written: Is a directory; name another file with -o"),
    ],
)
def test_what_the_system_refuses_is_one_line(lines: Home, script: str, said: str) -> None:
    """Where, what, and what to do: no traceback, and 1."""
    done = shell(lines, script)
    assert done.returncode == 1
    assert done.stderr.startswith(f"hostd: {said}")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(home: Home) -> None:
    """`hostd new` in somebody else's folder; root may write everywhere but here."""
    script = "cd /proc && $H new q"
    done = shell(home, script)
    assert done.returncode == 1
    assert done.stderr.startswith("hostd: q.py: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["parse", "check"])
def test_ctrl_c_ends_a_command_at_once(home: Home, what: str) -> None:
    """While it waits for standard input, or for a plugin that does not load: 130, no traceback, and nothing is left."""
    started = home.path / "started"
    slow = plugin(code=f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)\n")
    home.configure(sandbox="off")
    home.drop("slow.py" if what == "check" else "lines.py", slow if what == "check" else plugin())
    arguments = ["check", "plugins.d/slow.py"] if what == "check" else ["parse", "--processor", "lines", "-"]
    stdin, feed = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "hostd", *arguments],
        cwd=home.path,
        env=home.environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Whoever started the tests in the background may have it ignored, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        if what == "check":
            eventually("the plugin is being loaded", started.exists)
        else:
            os.write(feed, b"1\n2\n")
            assert b'"line":"1"' in command.stdout.readline()
        began = time.monotonic()
        os.killpg(command.pid, signal.SIGINT)
        try:
            assert command.wait(10) == 130
        finally:
            command.kill()  # so that nothing waits for it
        assert time.monotonic() - began < 5
        assert command.stderr.read() == b""
    os.close(stdin)
    os.close(feed)
    home.wait_empty()


# what a terminal would obey


RED = "\x1b[31mred.log"


def test_no_terminal_obeys_the_name_of_a_file(home: Home) -> None:
    """In the tables of `hostd status`, in what `hostd explain` says, in errors: its bytes are spelled out."""
    home.drop("lines.py", plugin())
    home.append(RED, "1")
    home.append("\x1b[2Jwaits\nREFUSED", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_event("source.unrouted")
    daemon.wait("it is committed", lambda: daemon.source(f"logs/{RED}")["offset"] == 2)
    status = home.hostd("status").stdout
    assert "\x1b" not in status
    assert ["logs/\\x1b[31mred.log", "lines", "2", "2"] in [line.split() for line in status.splitlines()]
    assert "\n  logs/\\x1b[2Jwaits\\nREFUSED: no plugin accepts it" in status
    explained = home.hostd("explain", "out/lines.ndjson:1").stdout
    assert "\x1b" not in explained
    assert "\n  source      logs/\\x1b[31mred.log\n" in explained
    for command in ("identify", "parse"):
        done = home.hostd(command, "logs/\x1b[31mnone.log")
        assert "\x1b" not in done.stdout + done.stderr
        assert "logs/\\x1b[31mnone.log: " in done.stdout + done.stderr
