"""Unloading is real: a hundred swaps leave no process, descriptor, thread, file or memory behind."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hostd.plugins.history import KEPT_GENERATIONS

from .harness import Daemon, Home, plugin, wheel

SETTLED_AFTER = 20
"""Swaps after which caches are filled: what grows later is a leak."""

ALLOWED_GROWTH_KIB = 2048

MAX_THREADS = 6
"""Wheels are read in threads of asyncio's pool; it has one more whenever none is idle, up to a few."""


@dataclass(frozen=True)
class Held:
    """What a daemon and its zygote hold."""

    processes: int
    children: int
    fds: int
    zygote_fds: int
    threads: int
    artifacts: int
    temporaries: int


def entries(folder: str | Path) -> int:
    return len(list(Path(folder).iterdir()))


def held(daemon: Daemon) -> Held:
    home = daemon.home
    return Held(
        processes=len(home.pids() - home.spares()),
        children=len(Path(f"/proc/{daemon.zygote}/task/{daemon.zygote}/children").read_text().split())
        - len(home.spares()),
        fds=entries(f"/proc/{daemon.pid}/fd"),
        zygote_fds=entries(f"/proc/{daemon.zygote}/fd"),
        threads=entries(f"/proc/{daemon.pid}/task"),
        artifacts=entries(home.state / "artifacts"),
        temporaries=entries(home.path / "tmp"),
    )


def rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def swap_again_and_again(home: Home, count: int) -> None:
    """Swap `count` times, a line through every generation, and compare what is held early and at the end."""
    home.configure("[workers]\nidle_s = 600\n")
    home.drop("lines.py", plugin(version="1.0.0"))
    home.append("a.log", "line 1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    early, early_kib = None, {}
    for number in range(2, count + 1):
        home.drop("lines.py", plugin(version=f"{number}.0.0"))
        daemon.wait_event("generation.retired", plugin="lines", generation=number - 1)
        home.append("a.log", f"line {number}")
        daemon.wait(f"line {number}", lambda number=number: home.raw("lines").count(b"\n") >= number)
        if number == SETTLED_AFTER:
            early = settled(daemon)
            early_kib = {pid: rss_kib(pid) for pid in (daemon.pid, daemon.zygote)}
    assert settled(daemon) == early
    for pid, kib in early_kib.items():
        grown = rss_kib(pid) - kib
        assert grown < ALLOWED_GROWTH_KIB, f"pid {pid} has grown by {grown} KiB"
    records = home.records()
    assert [record["line"] for record in records] == [f"line {number}" for number in range(1, count + 1)]
    assert [record["by"] for record in records] == [f"{number}.0.0" for number in range(1, count + 1)]


def settled(daemon: Daemon, copies: int = KEPT_GENERATIONS) -> Held:
    """Return what is held once one worker is left, and copies of only the generations that can be gone back to."""
    daemon.wait(f"{copies} private copies", lambda: held(daemon).artifacts == copies)
    daemon.wait("daemon, zygote, one worker", lambda: held(daemon).processes == 3 and held(daemon).children == 1)
    daemon.wait("the next worker is forked ahead", lambda: len(daemon.home.spares()) == 1)
    return daemon.wait(
        "two looks in a row see the same", lambda: seen if (seen := held(daemon)) == held(daemon) else None
    )


@pytest.mark.slow
def test_a_hundred_swaps_leave_nothing_behind(home: Home) -> None:
    """After a hundred generations the daemon holds what it held after twenty."""
    swap_again_and_again(home, 100)


@pytest.mark.slow
def test_refused_candidates_leave_nothing_behind(home: Home) -> None:
    """Forty broken versions, half of which were started, leave neither worker nor copy."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    before = settled(daemon, copies=1)
    for number in range(40):
        code = f"raise RuntimeError('{number}')\n" if number % 2 else f"def broken_{number}(:\n"
        home.drop("lines.py", plugin(code=code))
        daemon.wait_event("artifact.refused", count=number + 1)
    home.drop("lines.py", plugin())
    daemon.wait("nothing is refused", lambda: not daemon.rescan() and not daemon.status()["refused"])
    assert settled(daemon, copies=1) == before


def test_wheels_leave_nothing_behind(home: Home) -> None:
    """Twenty wheels, one after the other in place of the last: copies are left of those that can be gone back to."""
    name, content = wheel()
    home.drop(name, content)
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    before = settled(daemon, copies=1)
    for number in range(2, 21):
        (home.plugins / name).unlink()
        name, content = wheel(version=f"{number}.0.0")
        home.drop(name, content)
        daemon.wait_event("generation.retired", plugin="lines", generation=number - 1)
    after = settled(daemon)
    assert after.threads <= before.threads + MAX_THREADS
    assert replace(after, threads=before.threads) == replace(before, artifacts=KEPT_GENERATIONS)


def test_idle_workers_end(home: Home) -> None:
    """A plugin that has nothing to do costs no process; its next line starts one."""
    home.configure("[workers]\nidle_s = 0.2\n")
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait("no worker is left", lambda: not daemon.workers())
    status = daemon.plugin("lines")
    assert status is not None
    assert (status["state"], status["workers"]) == ("permanent", 0)
    home.append("a.log", "2")
    daemon.wait_records("lines", 2)
    assert not daemon.seen("worker.exited")
