"""Files as they are in the wild: rotated, truncated, half written, deleted, named twice. Every line comes out once."""

import os
import shutil
from pathlib import Path

import pytest

from .harness import Daemon, Home, plugin

ONLY_LOGS = ["logs/*.log"]


@pytest.fixture
def reading(home: Home) -> Daemon:
    """A daemon that reads logs/*.log, and has parsed two lines of one."""
    home.configure(paths=ONLY_LOGS)
    home.drop("lines.py", plugin())
    home.append("a.log", "1", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    return daemon


def test_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start(reading: Daemon) -> None:
    """logrotate renames: the writer still writes to the old file, then to a new one of the old name."""
    home = reading.home
    with (home.logs / "a.log").open("ab") as writer:
        (home.logs / "a.log").rename(home.logs / "a.log.1")
        writer.write(b"3\n")
        writer.flush()
        home.append("a.log", "4")
        reading.wait_records("lines", 4)
        writer.write(b"5\n")
    reading.wait_event("source.rotated", source="logs/a.log")
    reading.wait_records("lines", 5)
    assert sorted(home.lines("lines", "logs/a.log")) == ["1", "2", "3", "4", "5"]
    ended = reading.wait_event("source.ended", source="logs/a.log")
    assert ended["reason"] == "it was moved away, and is read to its end"
    home.append("a.log", "6")
    reading.wait_records("lines", 6)


def test_a_rotated_file_that_the_globs_still_name_is_not_read_twice(home: Home) -> None:
    """With a glob that takes a.log and a.log.1 alike, a chain of renames moves names and reads nothing again."""
    home.drop("lines.py", plugin(glob="*.log*"))
    home.append("a.log", "1", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    for round_ in range(1, 4):
        for number in range(round_, 0, -1):
            old = home.logs / (f"a.log.{number - 1}" if number > 1 else "a.log")
            old.rename(home.logs / f"a.log.{number}")
        home.append("a.log", f"round {round_}")
        daemon.wait_records("lines", 2 + round_)
    assert daemon.term() == 0
    daemon = home.start()
    home.append("a.log", "end")
    daemon.wait_records("lines", 6)
    assert home.lines() == ["1", "2", "round 1", "round 2", "round 3", "end"]


def test_a_file_rotated_while_nobody_looked_is_read_to_its_end(reading: Daemon) -> None:
    """Stopped; lines appended, renamed, a new file begun; started: the rest of the old one and all of the new one."""
    home = reading.home
    assert reading.term() == 0
    home.append("a.log", "3", "4")
    (home.logs / "a.log").rename(home.logs / "a.log.1")
    home.append("a.log", "5")
    daemon = home.start()
    daemon.wait_records("lines", 5)
    assert sorted(home.lines()) == ["1", "2", "3", "4", "5"]
    assert [line for line in home.lines() if line != "5"] == ["1", "2", "3", "4"]


def test_a_truncated_file_is_read_from_its_start(reading: Daemon) -> None:
    """copytruncate: the copy is not ours to read, the file begins anew; what was read stays."""
    home = reading.home
    shutil.copy(home.logs / "a.log", home.logs / "a.log.1")
    os.truncate(home.logs / "a.log", 0)
    home.append("a.log", "3")
    truncated = reading.wait_event("source.truncated", source="logs/a.log")
    assert truncated["offset"] == 4
    home.append("a.log", "4")
    reading.wait_records("lines", 4)
    assert home.lines() == ["1", "2", "3", "4"]


def test_a_file_that_begins_anew_with_the_same_line_is_noticed(reading: Daemon) -> None:
    """Truncated and written again, longer, and with the line it began with: the marker tells."""
    home = reading.home
    home.append("a.log", "3")
    reading.wait_records("lines", 3)
    (home.logs / "a.log").write_bytes(b"1\nx\ny\nz\n")
    reading.wait_event("source.truncated", source="logs/a.log")
    reading.wait_records("lines", 7)
    assert home.lines() == ["1", "2", "3", "1", "x", "y", "z"]


def test_a_file_truncated_while_nobody_looked_is_read_from_its_start(reading: Daemon) -> None:
    """Stopped, truncated, written again, started: all of what it holds now, and nothing of before twice."""
    home = reading.home
    assert reading.term() == 0
    (home.logs / "a.log").write_bytes(b"1\nnew\n")
    daemon = home.start()
    daemon.wait_records("lines", 4)
    assert home.lines() == ["1", "2", "1", "new"]


def test_a_copy_made_by_a_rotation_is_not_read_again(home: Home) -> None:
    """copytruncate with a glob that takes the copy as well, however slowly it is copied: it holds nothing new."""
    home.drop("lines.py", plugin(glob="*.log*"))
    lines = [f"line {number}" for number in range(100)]
    home.append("a.log", *lines)
    daemon = home.start()
    daemon.wait_records("lines", 100)
    content = (home.logs / "a.log").read_bytes()
    with (home.logs / "a.log.1").open("wb") as copy:
        copy.write(content[:300])
        copy.flush()
        home.append("b.log", "the folder was looked at meanwhile")
        daemon.wait_records("lines", 101)
        copy.write(content[300:])
    os.truncate(home.logs / "a.log", 0)
    home.append("a.log", "last")
    found = daemon.wait_event("source.found", source="logs/a.log.1")
    assert found["offset"] == found["size"] == len(content)
    daemon.wait_all_read()
    assert home.lines("lines", "logs/a.log") == [*lines, "last"]
    assert len(home.lines()) == 102


def test_a_new_file_that_begins_like_an_old_one_is_read_whole(home: Home) -> None:
    """Every service logs the same first line when it starts: that of the rotated file is not that of the new one."""
    home.drop("lines.py", plugin(glob="*.log*"))
    home.append("a.log", "started")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    (home.logs / "a.log").rename(home.logs / "a.log.1")
    home.append("a.log", "started", "second")
    home.append("a.log2", "started")
    daemon.wait_records("lines", 4)
    assert sorted(home.lines()) == ["second", "started", "started", "started"]


def test_a_line_is_held_until_its_end_is_written(reading: Daemon) -> None:
    """Half a line is no record, however long it lies there; with its line end it is one."""
    home = reading.home
    home.append("a.log", b"3\nhal")
    reading.wait_records("lines", 3)
    home.append("b.log", "other")
    reading.wait_records("lines", 4)
    source = reading.source("logs/a.log")
    assert source is not None
    assert (source["offset"], source["size"]) == (6, 9)
    home.append("a.log", b"f\n")
    reading.wait_records("lines", 5)
    assert home.lines("lines", "logs/a.log") == ["1", "2", "3", "half"]


def test_half_a_line_survives_a_restart(reading: Daemon) -> None:
    """Stopped in the middle of a line: it is parsed once, whole, after the start."""
    home = reading.home
    home.append("a.log", b"hal")
    assert reading.term() == 0
    assert home.lines() == ["1", "2"]
    home.append("a.log", b"f\n")
    daemon = home.start()
    daemon.wait_records("lines", 3)
    assert home.lines() == ["1", "2", "half"]


def test_windows_line_ends_and_bytes_that_are_no_text(reading: Daemon) -> None:
    """CRLF is a line end, and bytes that are not UTF-8 are kept readable."""
    home = reading.home
    home.append("a.log", b"3\r\n\r\n4\r\ncaf\xe9\r\nnul\0l\n")
    reading.wait_records("lines", 6)
    reading.wait_all_read()
    assert home.lines()[2:] == ["3", "4", "caf\\xe9", "nul\0l"]


def test_a_file_in_a_folder_that_is_made_later_is_found(home: Home) -> None:
    """Folders made one in another after the start, and the files in them, are found without a restart."""
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines")
    home.append("x/y/z/late.log", "1")
    daemon.wait_records("lines", 1, deadline_s=5)
    home.append("x/y/later.log", "2")
    daemon.wait_records("lines", 2, deadline_s=5)
    home.append("x/y/z/late.log", "3")
    daemon.wait_records("lines", 3, deadline_s=5)
    assert home.lines("lines", "logs/x/y/z/late.log") == ["1", "3"]


def test_a_folder_of_logs_that_is_not_there_yet_is_read_when_it_is(home: Home) -> None:
    """The globs may name a folder that somebody makes later."""
    home.configure(paths=["later/*.log"])
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="lines")
    (home.path / "later").mkdir()
    (home.path / "later" / "a.log").write_bytes(b"1\n")
    daemon.wait_records("lines", 1, deadline_s=5)


def test_a_file_deleted_while_it_is_read_comes_out_whole(home: Home) -> None:
    """What was in a file when it was deleted is parsed all the same, and then let go of."""
    home.configure(paths=ONLY_LOGS)
    source = plugin(manifest="limits = { batch_kib = 1 }", code="import time\n").replace(
        "    return {", "    time.sleep(0.0005)\n    return {"
    )
    home.drop("lines.py", source)
    lines = [f"line number {number}" for number in range(1500)]
    path = home.append("a.log", *lines)
    daemon = home.start()
    daemon.wait("some of it is parsed", lambda: home.raw("lines").count(b"\n"))
    path.unlink()
    daemon.wait_records("lines", len(lines))
    assert home.lines() == lines
    daemon.wait_event("source.ended", source="logs/a.log")
    daemon.wait("it is let go of", lambda: daemon.status()["sources"] == [])
    held = [str(fd.readlink()) for fd in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert not [name for name in held if "a.log" in name]


def test_a_file_with_several_names_is_read_once(home: Home) -> None:
    """Two globs, a symbolic and a hard link name one file: its lines come out once."""
    home.configure(paths=["logs/*.log", "logs/a*", "links/*"])
    home.drop("lines.py", plugin(glob="*"))
    path = home.append("a.log", "1")
    (home.path / "links").mkdir()
    (home.path / "links" / "soft.log").symlink_to(path)
    os.link(path, home.path / "links" / "hard.log")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    home.append("a.log", "2")
    daemon.wait_records("lines", 2)
    assert len(daemon.wait_all_read()["sources"]) == 1
    assert home.lines() == ["1", "2"]


def test_a_line_longer_than_a_batch_is_one_record(reading: Daemon) -> None:
    """A line of a megabyte is a record like any other."""
    home = reading.home
    home.append("a.log", "x" * (1 << 20), "after")
    reading.wait_records("lines", 4)
    assert [len(line) for line in home.lines()] == [1, 1, 1 << 20, 5]


def test_a_line_over_the_limit_is_set_aside_and_the_next_one_parsed(home: Home) -> None:
    """A record longer than the plugin's limit is a dead letter that says how long it was."""
    home.drop("lines.py", plugin(manifest="limits = { record_mib = 1 }"))
    home.append("a.log", "before", "x" * (3 << 20), "after")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    assert home.lines() == ["before", "after"]
    rejected = daemon.wait_event("record.rejected", plugin="lines")
    assert rejected["reason"] == f"a record of {(3 << 20) + 1} bytes is over the limit (limits.record_mib = 1)"
    assert rejected["offset"] == 7


def test_a_last_line_without_an_end_is_parsed_with_once(home: Home) -> None:
    """`run --once` takes what is there as all there will be."""
    home.drop("lines.py", plugin())
    home.append("a.log", b"1\n2")
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == ["1", "2"]
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == ["1", "2"]


def test_an_empty_file_waits_for_its_first_line(home: Home) -> None:
    """A file without a byte is no trouble, and read when it has one."""
    home.drop("lines.py", plugin())
    home.append("a.log")
    daemon = home.start()
    daemon.wait_event("source.found", source="logs/a.log")
    home.append("a.log", "1")
    daemon.wait_records("lines", 1)


BARRED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""What root is started under, so that modes count."""


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which(BARRED[0]), reason="root reads all, and setpriv is not there"
)
def test_a_file_that_may_not_be_read_is_said_once_and_read_when_it_may(home: Home) -> None:
    """A mode that is lost and comes back, of a file and of its folder: no event of the kernel tells of it."""
    home.configure(sandbox="off")
    home.drop("lines.py", plugin())
    home.append("locked.log", "1").chmod(0o000)
    home.append("open.log", "2")
    daemon = home.start(under=BARRED if os.geteuid() == 0 else ())
    daemon.wait_records("lines", 1)
    said = daemon.wait_event("source.unreadable")
    assert said["source"] == str(home.logs / "locked.log")
    assert said["reason"] == "Permission denied; let the daemon's user read it"
    (home.logs / "locked.log").chmod(0o644)
    daemon.wait_records("lines", 2)
    with (home.logs / "open.log").open("a") as writer:
        home.logs.chmod(0o000)
        try:
            daemon.rescan()
            daemon.wait_event("source.unreadable", source=str(home.logs))
            writer.write("read on, since it is open\n")
            writer.flush()
            daemon.wait_records("lines", 3)
        finally:
            home.logs.chmod(0o755)
    home.append("new.log", "found when the folder may be read")
    daemon.wait_records("lines", 4)
    home.append("locked.log", "4")
    daemon.wait_records("lines", 5)
    assert len(daemon.seen("source.unreadable")) == 2
    assert not daemon.seen("source.ended")
