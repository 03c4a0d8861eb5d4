"""Dead letters through a real worker into a real sink: what stands in the way of it, and what does not."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from hostd.pipeline import lane as lanes
from hostd.pipeline.commit import Committer
from hostd.pipeline.framing import declared
from hostd.pipeline.ledger import Ledger, dead_counts
from hostd.pipeline.ledger.selection import Selection
from hostd.pipeline.replay import Replayer
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation
from hostd.plugins.proof import make
from hostd.tasks import Tasks
from hostd.workers.batch import DeadLetter
from hostd.workers.pool import Pool
from tests.build import artifact
from tests.pipeline.build import result

CODE = """
import time
from pathlib import Path

class P:
    def parse(self, data, ctx):
        for line in data.decode().splitlines():
            if line == "wait":
                while not Path(GO).exists():
                    time.sleep(0.01)
            if line == "log":
                ctx.log.warning("said")
            yield {"line": line}

new_processor = P
"""


class Bench:
    """A replayer with all that it needs, and one generation to replay to."""

    def __init__(self, folder: Path, pool: Pool) -> None:
        self.folder = folder
        self.pool = pool
        self.ledger = Ledger(folder / "ledger.db")
        self.tasks = Tasks()
        self.committer = Committer(self.ledger, [self.sink("*")])
        code = CODE.replace("GO", repr(str(folder / "go")))
        self.generation: Generation = make(2, artifact(folder, code), None, "", pool, Environments(folder))
        self.catalog: Any = SimpleNamespace(current={"demo": self.generation}, warm={}, epoch=0, coming={})
        self.replayer = Replayer(
            catalog=self.catalog,
            pool=pool,
            committer=self.committer,
            ledger=self.ledger,
            live=lambda _: None,
            tasks=self.tasks,
        )

    def sink(self, processors: str) -> NdjsonSink:
        return NdjsonSink(self.folder / "out", (processors,), self.ledger)

    async def put(self, *raws: bytes, gap: int = 10) -> None:
        """Have these be dead letters of generation 1, apart from each other."""
        dead, offset = [], 0
        for raw in raws:
            dead.append(DeadLetter(offset, raw, "why", ""))
            offset += len(raw) + gap
        framing = declared(self.generation.manifest).as_text()
        await self.committer.in_thread(
            self.ledger.commit, [replace(result(0, offset + 1, dead=tuple(dead)), framing=framing)], []
        )

    async def replay(self, **filters: Any) -> lanes.Tally:
        tally, task = self.replayer.replay(Selection(**filters))
        await task
        return tally

    @property
    def out(self) -> list[bytes]:
        path = self.folder / "out" / "demo.ndjson"
        return path.read_bytes().splitlines() if path.exists() else []


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    pool = Pool(2, 60.0)
    made = Bench(folder, pool)
    running = [asyncio.create_task(made.committer.run()), asyncio.create_task(made.replayer.run())]
    try:
        async with asyncio.timeout(30):
            yield made
    finally:
        for task in reversed(running):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        made.committer.close()
        await made.generation.crew.kill()
        await pool.close()


def test_without_a_sink_letters_wait_and_it_is_said(tmp_path: Path) -> None:
    """With what to do; once one takes them, they come out."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.committer.replace_sinks([b.sink("other")])
            await b.put(b"a\n")
            with capture_logs() as logs:
                b.replayer.proven("demo")
                await b.replayer.settle()
            [postponed] = [event for event in logs if event["event"] == "letters.postponed"]
            assert postponed["reason"] == "no sink takes records of demo; add one, or widen a sink's processors"
            assert postponed["retry_s"] == 30.0
            assert (await b.replay()).postponed == [postponed["reason"]]
            assert b.out == []
            await b.committer.replace_sinks([b.sink("*")])
            b.replayer.proven("demo")
            await b.replayer.settle()
            assert b.out == [b'{"line":"a"}']

    asyncio.run(scenario())


def test_a_letter_that_is_dropped_while_it_is_parsed_comes_out_once_at_most(tmp_path: Path) -> None:
    """And its number, gone with it, stands for no other letter."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.put(b"wait\n")
            tally, task = b.replayer.replay(Selection())
            while not (lane := b.replayer._lanes.get("demo")) or not lane.crew.in_flight:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            assert await b.committer.in_thread(b.ledger.dead.drop, Selection(id=1)) == (1, None)
            await b.put(b"later\n")
            (tmp_path / "go").touch()
            await task
            assert b.out == [b'{"line":"wait"}']
            assert (tally.letters, tally.records) == (1, 1)
            page = await b.committer.in_thread(b.ledger.dead.page, Selection())
            assert [(each.id, each.raw) for each in page.letters] == [(2, b"later\n")]

    asyncio.run(scenario())


def test_only_what_is_meant_is_parsed(tmp_path: Path) -> None:
    """Filters of a replay on demand; the rest stays as it is. What a plugin says meanwhile is logged."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.put(b"a\n", b"log\n", b"c\n")
            with capture_logs() as logs:
                tally = await b.replay(id=2)
            assert (tally.letters, tally.records, tally.rejected, tally.kept) == (1, 1, 0, 0)
            assert [event["message"] for event in logs if event["event"] == "plugin.logged"] == ["said"]
            assert dead_counts(b.ledger.path) == {"demo": 2}
            assert (await b.replay(plugin="other")).letters == 0
            assert (await b.replay(generation=7)).letters == 0
            assert (await b.replay(reason="why")).letters == 2
            assert b.out == [b'{"line":"log"}', b'{"line":"a"}', b'{"line":"c"}']
            assert b.generation.records == 3

    asyncio.run(scenario())


def test_live_batches_come_first_and_letters_come_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody waits for a worker a letter waits too, for a bounded time."""
    monkeypatch.setattr(lanes, "GIVE_WAY_TIMES", 20)

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.put(b"a\n")
            waits: list[float] = []
            sleep = asyncio.sleep

            async def count(delay: float) -> None:
                waits.append(delay)
                await sleep(0)

            monkeypatch.setattr(type(b.pool.slots), "is_waited_for", property(lambda _: True))
            monkeypatch.setattr(lanes, "asyncio", SimpleNamespace(sleep=count, Event=asyncio.Event))
            assert (await b.replay()).letters == 1
            assert waits.count(lanes.GIVE_WAY_S) == 20
            assert b.out == [b'{"line":"a"}']

    asyncio.run(scenario())


def test_replays_leave_no_process_behind(tmp_path: Path) -> None:
    """The worker of a replay ends with it; those of live batches stay."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            live = await b.generation.crew.start()
            pids: set[int] = set()
            apart = type(b.generation.crew).apart

            def noted(crew: Any) -> Any:
                made = apart(crew)
                hire = made._hire

                async def hired() -> Any:
                    worker = await hire()
                    pids.add(worker.pid)
                    return worker

                made._hire = hired
                return made

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(b.generation.crew), "apart", noted)
                await b.put(b"a\n", b"b\n")
                await b.replay()
            assert len(pids) == 1
            with pytest.raises(ProcessLookupError):
                os.kill(pids.pop(), 0)
            os.kill(live, 0)
            assert b.generation.crew.workers == 1

    asyncio.run(scenario())


def test_letters_wait_for_a_ledger_that_cannot_be_read_now(tmp_path: Path) -> None:
    """It is said, by itself and on demand, and ends nothing."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.put(b"a\n")
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(b.ledger.dead, "generations", failing)
                with capture_logs() as logs:
                    b.replayer.proven("demo")
                    await b.replayer.settle()
                [postponed] = [event for event in logs if event["event"] == "letters.postponed"]
                reason = f"{tmp_path}/ledger.db: the ledger cannot be used: disk I/O error; "
                assert postponed["reason"].startswith(reason)
                assert postponed["retry_s"] == 30.0
                assert (await b.replay()).postponed == [postponed["reason"]]
            b.replayer.proven("demo")
            await b.replayer.settle()
            assert b.out == [b'{"line":"a"}']
            assert not b.tasks.failed.done()

    asyncio.run(scenario())


def test_what_came_of_letters_that_no_sink_takes_any_more_is_not_committed(tmp_path: Path) -> None:
    """They were parsed while one did; they stay, and come out once when one does again."""

    async def scenario() -> None:
        async with bench(tmp_path) as b:
            await b.put(b"a\n", b"b\n", b"wait\n")
            with capture_logs() as logs, pytest.MonkeyPatch.context() as patched:
                patched.setattr(lanes, "GROUP_S", 60.0)
                tally, task = b.replayer.replay(Selection())
                lanes_of = b.replayer._lanes
                while not ("demo" in lanes_of and len(lanes_of["demo"]._gathered) == 2):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await b.committer.replace_sinks([b.sink("other")])
                (tmp_path / "go").touch()
                await task
            assert tally.postponed == ["no sink takes records of demo; add one, or widen a sink's processors"]
            assert (tally.letters, b.out) == (0, [])
            assert not [event for event in logs if event["event"] == "letters.replayed"]
            await b.committer.replace_sinks([b.sink("*")])
            assert (await b.replay()).letters == 3
            assert sorted(b.out) == [b'{"line":"a"}', b'{"line":"b"}', b'{"line":"wait"}']

    asyncio.run(scenario())


def failing() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise error
