"""What one generation made, made again and replaced: all of it or nothing, and nothing else is touched."""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contract.framing import Framing
from hostd.errors import HostdError
from hostd.pipeline.ledger import places
from hostd.pipeline.ledger.replacing import Intent, Replacing
from hostd.pipeline.reparse import job as jobs
from hostd.pipeline.reparse import turn as turns
from hostd.pipeline.reparse.job import Job, Progress
from hostd.pipeline.reparse.plan import Plan
from hostd.pipeline.sinks import rewrite
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.workers.batch import Batch, Yield
from tests.pipeline.test_explain import take
from tests.pipeline.world import NAME, Few, InProcess, World, committing, entry, pool_of

kinds = st.text(alphabet="aoet_", min_size=1, max_size=6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), kinds),
        st.tuples(st.just("commit"), st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=4)),
        st.sampled_from([("swap",), ("rotate",), ("restart",), ("replay",)]),
    ),
    max_size=20,
)
NONE_YET: list[tuple[Any, ...]] = [("append", 0, "__a"), ("swap",), ("swap",), ("commit", [(0, 2)])]
REPLAYED: list[tuple[Any, ...]] = [("append", 0, "o"), ("commit", [(0, 1)]), ("swap",), ("replay",)]
ROTATED: list[tuple[Any, ...]] = [("append", 0, "a"), ("commit", [(0, 1)]), ("rotate",)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack soon, and go back at once."""
    monkeypatch.setattr(places, "FINE_ROWS", 3)
    monkeypatch.setattr(places, "PACK_ROWS", 4)
    monkeypatch.setattr(turns, "RETRY_S", (0.0, 0.0))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def job_of(world: World, generation: int, serving: InProcess) -> Job:
    return Job(
        Progress(NAME, generation),
        current=lambda: serving,  # type: ignore[arg-type,return-value]
        pool=pool_of(),
        committer=world.committer,
        ledger=world.ledger,
    )


async def reparse(world: World, generation: int, serving: InProcess | None = None) -> Progress:
    """Do it, with what is submitted meanwhile."""
    async with committing(world):
        job = job_of(world, generation, serving or InProcess(world.generation))
        await job.run()
        await world.committer.flush()
    return job.progress


def responsible(world: World, before: list[Any], old: int, new: int) -> dict[tuple[int, int], int]:
    """Return whose each batch is now: of the old generation's, those in the present file, or in none, are the new's."""
    mark = world.sink.present(NAME)
    present = {(mark.device, mark.inode), None} | {batch.file for batch in before if is_at(world.output, batch.file)}
    letters = world.replayed.items()
    replayed = {(source, ~offset): new for (source, offset), (by, file) in letters if by == old and file in present}
    return replayed | {
        (batch.source, batch.begin): new for batch in before if batch.generation == old and batch.file in present
    }


def is_at(path: Path, file: tuple[int, int] | None) -> bool:
    return path.exists() and file == (path.stat().st_dev, path.stat().st_ino)


@settings(max_examples=60, deadline=None)
@given(
    steps=steps,
    old=st.integers(1, 3),
    later=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=3),
    batch_kib=st.sampled_from([256, Few(12)]),
    again=st.booleans(),
)
@example(steps=ROTATED, old=1, later=[], batch_kib=256, again=False)
@example(steps=REPLAYED, old=2, later=[], batch_kib=256, again=False)
@example(steps=NONE_YET, old=3, later=[(0, 1)], batch_kib=256, again=False)
def test_exactly_what_one_generation_made_is_replaced(
    steps: list[tuple[Any, ...]], old: int, later: list[tuple[int, int]], batch_kib: int, again: bool
) -> None:
    """After any past, with replays in it, beside commits that arrive meanwhile.

    Files, provenance, dead letters and explanations agree.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for step in steps:
            take(world, step)
        world.serve(max(world.generation, 3) + 1)
        new = world.generation
        before = list(world.batches)
        expected = responsible(world, before, old, new)
        asyncio.run(scenario(world, old, InProcess(new, batch_kib), later))
        world.check(expected)
        if again:
            world.close()
            world.open()
        world.append(0, "aot")
        world.commit(world.results(0, 2))
        world.check(expected)
        world.close()


async def scenario(world: World, old: int, serving: InProcess, later: list[tuple[int, int]]) -> None:
    """Reparse while results are submitted, one for each batch that is parsed."""
    waiting = [r for source, lines in later if source < len(world.sources) for r in world.results(source, lines)]

    async def submit() -> None:
        if waiting:
            for each in entry(world, [waiting.pop(0)]):
                world.committer.submit(each)
            await world.committer.flush()

    serving.on_parse = submit
    was_there = world.output.exists()
    async with committing(world):
        job = job_of(world, old, serving)
        try:
            await job.run()
        except HostdError as error:
            if "nothing is known to have been parsed by generation" not in str(error):
                assert str(error).endswith("was renamed or cut meanwhile; ask again")  # noqa: PT017
                assert not was_there, "only the first records of all, written meanwhile, are a reason to ask again"
                await job_of(world, old, serving).run()
        for result in waiting:
            world.committer.submit(entry(world, [result])[0])
        await world.committer.flush()


def three_generations(world: World) -> None:
    """Two sources, each parsed in turn by three generations; the fourth serves."""
    for generation in (1, 2, 3):
        world.serve(generation)
        for source in (0, 1):
            world.append(source, "aoe_a")
            world.commit([*world.results(source, 3), *world.results(source, 2)])
    world.serve(4)


STEPS = [
    (os, "link"),
    (os, "fsync"),
    (os, "fdatasync"),
    (Path, "replace"),
    (Path, "unlink"),
    (rewrite, "sync_folder"),
    (Replacing, "begin"),
    (Replacing, "add"),
    (Replacing, "intend"),
    (Replacing, "finish"),
    (NdjsonSink, "adopt"),
]
"""What changes something on the disk."""


def die_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End this process, as a kill does, before the step of that number is taken."""
    taken = 0

    def dying(step: Any) -> Any:
        def take_it(*args: Any, **more: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == number:
                os._exit(9)
            return step(*args, **more)

        return take_it

    for where, name in STEPS:
        monkeypatch.setattr(where, name, dying(getattr(where, name)))


def in_a_child(action: Callable[[], object]) -> int:
    """Do something in a process of its own; return its exit code."""
    pid = os.fork()
    if not pid:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("has_file", [True, False], ids=["in a file", "that had no records"])
def test_a_crash_at_any_step_leaves_the_old_state_or_the_new(tmp_path: Path, has_file: bool) -> None:
    """Nothing in between, nothing left beside, and what comes after goes on from there."""
    states = []
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        if has_file:
            three_generations(world)
        else:
            world.serve(2)
            world.append(0, "eee")
            world.commit(world.results(0, 3))
            world.serve(3)
        new = world.generation

        def child(world: World = world, number: int = number, new: int = new) -> None:
            with capture_logs(), pytest.MonkeyPatch.context() as patch:
                world.open()
                die_at(patch, number)
                asyncio.run(reparse(world, 2, InProcess(new)))

        world.close()
        code = in_a_child(child)
        assert code in (0, 9)
        world.open()
        by = {row[0] for row in world.ledger._db.execute("SELECT DISTINCT generation FROM provenance")}
        assert (2 in by) != (new in by), "neither the old state nor the new one"
        expected = {(b.source, b.begin): new for b in world.batches if b.generation == 2} if new in by else {}
        world.check(expected)
        assert [path.name for path in world.out.iterdir() if path != world.output] == []
        world.append(0, "aot")
        world.commit(world.results(0, 3))
        world.check(expected)
        world.close()
        states.append(bool(expected))
        if code == 0:
            break
    assert states == sorted(states), "once it is new it stays new"
    assert states.count(False) > 5
    assert states[-2:] == [True, True], "a crash after the ledger's transaction leaves the new state"


@pytest.mark.parametrize(
    ("where", "name"), [(os, "link"), (os, "fsync"), (os, "fdatasync"), (Path, "replace"), (Replacing, "finish")]
)
def test_a_failure_leaves_everything_as_it_was(world: World, where: Any, name: str) -> None:
    """A full disk, or a file system without links: said, undone, and asked for again it works."""
    three_generations(world)
    before = world.output.read_bytes()

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, fails)
        with pytest.raises(HostdError) as caught:
            asyncio.run(reparse(world, 2))
    assert str(caught.value) == (
        "demo: its output cannot be replaced: [Errno 28] No space left on device; make room on the disk, and ask again"
    )
    assert world.output.read_bytes() == before
    assert list(world.out.iterdir()) == [world.output]
    world.check()
    asyncio.run(reparse(world, 2))
    world.check({(b.source, b.begin): 4 for b in world.batches if b.generation == 2})


def test_a_failure_that_cannot_be_undone_stops_the_sink_until_the_next_start(world: World) -> None:
    """Nothing is written to what is neither old nor new; the next start goes back."""
    three_generations(world)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logged:
        patch.setattr(Replacing, "finish", fails)
        patch.setattr(turns, "undo", fails)
        with pytest.raises(HostdError):
            asyncio.run(reparse(world, 2))
    assert {event["reason"] for event in logged if event["event"] == "sink.failed"} == {"[Errno 5] Input/output error"}
    world.append(0, "a")
    waiting = world.results(0, 3)
    with pytest.raises(OSError, match="a reparse could not be undone; restart hostd when the disk is well"):
        world.committer._commit(waiting)
    world.close()
    with capture_logs() as logged:
        world.open()
    assert [event["path"] for event in logged if event["event"] == "reparse.undone"] == [str(world.output)]
    world.commit(waiting)
    world.check()


@pytest.mark.parametrize(("where", "name"), [(os, "link"), (Path, "replace")])
def test_a_rotation_in_the_middle_is_noticed(world: World, where: Any, name: str) -> None:
    """However close it comes to the rename: the old file keeps its records, and there is no second one with them."""
    three_generations(world)
    rename = Path.rename
    with pytest.MonkeyPatch.context() as patch:
        step, done = getattr(where, name), False

        def rotating(*args: Any) -> Any:
            nonlocal done
            if not done:
                done = True
                world.outputs.append(rename(world.output, world.out / "demo.ndjson.1"))
            return step(*args)

        patch.setattr(where, name, rotating)
        with pytest.raises(HostdError) as caught:
            asyncio.run(reparse(world, 2))
    assert str(caught.value) == "demo: its output was renamed or cut meanwhile; ask again"
    assert list(world.out.iterdir()) == world.outputs
    world.check()
    world.append(0, "a")
    world.commit(world.results(0, 3))
    world.check()


def plan_of(world: World, generation: int) -> Plan:
    async def plan() -> Plan:
        async with committing(world):
            return await job_of(world, generation, InProcess(world.generation)).plan()

    return asyncio.run(plan())


def test_what_cannot_be_replaced_is_said_and_left(world: World) -> None:
    """Sources that are gone or rewritten, and records in a file that was rotated away."""
    three_generations(world)
    world.rotate()
    world.serve(2)
    for source in (0, 1, 2, 3):
        world.append(source, "aa")
        world.commit(world.results(source, 2))
    world.serve(4)
    Path(world.sources[2].path).unlink()
    Path(world.sources[3].path).write_text("other\n")
    said = [(left.what, left.reason, left.amount, left.unit) for left in plan_of(world, 2).left]
    gone, rewritten = (world.sources[number].path for number in (2, 3))
    assert said == [
        ("2.log", f"{gone} is gone", 12, "bytes"),
        ("3.log", f"{rewritten} was rewritten, or cut", 12, "bytes"),
        (str(world.outputs[0]), "it was rotated away", 6, "records"),
    ]
    before = world.outputs[0].read_bytes()
    progress = asyncio.run(reparse(world, 2))
    assert progress.plan is not None
    assert progress.plan.records == progress.records_after == 4
    assert world.outputs[0].read_bytes() == before


def test_a_file_that_was_edited_by_hand_is_left(world: World) -> None:
    """Where its records lie is not known any more."""
    three_generations(world)
    content = world.output.read_bytes()
    edited = content.replace(b'"by": 1', b'"by": 9', 1)
    world.output.write_bytes(edited)
    plan = plan_of(world, 2)
    assert plan.segments == []
    [left] = plan.left
    assert left.reason.startswith("it was edited by hand, before byte ")
    asyncio.run(reparse(world, 2))
    assert world.output.read_bytes() == edited


def test_a_dry_run_changes_nothing(world: World) -> None:
    """It says what would be done."""
    three_generations(world)
    before = [tuple(path.read_bytes() for path in (world.output, world.folder / "ledger.db"))]
    plan = plan_of(world, 2)
    assert (plan.records, plan.dead, len(plan.segments), plan.left) == (6, 2, 2, [])
    assert before == [tuple(path.read_bytes() for path in (world.output, world.folder / "ledger.db"))]
    world.check()


def test_a_generation_that_has_parsed_nothing_is_said_with_those_that_have(world: World) -> None:
    three_generations(world)
    with pytest.raises(HostdError) as caught:
        plan_of(world, 9)
    assert str(caught.value) == (
        "demo: nothing is known to have been parsed by generation 9; known of it are 1, 2, 3;"
        " hostd explain tells which generation made a record"
    )


def test_a_swap_in_the_middle_gives_the_rest_to_the_new_one(world: World) -> None:
    """Each batch is made wholly by one of them, and the ledger says which."""
    three_generations(world)
    serving = [InProcess(4, Few(12))]

    async def overtake() -> None:
        if serving[0].parses == 3:
            serving[0] = InProcess(5, Few(12))

    async def run() -> Progress:
        async with committing(world):
            job = Job(
                Progress(NAME, 2),
                current=lambda: serving[0],  # type: ignore[arg-type,return-value]
                pool=pool_of(1),
                committer=world.committer,
                ledger=world.ledger,
            )
            await job.run()
            return job.progress

    serving[0].on_parse = overtake
    world.serve(5)
    progress = asyncio.run(run())
    assert progress.generations == {4, 5}
    made = world.ledger._db.execute("SELECT sum(end - start) FROM provenance WHERE generation IN (4, 5)").fetchone()[0]
    assert progress.plan is not None
    assert made == progress.plan.size


def test_nothing_stays_open(world: World) -> None:
    """Neither when it is done nor when it fails."""
    three_generations(world)
    asyncio.run(reparse(world, 2))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for generation in (1, 4, 9):
        try:
            asyncio.run(reparse(world, generation))
        except HostdError:
            continue
    assert len(list(descriptors.iterdir())) == before


def test_a_version_that_rejects_too_much_replaces_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it rejects is held in memory until all is replaced, and must not be all of the input."""
    monkeypatch.setattr(jobs, "MAX_REJECTED_BYTES", 30)
    three_generations(world)
    with pytest.raises(HostdError) as caught:
        asyncio.run(reparse(world, 3))
    assert str(caught.value) == (
        "demo: generation 4 rejects more than 0 MiB of what generation 3 parsed; mend it: this is no better version"
    )
    world.check()


def test_records_are_replaced_in_every_sink_that_has_them(tmp_path: Path) -> None:
    """In one step for all; a sink that was added later gets none, and what it has stays."""
    world = World(tmp_path)
    second, third = (NdjsonSink(tmp_path / name, ("*",), world.ledger) for name in ("second", "third"))
    world.committer.sinks = [world.sink, second]
    three_generations(world)
    world.committer.sinks = [world.sink, second, third]
    world.append(0, "a")
    world.commit(world.results(0, 1))
    mine, other = (path.read_text() for path in (world.output, second.path(NAME)))
    assert mine == other
    progress = asyncio.run(reparse(world, 2))
    assert progress.plan is not None
    assert (progress.plan.records, progress.records_after, progress.plan.left) == (12, 12, [])
    assert world.output.read_text() == second.path(NAME).read_text() != mine
    assert third.path(NAME).read_text().count("\n") == 1
    world.check({(b.source, b.begin): 4 for b in world.batches if b.generation == 2})
    world.close()


def test_other_framing_cuts_anew_what_was_parsed_in_one_go(world: World) -> None:
    """Records that begin in one batch and end in the next are whole, where both are the generation's."""
    world.append(0, "abab")
    for _ in range(4):
        world.commit(world.results(0, 1))
    world.serve(2)
    serving = InProcess(2)
    serving.framing = Framing(kind="multiline", start=re.compile(b"a"))
    batches: list[bytes] = []
    parse = serving.crew.parse

    async def note(batch: Batch, time_s: float | None = None, *, behind: bool = True) -> Yield:
        batches.append(batch.data)
        answer: Yield = await parse(batch, time_s, behind=behind)
        return answer

    serving.crew.parse = note
    asyncio.run(reparse(world, 1, serving))
    assert batches == [b"a0.1\nb0.2\na0.3\nb0.4\n"]
    world.check({(b.source, b.begin): 2 for b in world.batches})


def test_a_commit_that_failed_before_does_not_mislead(world: World) -> None:
    """What is known of a file is read anew when the ledger has rolled back."""
    three_generations(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.ledger.expiry, "put", lambda _: 1 / 0)
        world.append(0, "aaaa")
        waiting = world.results(0, 4)
        with pytest.raises(ZeroDivisionError):
            world.committer._commit(waiting)

    async def run() -> None:
        async with committing(world):
            job = job_of(world, 2, InProcess(4))
            held = await world.committer.in_thread(job._hold)
            await world.committer.in_thread(job._let_go, held)
            for each in entry(world, waiting):
                world.committer.submit(each)
            await job.run()
            await world.committer.flush()

    asyncio.run(run())
    world.check({(b.source, b.begin): 4 for b in world.batches if b.generation == 2})


def test_undoing_never_removes_the_only_copy(tmp_path: Path) -> None:
    """Where the old file is gone, whoever took it, the new one stays."""
    path = tmp_path / "demo.ndjson"
    path.write_text("new\n")
    status = path.stat()
    intent = Intent(str(tmp_path), "demo", status.st_dev, status.st_ino + 1, status.st_dev, status.st_ino)
    rewrite.undo(path, intent)
    rewrite.undo(path, intent)
    assert path.read_text() == "new\n"
