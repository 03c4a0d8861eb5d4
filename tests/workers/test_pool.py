"""The workers of generations: forked on demand, used again, limited, ended."""

import asyncio
import contextlib
import gc
import os
import resource
import select
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.errors import WorkerLostError
from hostd.workers import pool as pools
from hostd.workers.pool import Pool
from tests.build import PARSE_LINES, load, read_fifo
from tests.workers.demo import MakeCrew, batch, is_running, lines_of, processor


def test_workers_are_forked_on_demand_and_used_again(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Two batches at once have two processes; one after the other has one."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        assert demo.workers == 0
        for _ in range(3):
            await demo.parse(batch())
            assert demo.workers == 1
        results = await asyncio.gather(demo.parse(batch(b"a\n")), demo.parse(batch(b"b\n")))
        assert [lines_of(result) for result in results] == [["a"], ["b"]]
        assert demo.workers == 2

    runner.run(scenario())


def test_large_batches_and_answers_arrive_whole(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """More than any socket's buffer in both directions."""
    data = b"x" * 99 + b"\n"

    async def scenario() -> None:
        result = await crew(PARSE_LINES).parse(batch(data * 30_000))
        assert result.records == 30_000
        assert len(result.lines) == 30_000 * len('{"line":"","@source":"a.log"}' + "x" * 99 + "\n")

    runner.run(scenario())


def test_close_ends_idle_workers_and_busy_ones_after_their_batch(
    runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path
) -> None:
    """close returns at once; drain waits; no process is left."""
    gate, began = tmp_path / "gate", tmp_path / "began"
    os.mkfifo(gate)
    os.mkfifo(began)
    held = os.open(gate, os.O_RDWR)

    async def scenario() -> None:
        demo = crew(processor(f"open({str(began)!r}, 'w').write('x'); open({str(gate)!r}).readline()"))
        idle, busy = await demo.start(), asyncio.create_task(demo.parse(batch()))
        assert await read_fifo(began) == "x"
        await demo.parse(batch(b"x\n"))
        workers = dict(demo._workers)
        assert idle in workers
        assert len(workers) == 2
        demo.close()
        assert not await demo.drain(0.01)
        assert demo.in_flight == 1
        os.write(held, b"go\n")
        assert await demo.drain(5)
        assert lines_of(await busy) == ["one", "two", "bad", "four"]
        async with asyncio.timeout(5):
            await asyncio.wait([worker.exited for worker in workers.values()])
        assert demo.workers == 0
        assert not any(map(is_running, workers))

    runner.run(scenario())
    os.close(held)


def test_kill_ends_busy_workers_and_what_they_started(runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path) -> None:
    """SIGKILL for the whole group; the batch is lost, and nothing is left when it returns."""
    child = tmp_path / "child"
    os.mkfifo(child)
    body = (
        f"import subprocess as s; p = s.Popen(['sleep', '60']); open({str(child)!r}, 'w').write(str(p.pid)); p.wait()"
    )

    async def scenario() -> None:
        demo = crew(processor(body))
        task = asyncio.create_task(demo.parse(batch()))
        child_pid = int(await read_fifo(child))
        pids = list(demo._workers)
        child_fd = os.pidfd_open(child_pid)
        await demo.kill()
        with pytest.raises((WorkerLostError, ValueError, OSError)):
            await task
        assert demo.workers == 0
        assert not any(map(is_running, pids))
        ended, _, _ = await asyncio.to_thread(select.select, [child_fd], [], [], 5)
        os.close(child_fd)
        assert ended, "a process that the plugin started is left"

    runner.run(scenario())


def test_a_worker_that_ends_while_idle_is_said_also_when_a_batch_finds_it_first(
    runner: asyncio.Runner, crew: MakeCrew
) -> None:
    """Its socket closes before its end is known: whoever is given it then has lost nothing, and tries again."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        for _ in range(20):
            pid = await demo.start()
            worker = demo._workers[pid]
            with capture_logs() as logged:
                os.kill(pid, signal.SIGKILL)
                while worker.in_reach:  # noqa: ASYNC110 - one turn of the loop too many, and its end is known
                    await asyncio.sleep(0)
                with contextlib.suppress(WorkerLostError):
                    await demo.parse(batch())
                async with asyncio.timeout(5):
                    await asyncio.shield(worker.exited)
            assert [event["pid"] for event in logged if event["event"] == "worker.exited"] == [pid]
            demo.close()
            demo._closed = False

    runner.run(scenario())


def test_a_worker_that_ends_while_idle_is_said_and_replaced(runner: asyncio.Runner, crew: MakeCrew) -> None:
    """Nobody asked it to: that is an event; one that was dismissed is none."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        pid = await demo.start()
        worker = demo._workers[pid]
        with capture_logs() as logged:
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(5):
                await asyncio.shield(worker.exited)
        assert [event for event in logged if event["event"] == "worker.exited"] == [
            {
                "event": "worker.exited",
                "log_level": "warning",
                "plugin": "demo",
                "generation": 1,
                "pid": pid,
                "reason": "killed by signal 9",
            }
        ]
        assert demo.workers == 0
        with capture_logs() as logged:
            assert lines_of(await demo.parse(batch(b"x\n"))) == ["x"]
            await demo.kill()
        assert logged == []

    runner.run(scenario())


def test_idle_workers_are_reaped(runner: asyncio.Runner, tmp_path: Path) -> None:
    """A plugin that has nothing to do costs no process."""

    async def scenario() -> None:
        pool = Pool(2, 0.02)
        demo = pool.crew(load(tmp_path), 10.0, 1)
        await asyncio.gather(demo.parse(batch()), demo.parse(batch()))
        workers = dict(demo._workers)
        assert len(workers) == 2
        async with asyncio.timeout(5):
            await asyncio.wait([worker.exited for worker in workers.values()])
        assert demo.workers == 0
        assert not any(map(is_running, workers))
        assert lines_of(await demo.parse(batch(b"x\n"))) == ["x"], "and it comes back on demand"
        await pool.close()

    runner.run(scenario())


def test_pool_close_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    """Workers end with the zygote, and the daemon holds nothing of them."""

    async def scenario() -> None:
        held = []
        for _ in range(3):
            pool = Pool(2, 60.0)
            demo = pool.crew(load(tmp_path), 10.0, 1)
            pid = await demo.start()
            assert is_running(pid)
            await demo.kill()
            assert not is_running(pid)
            await pool.close()
            await pool.close()
            gc.collect()
            held.append(sorted(os.listdir("/proc/self/fd")))  # noqa: PTH208 - names are all we need
        assert held[1] == held[2]

    asyncio.run(scenario())


def test_of_many_idle_workers_the_longest_idle_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand plugins that were just started hold no thousand processes; each forks again when it has a batch."""
    monkeypatch.setattr(pools, "IDLE_MOST", 3)

    async def scenario() -> None:
        pool = Pool(2, 60.0)
        crews = [pool.crew(load(tmp_path), 10.0, number) for number in range(5)]
        for crew in crews:
            await crew.start()
        assert [crew.workers for crew in crews] == [0, 0, 1, 1, 1]
        assert (await crews[0].parse(batch(b"x\n"))).records == 1
        assert [crew.workers for crew in crews] == [1, 0, 0, 1, 1]
        assert (await crews[3].parse(batch(b"x\n"))).records == 1
        await crews[1].start()
        assert [crew.workers for crew in crews] == [1, 1, 0, 1, 0]
        for crew in crews:
            await crew.kill()
        assert not pool.idle
        await pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("handoff_s", "begun"), [(60.0, 2), (0.01, 5)])
def test_a_bounded_number_of_starts_is_under_way(tmp_path: Path, handoff_s: float, begun: int) -> None:
    """The others wait, but not for one that takes long: what hangs while it is imported delays nobody."""
    mark, gate = tmp_path / "begun", tmp_path / "gate"
    wait = (
        f"import os, time\nopen({str(mark)!r}, 'a').write('x')\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)\n"
    )

    async def scenario() -> None:
        pool = Pool(1, 60.0, handoff_s=handoff_s)
        crews = [pool.crew(load(tmp_path, wait + PARSE_LINES), 10.0, number) for number in range(5)]
        starts = asyncio.gather(*(crew.start() for crew in crews))
        async with asyncio.timeout(20):
            while not mark.exists() or mark.stat().st_size < begun:  # noqa: ASYNC110 - other processes write it
                await asyncio.sleep(0.005)
        assert sum(crew.workers for crew in crews) == begun
        gate.touch()
        assert len(set(await starts)) == 5
        await pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("forks", [True, False])
def test_who_would_not_have_a_worker_forked_waits_behind_another_batch(
    runner: asyncio.Runner, crew: MakeCrew, tmp_path: Path, *, forks: bool
) -> None:
    """There is a free core; a second worker costs more than a short batch takes."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def scenario() -> None:
        demo = crew(processor(f"open({str(gate)!r}).read()"))
        await demo.start()
        first = asyncio.create_task(demo.parse(batch(b"bad\n")))
        await asyncio.sleep(0)
        second = asyncio.create_task(demo.parse(batch(b"x\n"), forks=forks))
        async with asyncio.timeout(10):
            if forks:
                assert lines_of(await second) == ["x"], "the first is under way still"
            writer = await asyncio.to_thread(open, gate, "w")  # which waits until the first has opened it
            assert demo.workers == (2 if forks else 1)
            assert second.done() is forks
            writer.close()
            assert lines_of(await second) == ["x"]
            await first

    runner.run(scenario())


def test_a_batch_for_which_no_worker_can_be_forked_is_lost_without_fault(
    runner: asyncio.Runner, crew: MakeCrew
) -> None:
    """As where no descriptor is left; the next one has a worker when there are some again."""

    async def scenario() -> None:
        demo = crew(PARSE_LINES)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        await demo._nursery.ready()
        spare = demo._nursery._spare
        if spare is not None:
            demo._nursery._end_spare()
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))
        try:
            with pytest.raises(WorkerLostError, match=r"none can be forked: \[Errno 24\] Too many open files") as lost:
                await demo.parse(batch())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert lost.value.innocent
        assert (demo.workers, demo.in_flight) == (0, 0)
        assert (await demo.parse(batch(b"one\n"))).records == 1

    runner.run(scenario())
