"""What is written to open files is told, whatever they are called; where it cannot be, that is said."""

import asyncio
import ctypes
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from hostd.pipeline.sources import appends
from hostd.pipeline.sources.appends import Appends
from hostd.pipeline.sources.file import FileSource

DEADLINE_S = 5.0


def in_loop(test: Callable[[Path], Awaitable[None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(test(tmp_path), DEADLINE_S))  # type: ignore[arg-type]

    return run


def opened(path: Path, number: int = 1) -> FileSource:
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    status = os.fstat(fd)
    return FileSource(number, path.name, str(path), fd, status.st_dev, status.st_ino)


@asynccontextmanager
async def watching() -> AsyncIterator[tuple[Appends, "asyncio.Queue[FileSource]"]]:
    told: asyncio.Queue[FileSource] = asyncio.Queue()
    watch = Appends(told.put_nowait)
    try:
        yield watch, told
    finally:
        watch.close()


def append(path: Path, content: str = "line\n") -> None:
    with path.open("a") as file:
        file.write(content)


@in_loop
async def test_a_write_and_a_truncation_are_told(tmp_path: Path) -> None:
    """Each of the file that it is about, and of no other."""
    a, b = opened(tmp_path / "a.log"), opened(tmp_path / "b.log", 2)
    async with watching() as (watch, told):
        assert watch.watch(a)
        assert watch.watch(b)
        append(tmp_path / "b.log")
        assert await told.get() is b
        append(tmp_path / "a.log")
        assert await told.get() is a
        os.truncate(tmp_path / "a.log", 0)
        assert await told.get() is a
        assert told.empty()


@in_loop
async def test_a_file_is_watched_under_whatever_name(tmp_path: Path) -> None:
    """Renamed, and unlinked while its writer has it open."""
    source = opened(tmp_path / "a.log")
    async with watching() as (watch, told):
        watch.watch(source)
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        with (tmp_path / "a.log.1").open("a") as file:
            (tmp_path / "a.log.1").unlink()
            file.write("last\n")
        assert await told.get() is source


@in_loop
async def test_many_writes_at_once_are_told_once(tmp_path: Path) -> None:
    """A writer faster than the event loop costs no more than one that is not."""
    source = opened(tmp_path / "a.log")
    async with watching() as (watch, told):
        watch.watch(source)
        for _ in range(10_000):
            append(tmp_path / "a.log")
        assert await told.get() is source
        assert told.empty()


@in_loop
async def test_what_is_forgotten_is_not_told(tmp_path: Path) -> None:
    """A file that was opened again meanwhile still is."""
    old, new = opened(tmp_path / "a.log"), opened(tmp_path / "a.log", 2)
    gone = opened(tmp_path / "b.log", 3)
    async with watching() as (watch, told):
        for source in (old, gone, new):
            watch.watch(source)
        watch.forget(old)
        watch.forget(gone)
        watch.forget(gone)
        append(tmp_path / "b.log")
        append(tmp_path / "a.log")
        assert await told.get() is new
        assert told.empty()


@in_loop
async def test_after_an_overflow_every_file_is_told(tmp_path: Path) -> None:
    """The kernel dropped events, and does not say whose."""
    sources = [opened(tmp_path / f"{number}.log", number) for number in range(3)]
    async with watching() as (watch, told):
        for source in sources:
            watch.watch(source)
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        for number in range(limit + 10):
            append(tmp_path / f"{number % 2}.log")  # by turns, or they would be merged
        append(tmp_path / "2.log")
        seen = set[int]()
        while 2 not in seen:  # its own event is among those that were dropped
            seen.add((await told.get()).id)


@pytest.mark.parametrize("call", ["inotify_init1", "inotify_add_watch"])
def test_where_no_file_can_be_watched_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The limits of the system are reached: it is the folders' events then that tell of writes."""
    libc = ctypes.CDLL(None, use_errno=True)

    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.ENOSPC)
        return -1

    calls = {name: getattr(libc, name) for name in ("inotify_init1", "inotify_add_watch", "inotify_rm_watch")}
    monkeypatch.setattr(appends.ctypes, "CDLL", lambda *_, **__: SimpleNamespace(**{**calls, call: refuse}))

    async def scenario() -> None:
        async with watching() as (watch, _):
            assert not watch.watch(opened(tmp_path / "a.log"))
            assert not watch.watch(opened(tmp_path / "b.log"))
            assert not watch.works

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(log["event"], log["reason"]) for log in logs] == [("appends.unwatched", "No space left on device")]
