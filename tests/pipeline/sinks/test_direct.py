"""Files of JSON lines past the system's cache: the same bytes, whatever the disk takes at once or not at all."""

import errno
import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks import direct, ndjson
from hostd.pipeline.sinks.direct import BLOCK_BYTES, DirectWriter
from hostd.pipeline.sinks.ndjson import NdjsonSink
from tests.pipeline.sinks.disk import Disk, is_cached

MUCH = 3 * BLOCK_BYTES


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "WINDOW_BYTES", 2 * BLOCK_BYTES)
    monkeypatch.setattr(ndjson, "LEAST_BYTES", MUCH)


def lines(size: int, letter: str = "x") -> bytes:
    """Return one line of so many bytes."""
    return letter.encode() * (size - 1) + b"\n"


@pytest.fixture
def takes_direct(tmp_path: Path) -> None:
    """Skip where the file system of the tests has nothing but its cache."""
    path = tmp_path / "probe"
    path.touch()
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        pytest.skip(f"this file system takes nothing past its cache: {error}")


@pytest.mark.usefixtures("takes_direct")
def test_what_is_much_goes_past_the_cache_and_what_is_little_stays_in_it(disk: Disk) -> None:
    """Only whole blocks go past it: the ends are in the cache, and complete."""
    sink = disk.start()
    for size in (100, 2 * MUCH, 100):
        disk.commit(sink, lines(size))
    path = sink.path("demo")
    places = (0, BLOCK_BYTES, 5 * BLOCK_BYTES, 2 * MUCH + 150)
    assert [is_cached(path, at) for at in places] == [True, False, False, True]
    assert disk.content() == lines(100) + lines(2 * MUCH) + lines(100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 3 * BLOCK_BYTES), min_size=1, max_size=6), min_size=1, max_size=6))
def test_whatever_sizes_come_the_file_has_all_bytes_in_their_order(groups: list[list[int]]) -> None:
    """Pieces that end anywhere, in commits that end anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        disk, expected = Disk(Path(folder)), b""
        sink = disk.start()
        for number, sizes in enumerate(groups):
            chunks = [lines(size, chr(97 + (number + place) % 26)) for place, size in enumerate(sizes)]
            disk.commit(sink, *chunks)
            expected += b"".join(chunks)
        assert disk.content() == expected
        disk.stop()


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.EOPNOTSUPP])
@pytest.mark.parametrize("refuses", ["flag", "write"])
def test_a_file_that_takes_nothing_past_the_cache_is_written_through_it(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, refuses: str, reason: int
) -> None:
    """Whether the system says so when it is asked, as tmpfs may, or when it is to write; and it is asked once."""
    asked: list[str] = []
    control, write = fcntl.fcntl, os.pwrite

    def refuse_flag(fd: int, command: int, flags: int = 0) -> int:
        if flags & os.O_DIRECT:
            asked.append("flag")
            if refuses == "flag":
                raise OSError(reason, os.strerror(reason))
        return control(fd, command, flags)

    def refuse_write(fd: int, data: bytes | memoryview, at: int) -> int:
        if control(fd, fcntl.F_GETFL) & os.O_DIRECT:
            asked.append("write")
            raise OSError(reason, os.strerror(reason))
        return write(fd, data, at)

    monkeypatch.setattr(fcntl, "fcntl", refuse_flag)
    monkeypatch.setattr(os, "pwrite", refuse_write)
    sink = disk.start()
    for _ in range(2):
        disk.commit(sink, lines(MUCH))
    assert disk.content() == lines(MUCH) * 2
    assert asked.count(refuses) == 1


def test_a_disk_that_takes_a_part_gets_the_rest(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where that ends inside a block."""
    write = os.pwrite

    def part(fd: int, data: memoryview, at: int) -> int:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        try:
            return write(fd, data[:1000], at)
        finally:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)

    monkeypatch.setattr(os, "pwrite", part)
    chunks = [lines(7000), lines(7001), lines(6000)]
    disk.commit(disk.start(), *chunks)
    assert disk.content() == b"".join(chunks)


def test_a_full_disk_is_an_error_and_the_next_try_writes_all(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first try wrote is written over."""
    write = os.pwrite

    def full(fd: int, data: memoryview, at: int) -> int:
        if at >= 2 * BLOCK_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data, at)

    sink = disk.start()
    disk.commit(sink, lines(10))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            sink.write("demo", [lines(2 * MUCH)])
    disk.commit(sink, lines(MUCH, "y"))
    assert disk.content() == lines(10) + lines(MUCH, "y")


def test_the_descriptor_is_left_as_it_was(tmp_path: Path) -> None:
    """What is written through the cache next need not be whole blocks."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        DirectWriter().write(fd, [memoryview(bytes(BLOCK_BYTES))], 0)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) == flags
        assert os.pwrite(fd, b"odd", 5) == 3
    finally:
        os.close(fd)


def test_a_failed_write_that_came_further_than_it_says_is_written_over(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a direct write is sent in pieces at once, and one of them fails: it is not taken for somebody else's."""
    write = os.pwrite

    def half(fd: int, data: memoryview, at: int) -> int:
        write(fd, data[BLOCK_BYTES:], at + BLOCK_BYTES)
        raise OSError(errno.EIO, "Input/output error")

    sink = disk.start()
    disk.commit(sink, lines(BLOCK_BYTES))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="Input/output error"):
            sink.write("demo", [lines(2 * MUCH)])
    disk.commit(sink, lines(10, "y"))
    assert disk.content() == lines(BLOCK_BYTES) + lines(10, "y")


def test_nothing_goes_past_the_cache_unless_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`direct = false`, and the stages of sinks that read what they have written."""
    monkeypatch.setattr(DirectWriter, "write", lambda *_: pytest.fail("it was written past the cache"))
    ledger = Ledger(tmp_path / "ledger.db")
    sink = NdjsonSink(tmp_path / "out", ("*",), ledger, direct=False)
    sink.write("demo", [lines(2 * MUCH)])
    sink.close()
    ledger.close()
    assert (tmp_path / "out" / "demo.ndjson").read_bytes() == lines(2 * MUCH)
