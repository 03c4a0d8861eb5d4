"""Workers of all generations: forked on demand, one limit for the machine, killed at deadlines, ended when idle.

A crew is the workers of one generation. A worker belongs to one crew for life and holds one batch at a time.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.launch import Launched
from hostd.workers.slots import Slots
from hostd.workers.spawner import Spawner

LOAD_TIMEOUT_S = 30.0
EXIT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of whole records' bytes from one source. `offset` and sizes in bytes."""

    source: str
    offset: int
    header: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Input that a generation could not parse, kept with the reason. `offset` is its place in the source."""

    offset: int
    raw: bytes
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of a batch: its records as JSON lines, and its dead letters."""

    records: int
    lines: bytes | bytearray
    dead: tuple[DeadLetter, ...] = ()
    said: tuple[tuple[str, str], ...] = ()


class GenerationBrokenError(Exception):
    """A worker could not load its generation; `broken` says where, what and the way out."""

    def __init__(self, broken: wire.Broken) -> None:
        self.broken = broken
        super().__init__(f"{broken.where}: {broken.problem}; {broken.remedy}")


class Worker:
    """The daemon's end of one worker process."""

    def __init__(self) -> None:
        self.pid = -1
        self.exited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._sock, self._theirs = socket.socketpair()
        self._sock.settimeout(0)
        self._inbox_fd = wire.memory_file("hostd-inbox")
        self._outbox_fd = wire.memory_file("hostd-outbox")
        self._asking = False

    async def fork(self, spawner: Spawner) -> None:
        """Have the process forked. Raises WorkerLostError."""
        try:
            with self._theirs:
                fds = [self._theirs.fileno(), self._inbox_fd, self._outbox_fd]
                self.pid = await spawner.fork([fd for fd in fds if fd >= 0])
        except BaseException:
            self.hang_up()
            raise

    async def load(self, load: wire.Load) -> None:
        """Make it a worker of a generation.

        Raises GenerationBrokenError, or WorkerLostError when it ends or is silent for `LOAD_TIMEOUT_S`.
        """
        answer, _ = await self._ask(load, (), LOAD_TIMEOUT_S)
        if isinstance(answer, wire.Broken):
            raise GenerationBrokenError(answer)
        if not isinstance(answer, wire.Loaded):
            raise WorkerLostError(f"answered Load with {type(answer).__name__}")

    async def parse(self, batch: Batch, time_s: float) -> Yield:
        """Have it parse a batch. Raises WorkerLostError when it ends, is silent for `time_s`, or talks nonsense."""
        request = wire.Parse(batch.source, batch.offset, len(batch.header), time_s)
        answer, lines = await self._ask(request, (batch.header, batch.data), time_s)
        if not isinstance(answer, wire.Parsed):
            raise WorkerLostError(f"answered Parse with {type(answer).__name__}")
        try:
            dead = wire.check_dead(answer.dead, len(batch.data))
        except wire.WireError as error:
            raise WorkerLostError(f"broke the protocol: {error}") from error
        letters = tuple(
            DeadLetter(batch.offset + start, batch.data[start : start + length], reason, trace)
            for start, length, reason, trace in dead
        )
        said = [(str(level), str(message)) for level, message in answer.said]
        if answer.mute:
            said.append(("warning", f"… and {answer.mute} lines more"))
        return Yield(answer.records, lines, letters, tuple(said))

    def hang_up(self) -> None:
        """Close the daemon's end: an idle worker then ends by itself. May be called twice.

        Under a question that is not answered yet it only ends the wait, and has to be called again after it.
        """
        if self._asking:
            # Closed now, its number would be another socket's while the event loop still waits on it; and what the
            # worker said last, before it ended, could not be read any more.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            return
        self._sock.close()
        for fd in (self._inbox_fd, self._outbox_fd):
            if fd >= 0:
                os.close(fd)
        self._inbox_fd = self._outbox_fd = -1

    async def _ask(
        self, message: wire.Message, body: tuple[bytes, ...], time_s: float
    ) -> tuple[wire.Message, bytes | bytearray]:
        self._asking = True
        try:
            async with asyncio.timeout(time_s) as deadline:
                await self._send(*wire.pack(message, body, self._inbox_fd))
                while True:
                    answer, lines = await self._receive()
                    if not isinstance(answer, wire.Alive):
                        return answer, lines
                    deadline.reschedule(asyncio.get_running_loop().time() + time_s)
        except TimeoutError as error:
            raise WorkerLostError(f"no answer within {time_s:g} s") from error
        except (OSError, EOFError) as error:
            with contextlib.suppress(TimeoutError):
                reason = await asyncio.wait_for(asyncio.shield(self.exited), EXIT_TIMEOUT_S)
                raise WorkerLostError(reason) from error
            raise WorkerLostError("closed its socket") from error
        except wire.WireError as error:
            raise WorkerLostError(f"broke the protocol: {error}") from error
        finally:
            self._asking = False

    async def _send(self, head: bytes, body: Sequence[bytes]) -> None:
        parts = [memoryview(part) for part in (head, *body) if part]
        try:
            sent = self._sock.sendmsg(parts)
        except BlockingIOError:
            sent = 0
        loop = asyncio.get_running_loop()
        for part in parts:
            if sent < len(part):
                await loop.sock_sendall(self._sock, part[sent:])
            sent = max(0, sent - len(part))

    async def _receive(self) -> tuple[wire.Message, bytes | bytearray]:
        kind, fields_length, body_length, in_file = wire.unpack_head(await self._receive_exactly(wire.HEAD.size))
        fields = await self._receive_exactly(fields_length)
        if in_file:
            return wire.unpack(kind, fields), wire.take(self._outbox_fd, body_length)
        return wire.unpack(kind, fields), await self._receive_exactly(body_length)

    async def _receive_exactly(self, length: int) -> bytearray:
        loop = asyncio.get_running_loop()
        buffer = bytearray(length)
        view = memoryview(buffer)
        while view:
            count = await loop.sock_recv_into(self._sock, view)
            if not count:
                raise EOFError
            view = view[count:]
        return buffer


class Crew:
    """The workers of one generation.

    `close` takes no more batches; `drain` waits for those under way; `kill` ends the processes now.
    """

    def __init__(self, pool: "Pool", load: wire.Load, time_s: float, generation: int) -> None:
        self._pool = pool
        self._load = load
        self._time_s = time_s
        self._generation = generation
        self._idle: deque[tuple[float, Worker]] = deque()
        self._workers: dict[int, Worker] = {}
        self._leaving: set[Worker] = set()
        self._in_flight = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._closed = False
        self._reaper: asyncio.TimerHandle | None = None

    @property
    def workers(self) -> int:
        """How many processes run now."""
        return len(self._workers)

    @property
    def in_flight(self) -> int:
        """How many batches are under way."""
        return self._in_flight

    async def start(self) -> int:
        """Start the first worker; return its pid.

        Raises GenerationBrokenError or WorkerLostError; nothing is left behind then.
        """
        worker = await self._hire()
        self._rest(worker)
        return worker.pid

    async def parse(self, batch: Batch, time_s: float | None = None) -> Yield:
        """Have a worker parse `batch`, forking one if none is idle. The caller holds one of the pool's slots.

        Raises WorkerLostError when the worker is lost, GenerationBrokenError when none can be started.
        """
        self._in_flight += 1
        self._settled.clear()
        try:
            worker = self._idle.pop()[1] if self._idle else await self._hire()
            try:
                result = await worker.parse(batch, time_s or self._time_s)
            except BaseException:
                self._dismiss(worker)
                raise
            self._rest(worker)
            return result
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._settled.set()

    def close(self) -> None:
        """Let idle workers end, and those that are busy after their batch. Returns at once."""
        self._closed = True
        while self._idle:
            self._dismiss(self._idle.pop()[1])

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no batch is under way; tell whether that was within `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), timeout_s)
        return not self._in_flight

    async def kill(self) -> None:
        """End all processes of the generation, and wait until they are reaped."""
        self.close()
        if self._reaper is not None:
            self._reaper.cancel()
        for worker in list(self._workers.values()):
            self._dismiss(worker)
        if self._leaving:
            await asyncio.wait([worker.exited for worker in self._leaving], timeout=EXIT_TIMEOUT_S)

    def lost(self, worker: Worker, reason: str) -> None:
        """Take note that a worker has ended."""
        expected = self._workers.pop(worker.pid, None) is None
        self._leaving.discard(worker)
        for entry in [entry for entry in self._idle if entry[1] is worker]:
            self._idle.remove(entry)
        if not expected:
            worker.hang_up()
            events.emit(
                events.WORKER_EXITED,
                plugin=self._load.name,
                generation=self._generation,
                pid=worker.pid,
                reason=reason,
            )

    async def _hire(self) -> Worker:
        worker = await self._pool.fork(self)
        self._workers[worker.pid] = worker
        try:
            await worker.load(self._load)
        except BaseException:
            self._dismiss(worker)
            raise
        return worker

    def _rest(self, worker: Worker) -> None:
        if worker.pid not in self._workers:
            worker.hang_up()  # it ended after its last answer
            return
        if self._closed:
            self._dismiss(worker)
            return
        self._idle.append((clock.monotonic(), worker))
        if self._reaper is None:
            self._reap_after(self._pool.idle_s)

    def _dismiss(self, worker: Worker) -> None:
        if self._workers.pop(worker.pid, None) is not None:
            self._leaving.add(worker)
        worker.hang_up()
        self._pool.kill(worker)

    def _reap_after(self, delay_s: float) -> None:
        self._reaper = asyncio.get_running_loop().call_later(delay_s, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        oldest = clock.monotonic() - self._pool.idle_s
        while self._idle and self._idle[0][0] <= oldest:
            self._dismiss(self._idle.popleft()[1])
        if self._idle:
            self._reap_after(max(0.01, self._idle[0][0] - oldest))


class Pool:
    """All workers of the daemon. They are forked from the zygote `launched`, or from one started when needed."""

    def __init__(self, busy: int, idle_s: float, launched: Launched | None = None, *, handoff_s: float = 0.25) -> None:
        self.slots = Slots(busy, handoff_s)
        self.idle_s = idle_s
        self._spawner = Spawner(self._on_exit, launched)
        self._owners: dict[int, tuple[Crew, Worker]] = {}

    def crew(self, load: wire.Load, time_s: float, generation: int) -> Crew:
        """Return a crew without workers for a generation."""
        return Crew(self, load, time_s, generation)

    async def fork(self, crew: Crew) -> Worker:
        """Fork a worker for `crew`; it has loaded nothing yet. Raises WorkerLostError."""
        worker = Worker()
        await worker.fork(self._spawner)
        self._owners[worker.pid] = crew, worker
        return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL a worker and what it started."""
        self._spawner.kill(worker.pid)

    async def close(self) -> None:
        """End all workers and the zygote."""
        await self._spawner.close()

    def _on_exit(self, pid: int, reason: str) -> None:
        owner: tuple[Crew, Worker] | None = self._owners.pop(pid, None)
        if owner is None:
            return
        crew, worker = owner
        if not worker.exited.done():
            worker.exited.set_result(reason)
        crew.lost(worker, reason)
