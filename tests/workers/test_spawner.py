"""The zygote: replaced when it dies, and gone when it is closed."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hostd.errors import WorkerLostError
from hostd.workers.batch import Batch
from hostd.workers.launch import launch
from hostd.workers.pool import Pool
from hostd.workers.spawner import describe_status
from tests.build import PARSE_LINES, load, read_fifo


def parent_of(pid: int) -> int:
    """Return a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_killed_zygote_is_said_and_replaced(tmp_path: Path) -> None:
    """Its workers die with it; the next batch has another zygote, and the daemon goes on."""

    async def scenario() -> None:
        pool = Pool(2, 60.0)
        demo = pool.crew(load(tmp_path), 10.0, 1)
        pid = await demo.start()
        zygote = parent_of(pid)
        worker = demo._workers[pid]
        with capture_logs() as logged:
            os.kill(zygote, signal.SIGKILL)
            async with asyncio.timeout(5):
                reason = await asyncio.shield(worker.exited)
            assert reason == "killed with its zygote (killed by signal 9)"
            result = await demo.parse(Batch("a.log", 0, b"", b"x\n"))
        assert result.records == 1
        assert [(event["event"], event.get("pid"), event.get("reason")) for event in logged][:2] == [
            ("zygote.exited", zygote, "killed by signal 9"),
            ("worker.exited", pid, reason),
        ]
        assert [event["event"] for event in logged][2:] == ["zygote.started"]
        [second] = demo._workers
        assert parent_of(second) != zygote
        await demo.kill()
        await pool.close()

    asyncio.run(scenario())


def test_batch_under_way_when_the_zygote_dies_is_lost(tmp_path: Path) -> None:
    """It is an answer like any other loss: the batch is tried again by whoever has it."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = PARSE_LINES.replace('lambda line: {"line": line}', f"lambda line: tell(line, {str(gate)!r})")
    code += "\ndef tell(line, gate):\n    open(gate, 'w').write(line)\n    import signal; signal.pause()\n"

    async def scenario() -> None:
        pool = Pool(2, 60.0)
        demo = pool.crew(load(tmp_path, code), 10.0, 1)
        zygote = parent_of(await demo.start())
        task = asyncio.create_task(demo.parse(Batch("a.log", 0, b"", b"x\ny\n")))
        assert await read_fifo(gate) == "x"
        os.kill(zygote, signal.SIGKILL)
        lost = r"^killed with its zygote \(killed by signal 9\)$"
        with capture_logs(), pytest.raises(WorkerLostError, match=lost) as caught:
            await task
        assert caught.value.innocent
        await demo.kill()
        await pool.close()

    asyncio.run(scenario())


def test_the_daemon_forks_only_where_it_can(tmp_path: Path) -> None:
    """Many forks at once get a worker each."""

    async def scenario() -> None:
        pool = Pool(20, 60.0)
        crews = [pool.crew(load(tmp_path), 10.0, number) for number in range(20)]
        pids = await asyncio.gather(*(crew.start() for crew in crews))
        assert len(set(pids)) == 20
        await asyncio.gather(*(crew.kill() for crew in crews))
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        await pool.close()

    asyncio.run(scenario())


def test_more_forks_than_the_zygote_has_room_for_wait(tmp_path: Path) -> None:
    """Its socket is full: that is no loss, and nothing is wrong with the plugins that ask."""

    async def scenario() -> None:
        launched = launch()
        launched.control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that the kernel allows
        pool = Pool(40, 60.0, launched)
        crews = [pool.crew(load(tmp_path), 10.0, number) for number in range(40)]
        pids = await asyncio.gather(*(crew.start() for crew in crews))
        assert len(set(pids)) == 40
        await pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("status", "words"), [(0, "exit status 0"), (7, "exit status 7"), (-9, "killed by signal 9")])
def test_a_status_in_words(status: int, words: str) -> None:
    """As the operator reads it."""
    assert describe_status(status) == words
