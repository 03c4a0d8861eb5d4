"""One file of JSON lines for each processor: what is committed is there once, whatever happened before."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.pipeline.ledger import SinkMark
from hostd.pipeline.sinks import ndjson
from tests.pipeline.sinks.disk import Disk, is_cached


def named(logged: Sequence[object], name: str) -> list[dict[str, object]]:
    """Return the events of this name."""
    return [event for event in logged if isinstance(event, dict) and event["event"] == name]


def test_commits_are_appended_in_order_each_processor_to_its_own_file(disk: Disk) -> None:
    """Across restarts too; empty chunks and more chunks than one system call takes make no difference."""
    sink = disk.start()
    disk.commit(sink, b"1\n", b"", b"2\n")
    disk.commit(sink, b"a\n", processor="other")
    disk.commit(disk.start(), *[b"x\n"] * 3000)
    assert disk.content() == b"1\n2\n" + b"x\n" * 3000
    assert disk.content("other.ndjson") == b"a\n"
    assert (disk.out / "demo.ndjson").stat().st_mode & 0o777 == 0o640


def test_what_was_not_committed_is_cut_off_on_start(disk: Disk) -> None:
    """A crash between the sink and the ledger: what was written is parsed, and so written, again."""
    sink = disk.start()
    disk.commit(sink, b"1\n")
    sink.write("demo", [b"2\n", b"hal"])
    assert sink.sync()
    assert disk.content() == b"1\n2\nhal"
    with capture_logs() as logged:
        sink = disk.start()
    assert disk.content() == b"1\n"
    [trimmed] = named(logged, "sink.trimmed")
    assert (trimmed["length"], trimmed["cut"]) == (2, 5)
    disk.commit(sink, b"2\n")
    assert disk.content() == b"1\n2\n"


def test_the_first_write_ever_is_cut_off_too(disk: Disk) -> None:
    """Also when the ledger has never heard of a commit."""
    sink = disk.start()
    sink.write("demo", [b"1\n"])
    disk.start()
    assert disk.content() == b""


def test_a_file_that_was_there_before_is_kept_and_appended_to(disk: Disk) -> None:
    """What others wrote is not ours to cut."""
    disk.out.mkdir()
    (disk.out / "demo.ndjson").write_bytes(b"theirs\n")
    sink = disk.start()
    disk.commit(sink, b"ours\n")
    sink.write("demo", [b"lost\n"])
    disk.start()
    assert disk.content() == b"theirs\nours\n"


def test_a_commit_that_failed_is_overwritten_by_the_next_try(disk: Disk) -> None:
    """A write after one that was not accepted takes its place, also when it is shorter or longer."""
    sink = disk.start()
    disk.commit(sink, b"1\n")
    sink.write("demo", [b"two and a half"])
    sink.write("demo", [b"2\n", b"3\n"])
    sink.sync()
    sink.write("demo", [b"2\n", b"3\n", b"4 is long enough\n"])
    disk.opened[-1][1].commit([], sink.sync())
    sink.accept()
    assert disk.content() == b"1\n2\n3\n4 is long enough\n"


def test_a_write_that_fails_half_way_is_tried_again_whole(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full takes a part; once there is room, all of it is there once."""
    sink = disk.start()
    disk.commit(sink, b"1\n")
    write = os.pwritev
    room = 3

    def full(fd: int, chunks: Sequence[bytes], offset: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(fd, [b"".join(chunks)[:room]], offset)
        room -= count
        return count

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="No space left"):
        sink.write("demo", [b"22\n", b"333\n"])
    room = 5
    with pytest.raises(OSError, match="No space left"):
        sink.write("demo", [b"22\n", b"333\n"])
    room = 1000
    disk.commit(sink, b"22\n", b"333\n")
    assert disk.content() == b"1\n22\n333\n"


def test_a_write_in_small_pieces_is_whole(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it is given, and end inside a chunk."""
    write = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, chunks, offset: write(fd, [b"".join(chunks)[:3]], offset))
    disk.commit(disk.start(), b"1\n", b"", b"4444444\n", b"2\n", b"")
    assert disk.content() == b"1\n4444444\n2\n"


@pytest.mark.parametrize("away", [lambda path: path.rename(f"{path}.1"), Path.unlink], ids=["renamed", "removed"])
def test_a_file_that_was_moved_away_is_left_and_a_new_one_begun(disk: Disk, away: Callable[[Path], object]) -> None:
    """Nothing follows into the old one, as logrotate expects; a restart goes on with the new."""
    sink = disk.start()
    disk.commit(sink, b"1\n")
    away(disk.out / "demo.ndjson")
    disk.commit(sink, b"2\n")
    assert disk.content() == b"2\n"
    if (disk.out / "demo.ndjson.1").exists():
        assert disk.content("demo.ndjson.1") == b"1\n"
    disk.commit(disk.start(), b"3\n")
    assert disk.content() == b"2\n3\n"


def test_what_was_not_committed_does_not_stay_in_a_file_that_is_moved_away(disk: Disk) -> None:
    """A commit that fails, a rotation, and the next try: the records are in the new file alone."""
    sink = disk.start()
    disk.commit(sink, b"1\n")
    sink.write("demo", [b"2\n"])
    (disk.out / "demo.ndjson").rename(disk.out / "old")
    disk.commit(sink, b"2\n")
    assert disk.content("old") == b"1\n"
    assert disk.content() == b"2\n"


def test_a_file_that_somebody_cut_is_said_and_appended_to(disk: Disk) -> None:
    """There is nothing to restore it from."""
    disk.commit(disk.start(), b"1\n2\n3\n")
    os.truncate(disk.out / "demo.ndjson", 2)
    with capture_logs() as logged:
        sink = disk.start()
    [diverged] = named(logged, "sink.diverged")
    assert (diverged["length"], diverged["expected"]) == (2, 6)
    disk.commit(sink, b"4\n")
    assert disk.content() == b"1\n4\n"


def test_another_file_of_that_name_is_not_cut(disk: Disk, tmp_path: Path) -> None:
    """The mark is of the file, not of its name."""
    disk.commit(disk.start(), b"1\n")
    (tmp_path / "other").write_bytes(b"much longer than what was committed\n")
    (tmp_path / "other").replace(disk.out / "demo.ndjson")
    disk.commit(disk.start(), b"2\n")
    assert disk.content() == b"much longer than what was committed\n2\n"


def test_a_file_that_has_got_the_number_of_a_removed_one_is_left_as_it_is(disk: Disk) -> None:
    """Of another processor, or nobody's: it is cut to no mark but its own, and nothing is appended to it."""
    sink = disk.start()
    disk.commit(sink, b"1\n2\n3\n")
    packed = disk.out / "old.ndjson.1.gz"
    packed.write_bytes(b"no line\nand no end")
    ledger = disk.opened[-1][1]
    for name, path, length in (("gone", disk.out / "demo.ndjson", 2), ("too", packed, 8), ("more", packed, 99)):
        status = path.stat()
        ledger.put_sink_mark(SinkMark(str(disk.out), name, length, status.st_dev, status.st_ino))
    sink = disk.start()
    assert disk.content() == b"1\n2\n3\n"
    assert packed.read_bytes() == b"no line\nand no end"
    disk.commit(sink, b"4\n")
    disk.commit(sink, b"1\n", processor="gone")
    assert (disk.content(), disk.content("gone.ndjson")) == (b"1\n2\n3\n4\n", b"1\n")


def test_a_new_file_has_the_number_of_no_other(disk: Disk) -> None:
    """Files that are removed while nobody has them open leave their numbers to the next ones."""
    sink = disk.start()
    names = [f"p{number}" for number in range(8)]
    for name in names:
        disk.commit(sink, b"old\n", processor=name)
    sink = disk.start()
    for name in names:
        (disk.out / f"{name}.ndjson").unlink()
    disk.commit(sink, b"1\n2\n3\n")
    ledger = disk.opened[-1][1]
    mark = ledger.sink_mark(str(disk.out), "demo")
    assert mark is not None
    marks = [ledger.sink_mark(str(disk.out), name) for name in names]
    assert [each for each in marks if each and (each.device, each.inode) == (mark.device, mark.inode)] == []
    disk.start()
    assert disk.content() == b"1\n2\n3\n"


def test_marks_are_of_what_was_written_and_nothing_else(disk: Disk) -> None:
    """A sync without a write costs no row."""
    sink = disk.start()
    disk.commit(sink, b"1\n", processor="one")
    sink.write("two", [b"22\n"])
    [mark] = sink.sync()
    assert (mark.folder, mark.processor, mark.length) == (str(disk.out), "two", 3)
    sink.accept()
    assert sink.sync() == []


def test_the_cache_keeps_what_was_written_last_alone(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what this one has written, and not before it is durable."""
    monkeypatch.setattr(ndjson, "CACHED_BYTES", 2 << 20)
    monkeypatch.setattr(ndjson, "LEAST_BYTES", 1 << 30)  # nothing goes past it
    chunk = b"x" * ((1 << 20) - 1) + b"\n"
    disk.commit(disk.start(), chunk)
    sink = disk.start()
    path = disk.out / "demo.ndjson"
    for _ in range(16):
        disk.commit(sink, chunk)
    sink.write("demo", [chunk] * 8)
    cached = [is_cached(path, place << 20) for place in range(25)]
    if all(cached):
        pytest.skip("this file system keeps all in memory")
    assert (cached[0], cached[13:]) == (True, [True] * 12)
    assert sum(cached[1:13]) <= 2, "the system may hold on to a page that it is just looking at, and no more"
    assert disk.content()[: 17 << 20] == chunk * 17


def test_takes_is_by_globs(disk: Disk) -> None:
    """On the processor's name."""
    sink = disk.start(("csv", "x_*"))
    assert [name for name in ("csv", "x_1", "csv2", "x") if sink.takes(name)] == ["csv", "x_1"]
