"""A thousand plugins in the folder: soon live, no process each, and nothing to do for those that did not change."""

import contextlib
import time
from pathlib import Path

import pytest

from hostd.errors import HostdError
from hostd.workers.pool import IDLE_MOST

from .harness import Daemon, Home, plugin

PLUGINS = 1000
LIVE_S = 60.0
"""For slow machines that do something else as well: on two idle cores it takes some ten seconds."""
RESCAN_S = 0.5
"""For slow machines, too. The aim is a tenth, which one with two idle cores was seen to miss by a tenth of that."""
DEAF_S = 1.0
STARTING_MOST = 32
"""Processes that start or end beside the idle ones, at the most."""


@pytest.mark.slow
def test_a_thousand_plugins_are_live_soon_and_cost_no_process(home: Home) -> None:
    """New ones first, then the same after a restart: the daemon answers throughout, and no plugin is refused."""
    home.configure("[workers]\nidle_s = 1\n")
    for number in range(PLUGINS):
        home.drop(f"p{number}.py", plugin(f"p{number}", glob=f"*.p{number}"))
    waited_for = f"p{PLUGINS // 2}"
    home.append(f"a.{waited_for}", "1")
    for records, start in enumerate(("first", "second"), 2):
        began = time.monotonic()
        daemon = home.start(ready=False)
        if start == "first":
            daemon.wait_records(waited_for, 1, LIVE_S)
            served = len(daemon.seen("generation.switched"))
            print(f"first record after {time.monotonic() - began:.2f} s, {served} plugins live")
            assert served < PLUGINS // 4, "what something waits for comes first"
        slowest_s = until_all_live(daemon)
        took_s = time.monotonic() - began
        print(f"{start} start: {PLUGINS} plugins live in {took_s:.2f} s, slowest answer {slowest_s * 1000:.0f} ms")
        assert slowest_s < DEAF_S
        assert len(daemon.workers()) <= IDLE_MOST + STARTING_MOST
        assert not daemon.seen("artifact.refused")
        daemon.wait("no worker is left", lambda daemon=daemon: not daemon.workers())
        assert home.pids() - home.spares() == {daemon.pid, daemon.zygote}
        assert_rescan_is_cheap(daemon)
        home.append(f"a.{waited_for}", "1")
        daemon.wait_records(waited_for, records)
        assert daemon.term() == 0


def assert_rescan_is_cheap(daemon: Daemon) -> None:
    """Looking at what did not change takes a moment, and reads none of it."""
    took_s = []
    before = bytes_read(daemon)
    for _ in range(5):
        began = time.monotonic()
        assert daemon.rescan() == []
        took_s.append(time.monotonic() - began)
    read = (bytes_read(daemon) - before) / len(took_s)
    print(f"rescan of {PLUGINS} plugins: {min(took_s) * 1000:.0f} ms, {read:.0f} bytes read")
    assert min(took_s) < RESCAN_S
    plugins_bytes = sum(path.stat().st_size for path in daemon.home.plugins.iterdir())
    assert read < plugins_bytes / 20
    assert len(daemon.seen("artifact.found")) == PLUGINS


def bytes_read(daemon: Daemon) -> int:
    """Return how many bytes the daemon's process has read, from whatever files."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{daemon.pid}/io").read_text().splitlines())
    return int(counters["rchar"])


def until_all_live(daemon: Daemon) -> float:
    """Ask for the status until all plugins are live; return how many seconds the slowest answer took."""
    slowest_s = 0.0
    end = time.monotonic() + LIVE_S
    live = 0
    while live < PLUGINS:
        assert time.monotonic() < end, f"{live} of {PLUGINS} are live within {LIVE_S:g} s"
        time.sleep(0.1)
        began = time.monotonic()
        with contextlib.suppress(HostdError):  # it does not listen yet
            live = len(daemon.status()["plugins"])
            slowest_s = max(slowest_s, time.monotonic() - began)
    return slowest_s
