"""Rotated files of JSON lines: whole, in order, compressed and removed as the settings say, through any kill."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd import sink_settings
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks import rotation
from hostd.pipeline.sinks.rotation import Packer, Rotation, rotated_files
from tests.live.harness import eventually
from tests.pipeline.sinks.kinds import Kind, Record, World, read_rotated

DAY = 86400.0


def kind(**keys: Any) -> Kind:
    return Kind(
        "rotated",
        lambda folder, processors: sink_settings.NdjsonSink(folder=folder / "out", processors=processors, **keys),
        "",
        read_rotated,
    )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**keys: Any) -> World:
        made.append(World(kind(**keys), tmp_path))
        return made[-1]

    yield make
    for world in made:
        world.stop()


def numbered(*numbers: int) -> list[Record]:
    return [{"n": number} for number in numbers]


def names(world: World) -> list[str]:
    return sorted(path.name for path in (world.folder / "out").iterdir())


def test_a_file_that_is_large_enough_is_rotated_before_more_is_written(make: Callable[..., World]) -> None:
    """A commit is never split, and so a file may be larger; restarts make no difference; the event names both files."""
    world = make(rotate_mib=20 / (1 << 20))
    sink = world.start()
    world.commit(sink, "demo", *numbered(1, 2))
    with capture_logs() as logged:
        world.commit(sink, "demo", *numbered(*range(3, 9)))
        assert [event["event"] for event in logged].count("sink.rotated") == 0
        world.commit(world.start(), "demo", *numbered(9))
    [rotated] = [event for event in logged if event["event"] == "sink.rotated"]
    assert rotated["path"] == str(world.folder / "out" / "demo.ndjson")
    assert Path(rotated["to"]).read_bytes().count(b"\n") == 8
    assert world.read() == numbered(*range(1, 10))
    assert len(names(world)) == 2


@pytest.mark.parametrize(
    ("hours", "written", "now", "due"),
    [
        (24, "2026-03-01T23:59:59", "2026-03-02T00:00:00", True),
        (24, "2026-03-01T00:00:00", "2026-03-01T23:59:59", False),
        (1, "2026-03-01T10:59:59", "2026-03-01T11:00:01", True),
        (0.5, "2026-03-01T10:29:59", "2026-03-01T10:30:01", True),
        (24, "2026-03-02T00:00:00", "2026-03-01T10:00:00", False),
        (0, "2020-01-01T00:00:00", "2026-03-01T10:00:00", False),
    ],
)
def test_a_file_is_for_one_period_counted_from_midnight(hours: float, written: str, now: str, due: bool) -> None:
    """In UTC. A clock that was set back rotates nothing, and what is empty is not rotated."""
    times = [datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp() for each in (written, now)]
    assert Rotation(hours=hours).is_due(1, *times) == due
    assert not Rotation(hours=hours).is_due(0, *times)


def test_what_was_written_yesterday_is_rotated_with_the_first_record_of_today(make: Callable[..., World]) -> None:
    """Also over a restart: the file itself tells when it was written."""
    world = make(rotate_hours=24)
    sink = world.start()
    for number in range(3):
        world.commit(sink, "demo", *numbered(number))
        sink = world.start()
        os.utime(world.folder / "out" / "demo.ndjson", (time.time() - DAY, time.time() - DAY))
    assert len(names(world)) == 3
    assert world.read() == numbered(0, 1, 2)


def test_the_oldest_are_removed_beyond_what_is_kept(make: Callable[..., World]) -> None:
    """Of each processor by itself; nothing of somebody else's."""
    world = make(rotate_mib=1 / (1 << 20), keep=2)
    sink = world.start()
    world.commit(sink, "other", *numbered(0))
    (world.folder / "out" / "demo-theirs.ndjson").write_text("theirs")
    for number in range(6):
        world.commit(sink, "demo", *numbered(number))
    world.commit(sink, "other", *numbered(1))
    eventually("the oldest are gone", lambda: len(rotated_files(world.folder / "out", "demo")) == 2)
    assert world.read() == numbered(3, 4, 5)
    assert world.read("other") == numbered(0, 1)
    assert "demo-theirs.ndjson" in names(world)


def test_what_is_rotated_is_compressed_with_the_owner_the_mode_and_the_time_of_the_file(
    make: Callable[..., World],
) -> None:
    world = make(rotate_mib=1 / (1 << 20), compress="zstd")
    sink = world.start()
    world.commit(sink, "demo", *numbered(*range(1000)))
    status = (world.folder / "out" / "demo.ndjson").stat()
    world.commit(sink, "demo", *numbered(1000))

    def packed() -> list[Path]:
        return [path for path in rotated_files(world.folder / "out", "demo") if path.suffix == ".zst"]

    [archive] = eventually("it is compressed", packed)
    eventually("the file is gone", lambda: not archive.with_suffix("").exists())
    assert world.read() == numbered(*range(1001))
    after = archive.stat()
    assert (after.st_mode, after.st_mtime_ns) == (status.st_mode, status.st_mtime_ns)
    assert after.st_size < status.st_size / 2


def test_a_disk_that_is_full_leaves_the_file_and_it_is_tried_again(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits go on meanwhile."""
    monkeypatch.setattr(rotation, "RETRY_S", 0.01)
    write = Packer._write
    broken = [OSError(28, "No space left on device", "x"), OSError(28, "No space left on device", "x")]

    def fail(self: Packer, path: Path, temporary: Path) -> bool:
        if broken:
            raise broken.pop()
        return write(self, path, temporary)

    monkeypatch.setattr(Packer, "_write", fail)
    world = make(rotate_mib=1 / (1 << 20), compress="zstd")
    sink = world.start()
    with capture_logs() as logged:
        world.commit(sink, "demo", *numbered(1))
        world.commit(sink, "demo", *numbered(2))
        eventually("it was tried again", lambda: any(event["event"] == "sink.packed" for event in logged))
    failed = [event for event in logged if event["event"] == "sink.packing_failed"]
    assert [event["reason"] for event in failed] == [
        "[Errno 28] No space left on device: 'x'; free space on its disk, and it goes on"
    ] * 2
    assert world.read() == numbered(1, 2)


class Killed(BaseException):
    """Nothing handles it: what comes after it does not happen."""


class Steps:
    """What a rotation, the packing after it and a commit are made of; one of them is the last that happens."""

    calls: tuple[tuple[Any, str], ...] = (
        *((os, name) for name in ("open", "fdatasync", "fsync", "pwritev")),
        *((Path, name) for name in ("rename", "replace", "unlink")),
        *((Ledger, name) for name in ("put_sink_mark", "commit")),
    )

    def __init__(self, last: int, *, happens: bool) -> None:
        self.last = last
        self.happens = happens
        self.taken = 0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in self.calls:
            monkeypatch.setattr(owner, name, self._step(getattr(owner, name)))

    def _step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **keys: Any) -> Any:
            self.taken += 1
            is_last = self.taken == self.last
            if is_last and not self.happens:
                raise Killed
            try:
                return function(*arguments, **keys)
            finally:
                if is_last:
                    raise Killed

        return step


@pytest.mark.parametrize("happens", [False, True], ids=["before", "after"])
def test_a_kill_at_every_step_loses_and_doubles_nothing(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, happens: bool
) -> None:
    """Each system call and each write to the ledger of a rotation is once the last that happens, or that does not."""

    def pack_at_once(self: Packer, processors: Iterable[str]) -> None:
        for processor in processors:
            self._see_to(processor)

    monkeypatch.setattr(Packer, "look_at", pack_at_once)
    last = 1
    while True:
        world = make(rotate_mib=1 / (1 << 20), compress="zstd")
        steps = Steps(last, happens=happens)
        committed = world.read()
        try:
            with monkeypatch.context() as patched:
                steps.patch(patched)
                sink = world.start()
                for _ in range(2):
                    world.commit(sink, "demo", *numbered(len(committed)))
                    committed += numbered(len(committed))
        except Killed:
            pass
        else:
            break
        sink = world.start()
        found = world.read()
        # Of the commit that was under way the ledger says whether it was one.
        assert found in (committed, [*committed, *numbered(len(committed))]), f"killed at step {last}"
        world.commit(sink, "demo", *numbered(len(found)))
        assert world.read() == [*found, *numbered(len(found))], f"killed at step {last}"
        last += 1
    assert last > 15
