"""What a zygote is shown under bubblewrap, and what happens where that does not work."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.errors import WorkerLostError
from hostd.workers import sandbox as sandboxes
from hostd.workers.batch import Batch
from hostd.workers.confinement import Confinement, SandboxError
from hostd.workers.launch import SHARED, launch
from hostd.workers.pool import Pool
from hostd.workers.sandbox import Sandbox, why_not
from tests import bubblewrap
from tests.build import load


def pairs(arguments: list[str], option: str) -> list[tuple[str, str]]:
    """Return the two arguments after each `option`."""
    return [(arguments[at + 1], arguments[at + 2]) for at, argument in enumerate(arguments) if argument == option]


def command(tmp_path: Path, *more: str, network: bool = False) -> list[str]:
    state = tmp_path / "state"
    return sandboxes.command(["python"], Sandbox("auto", state / "artifacts", state), "", more, network=network)


def test_only_what_python_needs_is_in_view(tmp_path: Path) -> None:
    """Neither the root, nor a home, nor any folder that something of the operator's could lie in."""
    arguments = command(tmp_path)
    shown = {source for source, _ in pairs(arguments, "--ro-bind")} - {str(tmp_path / "state" / "artifacts")}
    homes = {"/", "/home", "/root", "/etc", "/usr", "/var", "/tmp", "/opt", "/srv", str(Path.home()), str(tmp_path)}
    assert not shown & homes
    assert not any(str(tmp_path).startswith(f"{source}/") for source in shown)
    assert not any(source == sys.prefix for source in shown)
    assert pairs(arguments, "--bind") == [("/proc", "/proc")]
    assert {source for source, _ in pairs(arguments, "--dev-bind")} == {"/dev/null", "/dev/random", "/dev/urandom"}
    assert arguments[-2:] == ["--", "python"]


def test_the_store_has_a_name_of_its_own_and_can_only_be_read(tmp_path: Path) -> None:
    """Its path says nothing of where the state folder is."""
    assert (str(tmp_path / "state" / "artifacts"), "/artifacts") in pairs(command(tmp_path), "--ro-bind")


def test_rights_are_given_up_but_the_one_that_workers_are_confined_with(tmp_path: Path) -> None:
    """In a user namespace, where it is a right over nothing of the host's."""
    arguments = command(tmp_path)
    assert {"--unshare-user", "--unshare-ipc", "--unshare-uts", "--die-with-parent"} <= set(arguments)
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert [arguments[at + 1] for at, argument in enumerate(arguments) if argument == "--cap-add"] == ["CAP_SYS_ADMIN"]


def test_the_network_comes_with_what_names_are_looked_up_in(tmp_path: Path) -> None:
    """And without a grant with nothing."""
    without, granted = command(tmp_path), command(tmp_path, network=True)
    assert "--unshare-net" in without
    assert "/etc/resolv.conf" not in without
    assert "--unshare-net" not in granted
    assert ("/etc/resolv.conf", "/etc/resolv.conf") in pairs(granted, "--ro-bind-try")


def test_the_state_folder_is_covered_where_a_granted_path_holds_it(tmp_path: Path) -> None:
    """An operator who grants its parent does not grant the ledger."""
    arguments = command(tmp_path, str(tmp_path))
    covered = arguments.index("--tmpfs")
    assert arguments[covered + 1] == str(tmp_path / "state")
    assert covered > arguments.index(str(tmp_path))


def test_temporary_files_are_elsewhere_where_something_to_be_seen_lies_in_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a worker's own on /tmp would hide it."""
    monkeypatch.setattr(sandboxes, "_python_folders", lambda: ["/opt/hostd/lib"])
    assert sandboxes.environment({"LANG": "C"}, "", ()) == {"LANG": "C", "HOME": "/tmp", "TMPDIR": "/tmp"}
    assert sandboxes.temporary("", ["/tmpfiles"]) == "/tmp"
    assert sandboxes.temporary("", ["/tmp/granted"]) == "/scratch"


@pytest.mark.parametrize(
    ("said", "sysctl", "reason", "remedy"),
    [
        ("", {}, "bubblewrap is not installed", "apt-get install bubblewrap (or its like)"),
        (
            "bwrap: setting up uid map: Permission denied",
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "bwrap: setting up uid map: Permission denied (kernel.apparmor_restrict_unprivileged_userns is 1)",
            "allow bwrap user namespaces by an AppArmor profile",
        ),
        (
            "bwrap: No permissions to create new namespace",
            {"kernel/unprivileged_userns_clone": "0"},
            "bwrap: No permissions to create new namespace (kernel.unprivileged_userns_clone is 0)",
            "set sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "bwrap: Creating new namespace failed: No space left on device",
            {"user/max_user_namespaces": "0"},
            "bwrap: Creating new namespace failed: No space left on device (user.max_user_namespaces is 0)",
            "set sysctl user.max_user_namespaces=10000",
        ),
        ("bwrap: x", {}, "bwrap: x", "let hostd make user namespaces: a container and a systemd unit can forbid it"),
    ],
)
def test_what_stands_in_the_way_is_named_with_the_way_out(
    said: str, sysctl: dict[str, str], reason: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bubblewrap said, the setting that explains it, and the command that mends it."""
    monkeypatch.setattr(sandboxes, "_sysctl", lambda name: sysctl.get(name, ""))
    assert why_not(said) == (reason, f'{remedy}, or set mode = "off" in [plugins.sandbox]')


def make_bwrap(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program called bwrap first on the path."""
    folder.mkdir()
    program = folder / "bwrap"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


REFUSES = (
    "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1",
    "bwrap: setting up uid map: Permission denied",
)
POWERLESS = (
    f'exec {bubblewrap.PATH} "${{@/CAP_SYS_ADMIN/CAP_KILL}}"',
    "PermissionError: [Errno 1] fork: Operation not permitted",
)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        REFUSES,
        pytest.param(
            *POWERLESS, marks=pytest.mark.skipif(not bubblewrap.works(), reason="bubblewrap does not work here")
        ),
    ],
    ids=["it refuses", "its workers cannot be confined"],
)
def test_where_it_does_not_work_plugins_run_without_and_that_is_said_once(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` goes on, and every zygote that follows is like the first."""
    make_bwrap(tmp_path / "bin", script, monkeypatch)
    with capture_logs() as logged:
        by = asyncio.run(parse_with(Sandbox("auto", tmp_path / "store", tmp_path), tmp_path))
    assert by == ("none", True)
    (warned,) = [event for event in logged if event["event"] == "sandbox.unavailable"]
    assert reason in warned["reason"]
    assert [event["sandbox"] for event in logged if event["event"] == "zygote.started"] == ["none"]
    assert not [event for event in logged if event["event"] == "zygote.exited"]


def test_where_it_is_required_and_does_not_work_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even once."""
    make_bwrap(tmp_path / "bin", REFUSES[0], monkeypatch)
    with pytest.raises(
        SandboxError, match=r"^\[plugins\.sandbox\]: the sandbox does not work: bwrap: setting up uid map"
    ):
        asyncio.run(parse_with(Sandbox("required", tmp_path / "store", tmp_path), tmp_path))


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_where_bubblewrap_is_not_installed(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told how to install it; `auto` goes on."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    sandbox = Sandbox(mode, tmp_path / "store", tmp_path)  # type: ignore[arg-type]
    if mode == "auto":
        with capture_logs() as logged:
            assert asyncio.run(parse_with(sandbox, tmp_path)) == ("none", True)
        assert logged[0]["reason"] == "bubblewrap is not installed"
    else:
        with pytest.raises(SandboxError, match="bubblewrap is not installed; apt-get install bubblewrap"):
            asyncio.run(parse_with(sandbox, tmp_path))


def test_a_zygote_that_was_killed_is_no_sign_that_the_sandbox_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is decided, and nothing runs without it."""
    make_bwrap(tmp_path / "bin", "kill -9 $$", monkeypatch)

    async def scenario() -> None:
        pool = Pool(1, 60.0, sandbox=Sandbox("auto", tmp_path / "store", tmp_path))
        with capture_logs() as logged, pytest.raises(WorkerLostError, match="killed by signal 9"):
            await pool.settle()
        assert [event["event"] for event in logged] == ["zygote.exited"]
        assert not pool.confinement.decided
        await pool.close()

    asyncio.run(scenario())


def test_a_zygote_that_was_started_otherwise_is_not_taken(tmp_path: Path) -> None:
    """Settings that changed just then must not leave plugins unconfined."""
    launched = launch(SHARED)
    assert Confinement(Sandbox("auto", tmp_path, tmp_path)).adopt(launched) is None
    assert launched.process.wait(10) == 0


async def parse_with(sandbox: Sandbox, folder: Path) -> tuple[str, bool]:
    """Parse a line with a plugin in a pool with that sandbox; return what confined it, and whether that worked."""
    pool = Pool(1, 60.0, sandbox=sandbox)
    (folder / "store").mkdir(exist_ok=True)
    crew = pool.crew(load(folder), 20.0, 1)
    try:
        await crew.start()
        result = await crew.parse(Batch("a.log", 0, b"", b"x\n"))
        return pool.confinement.by, result.records == 1
    finally:
        await crew.kill()
        await pool.close()
