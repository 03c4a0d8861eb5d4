"""Disks that fill up or cannot be written, readers that do not read: reading waits, memory stays bounded, nothing is
lost or doubled, and it goes on by itself."""

import json
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .disks import disk, full, remount
from .harness import DEADLINE_S, Daemon, Home, plugin

MEMORY = "[pipeline]\nmemory_mib = 8\n"
WIDE = 4096
BACKLOG = 12_000
"""Lines of `WIDE` bytes: several times what the budget and a small disk hold together."""
MOST_RSS_MIB = 110
"""A daemon at rest takes some 40 MiB; to read the whole backlog into memory would take it far past this."""


def wide(number: int) -> str:
    """Return a line that fills a disk soon."""
    return f"{number:06} {'x' * WIDE}"


def write_backlog(home: Home, count: int = BACKLOG) -> None:
    home.drop("lines.py", plugin())
    home.append("a.log", *map(wide, range(count)))


def rss_mib(daemon: Daemon, field: str = "VmHWM") -> float:
    """Return the daemon's memory, by default the most that it ever had."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def assert_all_once(home: Home, count: int = BACKLOG) -> None:
    """Every line of the backlog is out, once and in order."""
    lines = home.lines()
    assert len(lines) == count
    assert all(line == wide(number) for number, line in enumerate(lines))


@pytest.fixture
def out_disk(tmp_path: Path, home: Home) -> Iterator[Path]:
    """The sinks' folder, on a disk of 8 MiB. It outlives the daemons."""
    with disk(home.out, 8) as folder:
        yield folder
        home.end()


@pytest.fixture
def state_disk(home: Home) -> Iterator[Path]:
    """The state folder, on a disk of 8 MiB."""
    with disk(home.state, 8) as folder:
        yield folder
        home.end()


@pytest.mark.slow
def test_a_full_disk_of_the_sinks_makes_reading_wait(home: Home, out_disk: Path) -> None:
    """Memory stays bounded meanwhile, the status says what holds it up, and with room it goes on by itself."""
    home.configure(MEMORY)
    write_backlog(home)
    daemon = home.start()
    failed = daemon.wait_event("sink.failed", count=3)
    assert failed["sink"] == str(home.out / "lines.ndjson")
    assert failed["reason"] == (
        f"[Errno 28] No space left on device: '{home.out / 'lines.ndjson'}'; free space on its disk, and it goes on"
    )
    status = daemon.status()
    assert status["held_up"]["reason"] == failed["reason"]
    assert 0 < status["sources"][0]["offset"] < status["sources"][0]["size"]
    assert "HELD UP since" in home.hostd("status").stdout
    assert rss_mib(daemon) < MOST_RSS_MIB
    remount(out_disk, "size=200m")
    recovered = daemon.wait_event("sink.recovered")
    assert recovered["tries"] >= 3
    daemon.wait_all_read()
    assert daemon.status()["held_up"] is None
    assert rss_mib(daemon) < MOST_RSS_MIB
    assert_all_once(home)


@pytest.mark.parametrize("end", ["room", "kill -9"])
def test_the_disks_of_state_and_sinks_are_both_full(home: Home, out_disk: Path, state_disk: Path, end: str) -> None:
    """What could be written is what the ledger knows; the rest comes when there is room, also after a kill."""
    home.configure(MEMORY)
    home.drop("lines.py", plugin())
    home.append("a.log", wide(0))
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    with full(state_disk), full(out_disk):
        home.append("a.log", *map(wide, range(1, 4000)))
        daemon.wait_event("sink.failed", count=2)
        if end == "kill -9":
            daemon.kill9()
            daemon = home.start()
            daemon.wait_event("sink.failed")
    remount(out_disk, "size=200m")
    daemon.wait("all is out", lambda: home.raw("lines").count(b"\n") >= 4000)
    daemon.wait_all_read()
    assert_all_once(home, 4000)


def test_the_disk_of_the_state_is_full(home: Home, state_disk: Path) -> None:
    """The records that are in the sink already are not written again for it: the same commit is tried again, whole."""
    home.drop("lines.py", plugin())
    home.append("a.log", "0")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    with full(state_disk):
        home.append("a.log", *map(str, range(1, 20_000)))
        failed = daemon.wait_event("sink.failed", count=2)
        assert failed["sink"] == "ledger"
        assert failed["reason"] in (
            "database or disk is full; free space on its disk, and it goes on",
            "disk I/O error; look whether its disk is full, or has errors in the kernel's log",
        )
    daemon.wait_event("sink.recovered", sink="ledger")
    daemon.wait("all is out", lambda: home.raw("lines").count(b"\n") >= 20_000)
    daemon.wait_all_read()
    assert home.lines() == [str(number) for number in range(20_000)]


def test_a_disk_of_the_sinks_that_cannot_be_written(home: Home, out_disk: Path) -> None:
    """Mounted read-only while hostd is stopped: it starts, says so, waits, and goes on when it is mended."""
    home.drop("lines.py", plugin())
    remount(out_disk, "ro")
    home.append("a.log", "1")
    daemon = home.start()
    failed = daemon.wait_event("sink.failed", count=2)
    assert failed["reason"] == (
        f"[Errno 30] Read-only file system: '{home.out / 'lines.ndjson'}';"
        " mount its disk so that it can be written, and it goes on"
    )
    remount(out_disk, "rw")
    daemon.wait_records("lines", 1)


@pytest.mark.slow
def test_a_sink_that_cannot_be_cut_back_is_said_at_start(home: Home, out_disk: Path) -> None:
    """Read-only, with bytes past the ledger in it: nothing may be parsed before they are cut off."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    daemon.kill9()
    with (home.out / "lines.ndjson").open("ab") as file:
        file.write(b'{"never": "committed"}\n')
    remount(out_disk, "ro")
    done = home.hostd("run")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"hostd: {home.out}: cannot be cut back to what was committed: [Errno 30] Read-only file system: "
        f"'{home.out / 'lines.ndjson'}'; mount its disk so that it can be written, and it goes on"
    )
    remount(out_disk, "rw")
    home.append("a.log", "2")
    home.start().wait_records("lines", 2)
    assert home.lines() == ["1", "2"]


def test_a_state_folder_that_cannot_be_written_is_said_at_start(home: Home, state_disk: Path) -> None:
    """One line, which names the folder and what to do."""
    home.start().term()
    remount(state_disk, "ro")
    done = home.hostd("run")
    remount(state_disk, "rw")
    assert done.returncode == 1
    assert done.stderr == (
        f"hostd: {home.state}: the state folder cannot be used: Read-only file system; "
        "mount it so that it can be written; or set another [state] folder\n"
    )


class Piped(Daemon):
    """A daemon that prints into a FIFO of which the test has the other end."""

    def __init__(self, home: Home, arguments: tuple[str, ...], under: tuple[str, ...]) -> None:
        fifo = home.path / "tmp" / "fifo"
        if not fifo.exists():
            os.mkfifo(fifo)
        self.reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        super().__init__(home, arguments, ("sh", "-c", f'exec "$@" > {fifo}', "sh", *under))

    def read_lines(self, count: int) -> list[str]:
        """Read until so many lines are there; return them."""
        chunks: list[bytes] = []
        seen = 0
        os.set_blocking(self.reader, True)
        while seen < count:
            assert select.select([self.reader], [], [], DEADLINE_S)[0], f"{seen} lines of {count}\n{self.log()}"
            chunks.append(os.read(self.reader, 1 << 20))
            seen += chunks[-1].count(b"\n")
        return [line.decode() for line in b"".join(chunks).splitlines()]


@contextmanager
def printing(home: Home, more: str = "") -> Iterator[Callable[[], Piped]]:
    """Have hostd print its records; the block gets what starts it, and the ends of the FIFO are closed after it."""
    home.configure(f"{MEMORY}{more}")
    home.settings.write_text(home.settings.read_text().replace('"ndjson"\nfolder = "out"', '"stdout"'))
    started: list[Piped] = []

    def start() -> Piped:
        daemon = home.start(kind=Piped)
        assert isinstance(daemon, Piped)
        started.append(daemon)
        return daemon

    yield start
    home.end()
    for daemon in started:
        os.close(daemon.reader)


@pytest.mark.slow
def test_a_reader_that_does_not_read_makes_reading_wait(home: Home) -> None:
    """It is said once, the status answers, memory stays bounded; when it reads, each line comes once, in order."""
    with printing(home) as start:
        write_backlog(home)
        daemon = start()
        blocked = daemon.wait_event("sink.blocked")
        assert (blocked["sink"], blocked["seconds"]) == ("stdout", 5.0)
        held_up = daemon.status()["held_up"]
        assert held_up["reason"] == "it has not taken what is written for 5 s"
        assert rss_mib(daemon) < MOST_RSS_MIB
        lines = daemon.read_lines(BACKLOG)
        assert len(lines) == BACKLOG
        assert all(f'"line":"{number:06} ' in line for number, line in enumerate(lines))
        daemon.wait_event("sink.recovered", sink="stdout")
        daemon.wait_all_read()
        assert rss_mib(daemon) < MOST_RSS_MIB
        assert len(daemon.seen("sink.blocked")) == 1


def test_a_reader_that_does_not_read_does_not_keep_hostd_from_stopping(home: Home) -> None:
    """SIGTERM waits for the grace period and no longer; what was not committed comes again, in whole lines."""
    with printing(home, "[daemon]\ngrace_s = 0.5\n") as start:
        home.drop("lines.py", plugin())
        home.append("a.log", *map(str, range(20_000)))
        daemon = start()
        daemon.wait("it prints", lambda: select.select([daemon.reader], [], [], 0)[0])
        began = time.monotonic()
        assert daemon.term() == 0
        assert time.monotonic() - began < 8
        os.set_blocking(daemon.reader, True)
        before = [json.loads(line)["line"] for line in os.read(daemon.reader, 1 << 20).splitlines()]
        assert before == [str(number) for number in range(len(before))]
        again = start()
        lines = again.read_lines(20_000)
        assert [json.loads(line)["line"] for line in lines] == [str(number) for number in range(20_000)]
        again.wait_all_read()


def test_a_fifo_in_the_place_of_a_sinks_file_is_said(home: Home) -> None:
    """Nobody may read it, and nothing could be cut back: it is refused, and it goes on when it is moved away."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    home.out.mkdir()
    fifo = home.out / "lines.ndjson"
    os.mkfifo(fifo)
    daemon = home.start()
    failed = daemon.wait_event("sink.failed")
    assert failed["reason"] == (f"[Errno 29] It is no regular file: '{fifo}'; move it away, and it goes on")
    fifo.unlink()
    daemon.wait_records("lines", 1)


@pytest.mark.slow
def test_a_daemon_held_still_goes_on(home: Home) -> None:
    """SIGSTOP for longer than a batch may take: no worker is blamed for it, no line is lost or doubled."""
    home.drop("lines.py", plugin(manifest="limits = { time_s = 1 }"))
    home.append("a.log", *map(str, range(1000)))
    daemon = home.start()
    daemon.wait_records("lines", 1000)
    for turn in range(1, 3):
        home.append("a.log", *map(str, range(1000 * turn, 1000 * (turn + 1))))
        daemon.send(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(1.5)  # what is tested is that this much time passes
        daemon.send(signal.SIGCONT)
        daemon.wait_records("lines", 1000 * (turn + 1))
    assert home.lines() == [str(number) for number in range(3000)]
    assert daemon.wait_all_read()["dead_letters"] == {}
