"""Commands and standard input as sources: run, run again, ended with all that they started."""

import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Home, comm, eventually, plugin, wait_dead

pytestmark = pytest.mark.slow


def command(shell: str, more: str = "", name: str = "job") -> str:
    return (
        f'[[sources]]\nkind = "exec"\nname = "{name}"\ncommand = ["sh", "-c", """{shell}"""]\n'
        f'processor = "lines"\n{more}\n'
    )


def test_a_command_that_ends_is_started_again_and_half_a_line_of_it_is_one(home: Home) -> None:
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure(command("echo whole; printf half; exit 3"), paths=())
    daemon = home.start()
    ended = daemon.wait_event("exec.ended")
    assert (ended["reason"], ended["retry_s"]) == ("it exited with status 3", 1.0)
    assert daemon.wait_event("exec.ended", 2)["retry_s"] == 2.0
    daemon.wait_records("lines", 4)
    assert home.lines(source="exec:job") == ["whole", "half"] * 2


def test_a_command_may_be_run_once_or_until_it_succeeds(home: Home) -> None:
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure(
        command("echo once", 'restart = "never"\n', "once")
        + command("kill -9 $$", 'restart = "on-failure"\n', "fails"),
        paths=(),
    )
    daemon = home.start()
    assert daemon.wait_event("exec.ended", source="exec:once")["retry_s"] is None
    failed = daemon.wait_event("exec.ended", source="exec:fails")
    assert (failed["reason"], failed["retry_s"]) == ("it was killed by SIGKILL", 1.0)
    daemon.wait_event("exec.started", 2, source="exec:fails")
    assert len(daemon.seen("exec.started", source="exec:once")) == 1


def test_all_that_a_command_started_ends_with_it_and_with_the_daemon_however_that_ends(home: Home) -> None:
    """What ignores SIGTERM is killed; and what a killed daemon has started does not go on."""
    home.configure(command("trap '' TERM; sleep 1000 & sleep 1001 & echo up; wait; wait"), paths=())
    daemon = home.start()

    def sleepers() -> set[int]:
        return {pid for pid in home.pids() if comm(pid) == "sleep"}

    eventually("both run", lambda: len(sleepers()) == 2)
    before = sleepers()
    daemon.kill9()  # which waits until nothing lives here any more
    for pid in before:
        wait_dead(pid)
    daemon = home.start()
    eventually("both run again", lambda: len(sleepers()) == 2)
    home.configure(paths=())
    daemon.hup()
    daemon.wait_event("intake.ended", source="exec:job")
    eventually("none is left", lambda: not sleepers())
    assert daemon.term() == 0


def test_what_a_command_says_on_its_standard_error_is_logged_or_is_a_source(home: Home) -> None:
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure(
        command("echo trouble >&2; for i in $(seq 1000); do echo $i >&2; done; sleep 1000")
        + command("echo out; echo err >&2; sleep 1000", 'stderr = "source"\n', "both"),
        paths=(),
    )
    daemon = home.start()
    assert daemon.wait_event("exec.said")["said"] == "trouble"
    daemon.wait_records("lines", 2)
    assert home.lines(source="exec:both") == ["out"]
    assert home.lines(source="exec:both.stderr") == ["err"]
    assert len(daemon.seen("exec.said")) <= 60


def test_a_program_that_is_not_there_stops_the_start(home: Home) -> None:
    home.configure('[[sources]]\nkind = "exec"\nname = "job"\ncommand = ["./no-such"]\n', paths=())
    daemon = home.start(ready=False)
    assert daemon.wait_exit() == 1
    line = home.settings.read_text().splitlines().index('command = ["./no-such"]') + 1
    assert daemon.noise == [
        f"hostd: {home.settings}:{line}: source exec:job: there is no program './no-such'; correct its command"
    ]
    daemon.noise.clear()
    home.daemons.clear()


def test_a_command_waits_for_its_folder_and_without_one_there_is_no_start(home: Home) -> None:
    """One that is unmounted, or moved away, between two runs is said, and tried again."""
    folder = home.path / "there"
    folder.mkdir()
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure(command("pwd; sleep 0.2", 'folder = "there"\n'), paths=())
    daemon = home.start()
    daemon.wait_records("lines", 1)
    folder.rename(home.path / "away")
    missed = daemon.wait_event(
        "exec.ended", reason=f"it cannot be run: [Errno 2] No such file or directory: '{folder}'"
    )
    assert missed["retry_s"] is not None
    (home.path / "away").rename(folder)
    daemon.wait_records("lines", 2)
    assert daemon.term() == 0
    folder.rmdir()
    daemon = home.start(ready=False)
    assert daemon.wait_exit() == 1
    line = home.settings.read_text().splitlines().index('folder = "there"') + 1
    said = f"hostd: {home.settings}:{line}: source exec:job: there is no folder '{folder}'; make it, or correct it"
    assert daemon.noise == [said]
    daemon.noise.clear()
    home.daemons.clear()


def test_standard_input_that_cannot_be_read_is_no_end_of_it(home: Home) -> None:
    home.configure('[[sources]]\nkind = "stdin"\n', paths=())
    with Path("/proc/self/mem").open("rb") as unreadable:
        home.stdin = unreadable.fileno()
        daemon = home.start("--once", ready=False)
        assert daemon.wait_exit() == 3
    broken = daemon.wait_event("intake.broken", source="stdin")
    assert broken["reason"].startswith("[Errno 5] Input/output error")
    home.daemons.clear()


def test_a_source_that_cannot_be_begun_again_keeps_no_other_from_it(home: Home) -> None:
    """New settings fail: what was ended for them is begun again, one by one; what cannot be is in the reason."""
    home.drop("lines.py", plugin(glob="no.*"))

    def settings(more: str) -> str:
        return "".join(
            f'[[sources]]\nkind = "exec"\nname = "{name}"\ncommand = ["./{name}"]\nprocessor = "lines"\n{more}'
            for name in ("first", "second")
        )

    for name in ("first", "second"):
        program = home.path / name
        program.write_text(f"#!/bin/sh\necho {name}\nexec sleep 1000\n")
        program.chmod(0o755)
    home.configure(settings(""), paths=())
    daemon = home.start()
    daemon.wait_records("lines", 2)
    (home.path / "first").unlink()
    third = '[[sources]]\nkind = "exec"\nname = "third"\ncommand = ["./third"]\n'
    home.configure(third + settings("spool_mib = 7\n"), paths=())
    daemon.hup()
    assert daemon.wait_event("config.refused")["reason"] == (
        "sources: source exec:third: there is no program './third'; nor can what was ended for it be begun again:"
        " source exec:first: there is no program './first'; correct its command; what is in force stays"
    )
    daemon.wait_event("exec.started", 2, source="exec:second")
    daemon.wait_records("lines", 3)
    assert home.lines(source="exec:second") == ["second", "second"]
    daemon.wait_event("source.ended", source="exec:first")
    (home.path / "first").symlink_to(home.path / "second")
    home.configure(settings("spool_mib = 7\n"), paths=())
    daemon.hup()
    daemon.wait_event("exec.started", 2, source="exec:first")


def test_once_reads_standard_input_and_commands_to_their_ends(home: Home) -> None:
    """A pipe that comes in pieces, a last line without an end, and a command that would be started again."""
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure('[[sources]]\nkind = "stdin"\nprocessor = "lines"\n' + command("echo from a command"), paths=())
    process = subprocess.Popen(
        ["sh", "-c", f"(printf 'on'; sleep 0.3; printf 'e\\ntwo') | {sys.executable} -m hostd run --once"],
        cwd=home.path,
        env=home.environment,
        stderr=subprocess.PIPE,
    )
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert home.lines(source="stdin") == ["one", "two"]
    assert home.lines(source="exec:job") == ["from a command"]


def test_standard_input_may_be_a_file(home: Home) -> None:
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure('[[sources]]\nkind = "stdin"\nprocessor = "lines"\nspool_mib = 1\n', paths=())
    log = home.path / "log"
    lines = [f"{number} {'x' * 100}" for number in range(30_000)]
    log.write_text("".join(f"{line}\n" for line in lines))
    assert Path(log).stat().st_size > 3 << 20
    done = home.hostd("run", "--once", stdin=log.read_bytes())
    assert done.returncode == 0, done.stderr
    with log.open("rb") as file:
        (home.out / "lines.ndjson").unlink()
        subprocess.run(
            [sys.executable, "-m", "hostd", "run", "--once"],
            cwd=home.path,
            env=home.environment,
            stdin=file,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=30,
        )
    assert home.lines() == lines


def test_standard_input_of_which_nothing_comes_is_at_its_end(home: Home) -> None:
    """As under systemd, which gives /dev/null: nothing is read, and nothing waits for it."""
    home.configure('[[sources]]\nkind = "stdin"\n', paths=())
    daemon = home.start()
    daemon.wait(
        "it is at its end", lambda: daemon.status()["intakes"] == [{"kind": "stdin", "name": "stdin", "listening": []}]
    )
    assert daemon.term() == 0
