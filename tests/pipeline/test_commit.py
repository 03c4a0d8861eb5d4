"""Results to the sinks, then to the ledger: in order, in groups, once."""

import asyncio
import sqlite3
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from hostd.past import Hold
from hostd.pipeline import commit as commits
from hostd.pipeline.commit import Committer, Entry
from hostd.pipeline.ledger import Ledger, SinkMark
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.sqlite import SqliteSink
from tests.pipeline.build import result


class Flaky(NdjsonSink):
    """A sink that raises at the steps that it is told to."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        super().__init__(folder, ("*",), ledger)
        self.failures: list[str] = []
        self.groups: list[list[bytes]] = []

    def _step(self, name: str) -> None:
        if self.failures[:1] == [name]:
            self.failures.pop(0)
            raise OSError(28, f"{name} failed")

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        super().write(processor, chunks)
        self.groups.append([bytes(chunk) for chunk in chunks])
        self._step("write")

    def sync(self) -> list[SinkMark]:
        marks = super().sync()
        self._step("sync")
        return marks


@asynccontextmanager
async def running(committer: Committer) -> AsyncIterator[None]:
    """Commit while the block runs, then close."""
    task = asyncio.create_task(committer.run())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        committer.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without waiting."""
    monkeypatch.setattr(commits, "RETRY_S", (0.0, 0.001))


def test_results_are_durable_in_the_order_of_submission(tmp_path: Path) -> None:
    """`done` is called once for each, in order, after sink and ledger have it."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [NdjsonSink(tmp_path / "out", ("*",), ledger)])
        done: list[int] = []

        def check(number: int) -> None:
            done.append(number)
            assert (tmp_path / "out" / "demo.ndjson").read_bytes().count(b"\n") > number

        async with running(committer):
            for number in range(50):
                line = b"%d\n" % number
                committer.submit(Entry(result(number, number + 1, lines=line), lambda n=number: check(n)))
                if number % 7 == 0:
                    await asyncio.sleep(0)
            await committer.flush()
            assert done == list(range(50))
            assert ledger.sources()[0].checkpoint.offset == 50
        assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"".join(b"%d\n" % n for n in range(50))

    asyncio.run(scenario())


def test_groups_are_bounded_and_a_result_over_the_bound_goes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives meanwhile shares one commit, up to a size."""
    monkeypatch.setattr(commits, "GROUP_BYTES", 6)

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [sink])
        lines = [b"1\n", b"2\n", b"3\n", b"4\n", b"a long one\n", b"5\n"]
        for number, line in enumerate(lines):
            committer.submit(Entry(result(number, number + 1, lines=line), lambda: None))
        async with running(committer):
            await committer.flush()
        assert sink.groups == [[b"1\n", b"2\n", b"3\n"], [b"4\n", b"a long one\n"], [b"5\n"]]

    asyncio.run(scenario())


def test_what_is_committed_is_held_no_longer(tmp_path: Path) -> None:
    """A group may be as large as the memory for what is under way allows, and the next may be long in coming."""

    class Lines(bytearray):
        """Of which it can be told whether anything holds it."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [NdjsonSink(tmp_path / "out", ("*",), ledger)])
        let_go, loop = asyncio.Event(), asyncio.get_running_loop()
        held: list[weakref.ref[Lines]] = []

        def submit() -> None:
            lines = Lines(b"1\n")
            held.append(weakref.ref(lines, lambda _: loop.call_soon_threadsafe(let_go.set)))
            committer.submit(Entry(replace(result(0, 1), records=1, lines=lines), lambda: None))

        async with running(committer):
            submit()
            await committer.flush()
            async with asyncio.timeout(5):  # the thread lets go of it when its turn comes
                await let_go.wait()

    asyncio.run(scenario())


@pytest.mark.parametrize(("line", "is_awaited"), [(b"12345\n", False), (b"!\n", True)], ids=["whole", "awaited"])
def test_a_whole_group_and_one_that_is_awaited_do_not_wait_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, is_awaited: bool
) -> None:
    """Others gather after a large group, here for longer than the test may take."""
    monkeypatch.setattr(commits, "GROUP_BYTES", 10)
    monkeypatch.setattr(commits, "BUSY_BYTES", 1)
    monkeypatch.setattr(commits, "GATHER_S", 60.0)

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [sink])
        async with running(committer):
            committer.submit(Entry(result(0, 1, lines=b"first\n"), lambda: None))
            await committer.flush()
            committer.submit(Entry(result(1, 2, lines=b"next\n"), lambda: None))
            for _ in range(5):
                await asyncio.sleep(0)  # it gathers now
            committed = asyncio.Event()  # not `flush`, which does not have it wait either
            committer.submit(Entry(result(2, 3, lines=line), committed.set, is_awaited))
            await committed.wait()
        assert sink.groups == [[b"first\n"], [b"next\n", line]]

    asyncio.run(scenario())


def test_nothing_waits_for_company_that_is_flushed_or_comes_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither after a large group, nor what is for the ledger alone: both would, for longer than the test may take."""
    monkeypatch.setattr(commits, "BUSY_BYTES", 1)
    monkeypatch.setattr(commits, "GATHER_S", 60.0)
    monkeypatch.setattr(commits, "COMPANY_S", 60.0)

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [Flaky(tmp_path / "out", ledger)])
        async with running(committer):
            for number in range(3):
                committer.submit(Entry(result(number, number + 1, lines=b"line\n"), lambda: None))
                await asyncio.sleep(0)  # it gathers now, but for the first time
                await committer.flush()
            committer.hurry()
            await committer.write(lambda: None)
        with closing(Ledger(tmp_path / "ledger.db")) as again:
            assert again.sources()[0].checkpoint.offset == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("failures", [["write"], ["sync"], ["write", "write", "sync"]])
def test_a_failing_commit_is_tried_again_and_nothing_is_doubled(tmp_path: Path, failures: list[str]) -> None:
    """Each failure is said with its reason; reading waits behind it; then all is there once."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [sink])
        done: list[int] = []
        with capture_logs() as logged:
            async with running(committer):
                committer.submit(Entry(result(0, 1, lines=b"0\n"), lambda: done.append(0)))
                await committer.flush()
                sink.failures = list(failures)
                for number in (1, 2, 3):
                    line = b"%d\n" % number
                    committer.submit(Entry(result(number, number + 1, lines=line), lambda n=number: done.append(n)))
                await committer.flush()
                assert provenance_of(ledger) == [(0, 4)]
        assert done == [0, 1, 2, 3]
        assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"0\n1\n2\n3\n"
        said = [event["reason"] for event in logged if event["event"] == "sink.failed"]
        assert said == [f"[Errno 28] {name} failed; free space on its disk, and it goes on" for name in failures]
        [recovered] = [event for event in logged if event["event"] == "sink.recovered"]
        assert (recovered["sink"], recovered["tries"]) == (str(tmp_path / "out"), len(failures))
        assert committer.troubles.held_up is None

    def provenance_of(ledger: Ledger) -> list[tuple[int, int]]:
        return ledger._db.execute("SELECT start, end FROM provenance").fetchall()

    asyncio.run(scenario())


def test_a_failing_ledger_is_tried_again_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink's part is written over."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [NdjsonSink(tmp_path / "out", ("*",), ledger)])
        commit, failures = ledger.commit, [OSError(5, "Input/output error")] * 2

        def flaky(*args: object) -> None:
            if failures:
                raise failures.pop()
            commit(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(ledger, "commit", flaky)
        with capture_logs():
            async with running(committer):
                committer.submit(Entry(result(0, 1, lines=b"1\n"), lambda: None))
                await committer.flush()
        assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"1\n"

    asyncio.run(scenario())


def test_with_give_up_the_first_failure_ends_it(tmp_path: Path) -> None:
    """For commands that have nobody to wait for."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        sink.failures = ["write"]
        committer = Committer(ledger, [sink], give_up=True)
        committer.submit(Entry(result(0, 1, lines=b"1\n"), lambda: None))
        with pytest.raises(OSError, match="write failed"):
            await committer.run()
        committer.close()
        with closing(Ledger(tmp_path / "ledger.db")) as other:
            assert other.sources() == []

    asyncio.run(scenario())


def test_a_crash_between_sink_and_ledger_is_exactly_once(tmp_path: Path) -> None:
    """What the sink holds past the ledger is cut off when it is opened again, and committed again."""

    async def life(offset: int, *, crash: bool) -> int:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = NdjsonSink(tmp_path / "out", ("*",), ledger)
        sink.recover()
        reached = max((source.checkpoint.offset for source in ledger.sources()), default=0)
        assert reached == offset
        committer = Committer(ledger, [sink])
        async with running(committer):
            committer.submit(Entry(result(reached, reached + 1, lines=b"%d\n" % reached), lambda: None))
            await committer.flush()
            if crash:
                sink.write("demo", [b"%d\n" % (reached + 1)])
                sink.sync()
        return reached + 1

    with capture_logs() as logged:
        offset = 0
        for crash in (True, False, True, True, False):
            offset = asyncio.run(life(offset, crash=crash))
    assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"0\n1\n2\n3\n4\n"
    assert [event["cut"] for event in logged if event["event"] == "sink.trimmed"] == [2, 2, 2]


def test_results_go_to_every_sink_that_takes_them(tmp_path: Path) -> None:
    """And a result without records moves the checkpoint alone."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sinks = [NdjsonSink(tmp_path / name, (name,), ledger) for name in ("a", "b", "[ab]")]
        committer = Committer(ledger, list(sinks))
        assert committer.takes("a")
        assert not committer.takes("c")
        async with running(committer):
            committer.submit(Entry(result(0, 1, plugin="a", lines=b"1\n"), lambda: None))
            committer.submit(Entry(result(1, 2, plugin="b", lines=b"2\n"), lambda: None))
            committer.submit(Entry(result(2, 9, plugin="a"), lambda: None))
            await committer.flush()
            assert await committer.in_thread(lambda: ledger.sources()[0].checkpoint.offset) == 9
        files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.ndjson")}
        assert files == {
            "a/a.ndjson": b"1\n",
            "b/b.ndjson": b"2\n",
            "[ab]/a.ndjson": b"1\n",
            "[ab]/b.ndjson": b"2\n",
        }

    asyncio.run(scenario())


def test_sinks_are_replaced_between_what_was_submitted_before_and_after(tmp_path: Path) -> None:
    """Each result goes to the sinks that were said to take it when it was submitted, also when the old ones lag."""

    async def scenario() -> None:
        with closing(Ledger(tmp_path / "l.db")) as ledger:
            old = Flaky(tmp_path / "old", ledger)
            old.failures = ["write", "sync"]
            new = NdjsonSink(tmp_path / "new", ("other",), ledger)
            committer = Committer(ledger, [old])
            async with running(committer):
                committer.submit(Entry(result(0, 2, lines=b"1\n"), lambda: None))
                await committer.replace_sinks([new])
                assert (committer.takes("demo"), committer.takes("other")) == (False, True)
                committer.submit(Entry(result(2, 4, plugin="other", lines=b"2\n"), lambda: None))
                await committer.flush()
            assert (tmp_path / "old" / "demo.ndjson").read_bytes() == b"1\n"
            assert (tmp_path / "new" / "other.ndjson").read_bytes() == b"2\n"

    asyncio.run(scenario())


def test_a_file_that_does_not_hold_what_was_committed_is_not_cut_back(tmp_path: Path) -> None:
    """Written over in its place it is gone on with; under another name it is another file, and left as it is."""

    async def commit(start: int) -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [NdjsonSink(tmp_path / "out", ("*",), ledger)])
        await committer.recover()
        async with running(committer):
            committer.submit(Entry(result(start, start + 2, lines=b"1\n2\n"), lambda: None))
            await committer.flush()

    out = tmp_path / "out" / "demo.ndjson"
    asyncio.run(commit(0))
    with out.open("r+b") as file:
        file.write(b"3\n4\nno end")
    with capture_logs() as logs:
        asyncio.run(commit(2))
    assert [event["event"] for event in logs if event["event"].startswith("sink.d")] == ["sink.diverged"]
    assert out.read_bytes() == b"3\n4\nno end\n1\n2\n"
    away = out.rename(out.with_name("demo.ndjson.1"))
    with away.open("r+b") as file:
        file.seek(10)
        file.write(b"x\ny\nz\n and more")
    before = away.read_bytes()
    asyncio.run(commit(4))
    assert (away.read_bytes(), out.read_bytes()) == (before, b"1\n2\n")


def test_a_database_is_not_locked_while_a_sink_beside_it_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to it meanwhile can; when the commit succeeds each record is there once."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        database = SqliteSink(tmp_path / "records.db", ("*",), ledger)
        beside = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [database, beside])
        async with running(committer):
            committer.submit(Entry(result(0, 1, lines=b'{"n":1}\n'), lambda: None))
            await committer.flush()
            monkeypatch.setattr(commits, "RETRY_S", (1.0,))
            beside.failures = ["write"]
            failed = len(beside.groups) + 1
            committer.submit(Entry(result(1, 2, lines=b'{"n":2}\n'), lambda: None))
            while len(beside.groups) < failed:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            with closing(sqlite3.connect(tmp_path / "records.db", timeout=0.5)) as other:
                other.execute("CREATE TABLE mine (n)")
            await committer.flush()
        with closing(sqlite3.connect(tmp_path / "records.db")) as other:
            assert other.execute("SELECT n FROM demo ORDER BY _id").fetchall() == [(1,), (2,)]

    asyncio.run(scenario())


def test_what_was_never_committed_is_cut_from_a_file_that_has_its_predecessors_number(tmp_path: Path) -> None:
    """The one before was removed, and its account reaches further than the new one's mark."""
    out = tmp_path / "out" / "demo.ndjson"

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = NdjsonSink(tmp_path / "out", ("*",), ledger)
        committer = Committer(ledger, [sink])
        async with running(committer):
            committer.submit(Entry(result(0, 2, lines=b"1\n2\n"), lambda: None))
            await committer.flush()
            out.unlink()
            await committer.in_thread(sink.write, "demo", [b"3\n4\n5\n"])  # and no commit of it

    asyncio.run(scenario())
    assert out.read_bytes() == b"3\n4\n5\n"
    ledger = Ledger(tmp_path / "ledger.db")
    sink = NdjsonSink(tmp_path / "out", ("*",), ledger)
    sink.recover()
    assert out.read_bytes() == b""
    sink.close()
    ledger.close()


def test_what_is_only_for_the_ledger_does_not_wait_for_a_sink_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the commit that fails, and what is asked for later; each is written once."""

    async def scenario() -> None:
        monkeypatch.setattr(commits, "RETRY_S", (30.0,))
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [sink])
        hold = Hold("demo", "pinned", "demo.py", "abc", 1, "why")
        sink.failures = ["sync"]
        async with running(committer):
            written: list[str] = []
            with_it = committer.queue(written.append, "with it")
            committer.submit(Entry(result(0, 1, lines=b"1\n"), lambda: written.append("results")))
            await with_it
            await committer.write(ledger.book.put_hold, hold)
            await committer.write(written.append, "later")
            assert written == ["with it", "later"]
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
                assert other.execute("SELECT count(*) FROM holds").fetchone() == (1,)
            assert not sink.failures

    asyncio.run(scenario())


def test_other_sinks_are_taken_over_while_the_present_ones_take_nothing(tmp_path: Path) -> None:
    """Nobody waits for that; what was submitted before goes where it was to go, as soon as it can."""

    async def scenario() -> None:
        with capture_logs() as logs:
            ledger = Ledger(tmp_path / "ledger.db")
            old, new = (NdjsonSink(tmp_path / name, ("*",), ledger) for name in ("old", "new"))
            (tmp_path / "old").write_text("in the way")
            committer = Committer(ledger, [old])
            async with running(committer):
                committer.submit(Entry(result(0, 2, lines=b"1\n"), lambda: None))
                while not [event for event in logs if event["event"] == "sink.failed"]:  # noqa: ASYNC110 - all it tells
                    await asyncio.sleep(0.01)
                await committer.replace_sinks([new])
                committer.submit(Entry(result(2, 4, lines=b"2\n"), lambda: None))
                (tmp_path / "old").unlink()
                await committer.flush()
            assert (tmp_path / "old" / "demo.ndjson").read_bytes() == b"1\n"
            assert (tmp_path / "new" / "demo.ndjson").read_bytes() == b"2\n"

    asyncio.run(scenario())


def test_a_write_is_in_one_transaction_with_what_waits_beside_it(tmp_path: Path) -> None:
    """It is durable when its caller goes on, and one that went costs nothing."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        sink = Flaky(tmp_path / "out", ledger)
        committer = Committer(ledger, [sink])
        hold = Hold("demo", "pinned", "demo.py", "abc", 1, "why")
        async with running(committer):
            gone = asyncio.create_task(committer.write(ledger.book.put_hold, replace(hold, plugin="gone")))
            await asyncio.sleep(0)
            committer.submit(Entry(result(0, 1, lines=b"1\n"), lambda: None))
            gone.cancel()
            await committer.write(ledger.book.put_hold, hold)
            with closing(Ledger(tmp_path / "ledger.db")) as other:
                assert {each.plugin for each in other.book.holds()} == {"demo", "gone"}
                assert [row.checkpoint.offset for row in other.sources()] == [1]

    asyncio.run(scenario())
    assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"1\n"


def test_a_write_that_fails_takes_what_waits_beside_it_along(tmp_path: Path) -> None:
    """All of it is tried again, until it goes through."""

    async def scenario() -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        committer = Committer(ledger, [NdjsonSink(tmp_path / "out", ("*",), ledger)])
        tries: list[list[int]] = []

        def fail_once() -> None:
            with closing(Ledger(tmp_path / "ledger.db")) as other:
                tries.append([row.checkpoint.offset for row in other.sources()])
            if len(tries) == 1:
                raise sqlite3.OperationalError("database is locked")

        async with running(committer):
            committer.submit(Entry(result(0, 1, lines=b"1\n"), lambda: None))
            with capture_logs():
                await committer.write(fail_once)
        assert tries == [[], []]

    asyncio.run(scenario())
    assert (tmp_path / "out" / "demo.ndjson").read_bytes() == b"1\n"
