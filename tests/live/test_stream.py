"""Binary streams: cut anywhere, swapped in mid-file, killed, refused, hung: every record once, in order."""

import os
import random
import signal
from contextlib import suppress
from functools import lru_cache

import pytest

from .harness import Daemon, Home, Writer
from .tracing import expected, records, trace, version

PIECE = 60


@lru_cache
def long_trace() -> bytes:
    """Return a trace that no test reads to its end."""
    return trace(30_000, damaged=None)


class Tracer(Writer):
    """Appends the long trace to files, some bytes at a time, until it is told to stop."""

    def __init__(self, home: Home, names: tuple[str, ...], pause_s: float = 0.004) -> None:
        super().__init__(home, names, pause_s=pause_s)
        self._length = 0

    @property
    def data(self) -> bytes:
        """What each file holds once it has stopped."""
        return long_trace()[: self._length]

    def _write(self) -> None:
        while not self._stop.wait(self._pause_s):
            piece = long_trace()[self._length : self._length + PIECE]
            for name in self.written:
                self._home.append(name, piece)
            self._length += len(piece)
            assert piece, "a longer trace is needed"


def test_a_version_swapped_in_mid_file_goes_on_where_the_one_before_stopped(home: Home) -> None:
    """Under load, several times over: names and times that an earlier version read are known to the later ones."""
    names = ("a.trc", "b.trc")
    home.drop("trace.py", version("1.0.0"))
    daemon = home.start()
    with Tracer(home, names).writing() as tracer:
        for number in range(2, 6):
            daemon.wait(
                "the version in service has made records",
                lambda number=number: (
                    home.records("trace")[-1:] and home.records("trace")[-1]["by"] == f"{number - 1}.0.0"
                ),
            )
            home.drop("trace.py", version(f"{number}.0.0"))
            daemon.wait_event("generation.switched", plugin="trace", generation=number)
        daemon.wait("the last one has made records", lambda: b'"by":"5.0.0"' in home.raw("trace")[-400:])
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    for name in names:
        assert records(home, name) == expected(tracer.data), name
        assert len(daemon.seen("stream.handed_over", source=f"logs/{name}")) == 4
    assert not daemon.seen("stream.kept")
    assert daemon.term() == 0


def test_a_restart_goes_on_in_the_middle_of_a_block(home: Home) -> None:
    """What was fed of a block is in the snapshot, which the ledger has."""
    data = trace(100, damaged=None)
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", data[:777])
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    half = records(home, "a.trc")
    home.append("a.trc", data[777:])
    daemon = home.start()
    daemon.wait_all_read()
    assert 0 < len(half) < 100
    assert records(home, "a.trc") == expected(data)
    assert daemon.term() == 0


def test_the_rest_of_a_file_that_was_moved_away_is_told_that_it_ends(home: Home) -> None:
    """Once, and only then: a torn block at the end is rejected as what it is."""
    data = trace(20, damaged=None)
    home.drop("trace.py", version("1.0.0"))
    home.configure(paths=("logs/*.trc",))
    path = home.append("a.trc", data[:-2])
    daemon = home.start()
    daemon.wait_all_read()
    assert not daemon.seen("stream.ended")
    path.rename(path.with_suffix(".old"))
    daemon.wait_event("stream.ended", source="logs/a.trc", offset=len(data) - 2)
    rejected = daemon.wait_event("record.rejected", source="logs/a.trc")
    assert rejected["reason"] == "the trace ends inside this block"
    daemon.wait_event("source.ended", source="logs/a.trc")
    assert daemon.term() == 0
    assert len(daemon.seen("stream.ended")) == 1
    daemon = home.start()
    assert daemon.term() == 0
    assert not daemon.seen("stream.ended")
    assert records(home, "a.trc") == expected(data)[:-1]


def test_a_stream_that_was_not_told_before_a_crash_is_told_after_it(home: Home) -> None:
    """Read to its end and moved away while nobody was there: the next start tells it."""
    data = trace(20, damaged=None)
    home.drop("trace.py", version("1.0.0"))
    home.configure(paths=("logs/*.trc",))
    path = home.append("a.trc", data[:-2])
    daemon = home.start()
    daemon.wait_all_read()
    daemon.kill9()
    path.rename(path.with_suffix(".old"))
    daemon = home.start()
    daemon.wait_event("stream.ended", source="logs/a.trc")
    daemon.wait_event("record.rejected", reason="the trace ends inside this block")
    assert daemon.term() == 0


def test_a_rewritten_file_begins_anew(home: Home) -> None:
    """Without a snapshot: the header comes again, and so do the names."""
    first, second = trace(30, damaged=None), trace(8, damaged=None)
    home.drop("trace.py", version("1.0.0"))
    path = home.append("a.trc", first)
    daemon = home.start()
    daemon.wait_records("trace", 30)
    daemon.wait_all_read()
    path.write_bytes(second)
    daemon.wait_records("trace", 38)
    assert records(home, "a.trc") == expected(first) + expected(second)
    assert daemon.term() == 0


def test_run_once_and_parse_tell_a_stream_that_it_ends(home: Home) -> None:
    """Both as the daemon does: a torn end is rejected; and a file that goes on after all is gone on with."""
    data = trace(20, damaged=None)
    home.drop("trace.py", version("1.0.0", by=False))
    home.append("a.trc", data)
    done = home.hostd("run", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('"stream.ended"') == 1
    assert records(home, "a.trc") == expected(data)
    assert home.hostd("run", "--once").stderr.count('"stream.ended"') == 0
    home.append("a.trc", trace(22, damaged=None)[len(data) :])
    assert home.hostd("run", "--once").stderr.count('"stream.ended"') == 1
    assert records(home, "a.trc") == expected(trace(22, damaged=None))
    torn = home.append("torn.trc", data[:-1])
    parsed = home.hostd("parse", str(torn))
    assert parsed.returncode == 1
    assert parsed.stdout.count("\n") == 19
    assert "the trace ends inside this block" in parsed.stderr
    piped = home.hostd("parse", "-", stdin=data)
    assert (piped.returncode, piped.stdout.count("\n")) == (0, 20), piped.stderr


def kill_and_check(home: Home, times: int, pick: str, seed: int = 1) -> None:
    """Kill something again and again while traces grow; at the end every record is there once."""
    print(f"seed {seed}")
    names, chance, number = ("a.trc", "b.trc"), random.Random(seed), 1
    home.drop("trace.py", version("1.0.0"))
    daemon = home.start()
    # A daemon takes long to start where the machine is busy: the trace must last until the last one has.
    with Tracer(home, names, pause_s=0.03 if pick == "daemon" else 0.004).writing() as tracer:
        for _ in range(times):
            before = len(home.raw("trace"))
            daemon.wait("records come out", lambda before=before: len(home.raw("trace")) > before)
            if chance.random() < 0.3:
                number += 1
                home.drop("trace.py", version(f"{number}.0.0"))
            tracer.pause(chance.uniform(0, 0.1))
            if pick == "daemon":
                daemon.kill9()
                daemon = home.start()
            else:
                _kill_one(daemon, pick)
    status = daemon.wait_all_read(60)
    assert status["dead_letters"] == {}
    for name in names:
        assert records(home, name) == expected(tracer.data), name
    assert daemon.term() == 0


def _kill_one(daemon: Daemon, pick: str) -> None:
    def living() -> int | None:
        if pick == "zygote":
            return daemon.zygote if daemon.zygote in daemon.home.pids() else None
        return next(iter(daemon.workers()), None)

    pid = daemon.wait("there is one to kill", living)
    with suppress(ProcessLookupError):  # it has just ended: as well
        os.kill(pid, signal.SIGKILL)
    # Without an event where the daemon had just let it go itself.
    daemon.wait("it is gone", lambda: pid not in daemon.home.pids())


@pytest.mark.slow
def test_killing_the_daemon_loses_and_doubles_nothing_of_a_stream(home: Home) -> None:
    """The snapshot that was committed with the checkpoint goes on."""
    kill_and_check(home, 3, "daemon")


def test_killing_workers_loses_and_doubles_nothing_of_a_stream(home: Home) -> None:
    """A fresh worker opens the stream with the last snapshot."""
    kill_and_check(home, 6, "worker")


def test_killing_the_zygote_loses_and_doubles_nothing_of_a_stream(home: Home) -> None:
    """Its workers end with it; others go on."""
    kill_and_check(home, 2, "zygote")


@pytest.mark.slow
@pytest.mark.parametrize(("pick", "times"), [("daemon", 15), ("worker", 40), ("zygote", 15)])
def test_many_kills_lose_and_double_nothing_of_a_stream(home: Home, pick: str, times: int) -> None:
    """At random moments, with a swap now and then."""
    kill_and_check(home, times, pick, seed=random.randrange(1 << 32))
