"""More logs than the daemon may open: those for which there is room are read, and the others when there is room."""

import resource
import signal
from pathlib import Path

from hostd.daemon import EXIT_LEFT

from .harness import Home, plugin

LIMITED = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
MOST = 300
LOGS = 400


def test_logs_beyond_the_limit_wait_and_the_others_are_read(home: Home) -> None:
    """Half of a low limit is left to whatever serves the files: each line once, and nothing taken for rotated."""
    home.drop("lines.py", plugin("lines"))
    for number in range(LOGS):
        home.append(f"{number:03}.log", f"first of {number}")
    daemon = home.start(under=LIMITED)
    left = daemon.wait_event("sources.left_out")
    assert left["count"] == LOGS - len(daemon.status()["sources"]) == daemon.status()["left_out"]
    assert f"the daemon may have {MOST} descriptors" in left["reason"]
    assert "LimitNOFILE=" in left["reason"]
    assert f"{left['count']} more files: no descriptors are left for them (LimitNOFILE=)" in home.hostd("status").stdout
    taken = LOGS - left["count"]
    assert MOST // 4 < taken <= MOST // 2
    daemon.wait_records("lines", taken)
    # A worker can be forked: another version goes live, and parses what is appended.
    home.drop("lines.py", plugin("lines", "2.0"))
    daemon.wait_event("generation.switched", plugin="lines", generation=2)
    home.append("000.log", "second of 0")
    daemon.wait_records("lines", taken + 1)
    assert not daemon.seen("source.rotated")
    # Those that end make room for as many.

    def remove_what_is_open() -> bool:
        for source in daemon.status()["sources"]:
            Path(source["path"]).unlink(missing_ok=True)
        return bool(daemon.seen("sources.taken_in"))

    daemon.wait("all others are taken in", remove_what_is_open)
    assert daemon.status()["left_out"] == 0
    daemon.wait_records("lines", LOGS + 1)
    assert sorted(home.lines()) == sorted([*(f"first of {number}" for number in range(LOGS)), "second of 0"])


def test_a_run_that_ends_says_that_it_left_logs_out(home: Home) -> None:
    """Its exit code too: not everything was parsed."""
    home.drop("lines.py", plugin("lines"))
    for number in range(LOGS):
        home.append(f"{number:03}.log", f"first of {number}")
    daemon = home.start("--once", ready=False, under=LIMITED)
    assert daemon.wait_exit() == EXIT_LEFT
    assert len(daemon.seen("sources.left_out")) == 1
    assert len(home.lines()) == len(set(home.lines())) == LOGS - daemon.seen("sources.left_out")[0]["count"]


def test_without_a_descriptor_no_folder_is_taken_for_empty(home: Home) -> None:
    """All that the daemon may open is taken: what it reads is not said to be gone, and goes on when that is over."""
    home.drop("lines.py", plugin("lines"))
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)

    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        daemon.send(signal.SIGHUP)
        home.append("b.log", "2")
        assert "Too many open files" in daemon.wait_event("source.unreadable", source="/")["reason"]
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    daemon.wait_records("lines", 2, 30)
    assert not daemon.seen("source.rotated")
    assert not daemon.seen("source.ended")
