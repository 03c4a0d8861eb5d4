"""The way in: who waits for room, for a commit, or for a disk, and is told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hostd.pipeline.intake import inlet as module
from hostd.pipeline.intake.inlet import Inlet, Tap
from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.sources import spool as spools
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.spool import Spool


def with_inlet(folder: Path, trial: Callable[[Inlet], Awaitable[None]], limit: int = 100) -> None:
    """Run a trial with an inlet whose source commits what it is told to."""

    async def run() -> None:
        spool = Spool(folder / "app", "http:app")
        spool.recover(0, cut=False)
        source = FileSource(1, "http:app", str(folder), -1, 1, 1)
        source.receive_into(spool, Checkpoint())
        inlet = Inlet(source, spool, limit, lambda _: None)
        try:
            await trial(inlet)
        finally:
            inlet.close()
            spool.close()

    asyncio.run(run())


def test_whoever_waits_for_a_commit_is_told_when_it_is_past_what_was_appended(tmp_path: Path) -> None:
    async def trial(inlet: Inlet) -> None:
        ends = [inlet.append(b"x" * 10) for _ in range(3)]
        waits = [asyncio.create_task(inlet.committed(end)) for end in ends]
        await asyncio.sleep(0)
        waits[1].cancel()  # it has gone away
        inlet.source.account_for(Checkpoint(25))
        await asyncio.sleep(0)
        assert [wait.done() for wait in waits] == [True, True, False]
        inlet.source.account_for(Checkpoint(30))
        await asyncio.gather(waits[0], waits[2])
        await inlet.committed(ends[-1])  # which is so already

    with_inlet(tmp_path, trial)


def test_a_tap_holds_its_sender_up_until_there_is_room_again(tmp_path: Path) -> None:
    async def trial(inlet: Inlet) -> None:
        said: list[str] = []
        tap = Tap(inlet, lambda: said.append("pause"), lambda: said.append("resume"))
        tap.give(b"x" * 99)
        assert said == []
        tap.give(b"x" * 50)
        assert said == ["pause"]
        inlet.source.account_for(Checkpoint(60))
        assert said == ["pause"]  # 89 of 100 wait: not worth it yet
        inlet.source.account_for(Checkpoint(90))
        assert said == ["pause", "resume"]

    with_inlet(tmp_path, trial)


def test_what_a_disk_does_not_take_is_kept_and_spooled_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, however often it is tried."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    fails = 3
    append = Spool.append

    def failing(self: Spool, parts: list[bytes]) -> int:
        nonlocal fails
        if fails:
            fails -= 1
            raise OSError(28, "No space left on device")
        return append(self, parts)

    monkeypatch.setattr(Spool, "append", failing)

    async def trial(inlet: Inlet) -> None:
        said: list[str] = []
        resumed = asyncio.Event()
        tap = Tap(inlet, lambda: said.append("pause"), resumed.set)
        tap.give(b"one\n")
        tap.give(b"two\n")
        assert said == ["pause"]
        assert (inlet.trouble, inlet.has_room()) == ("No space left on device", False)
        async with asyncio.timeout(10):
            await resumed.wait()
            await tap.emptied()
        assert inlet.source.read(0, 100) == b"one\ntwo\n"
        assert (inlet.trouble, inlet.has_room()) == ("", True)

    with_inlet(tmp_path, trial)
    said = capsys.readouterr()
    assert (said.out + said.err).count("spool.failed") == 1
    assert (said.out + said.err).count("spool.recovered") == 1


def test_what_is_committed_and_cannot_be_removed_is_removed_by_a_later_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever waits for the commit is told all the same, and it is said once."""
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 5)

    def segments() -> int:
        return len([path for path in (tmp_path / "app").iterdir() if path.name.isdigit()])

    async def trial(inlet: Inlet) -> None:
        ends = [inlet.append(b"x" * 10) for _ in range(4)]
        in_the_way = tmp_path / "app" / "head.new"
        in_the_way.mkdir()
        for end in ends[:2]:
            inlet.source.account_for(Checkpoint(end))
            await asyncio.wait_for(inlet.committed(end), 10)
            assert segments() == 4
        in_the_way.rmdir()
        inlet.source.account_for(Checkpoint(ends[2]))
        assert segments() == 1
        assert inlet.source.read(0, 10) == b"x" * 10  # of the head, which is kept
        assert inlet.source.read(30, 10) == b"x" * 10

    with_inlet(tmp_path, trial)
    said = capsys.readouterr()
    assert (said.out + said.err).count("spool.kept") == 1
