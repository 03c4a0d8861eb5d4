"""The daemon's end of one worker process: questions and answers, in order, with deadlines.

A worker may be asked again before it has answered: while it parses one batch the next lies in its other inbox, so
that it never waits for the daemon. Only the question at the head of the line can be what ended a worker; the others
are lost without fault of theirs.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.batch import Batch, DeadLetter, Piece, UnfedError, Yield
from hostd.workers.spawner import Spawner

EXIT_TIMEOUT_S = 2.0
MAX_SIGNS_OF_LIFE = 12
"""For how many times its time limit a worker may go on cutting one failing batch, as long as it says that it lives."""
MAX_BROKEN_CHARACTERS = 4000

Answer = tuple[wire.Message, bytes | bytearray]
TakePart = Callable[[list[list[Any]]], None]


class GenerationBrokenError(Exception):
    """A worker could not load its generation; `broken` says where, what and the way out."""

    def __init__(self, broken: wire.Broken) -> None:
        self.broken = broken
        super().__init__(f"{broken.where}: {broken.problem}; {broken.remedy}")


class _Letters:
    """Dead letters of one batch as they come in: each lies in `data`, whose first byte is at `offset`."""

    def __init__(self, data: bytes, offset: int, most_words: int) -> None:
        self.found: list[DeadLetter] = []
        self._data = data
        self._offset = offset
        self._most_words = most_words
        self._words = 0

    def take(self, dead: list[list[Any]]) -> None:
        """Take in some. Raises wire.WireError."""
        end = self.found[-1].offset + len(self.found[-1].raw) - self._offset if self.found else 0
        for start, length, reason, trace in wire.check_dead(dead, len(self._data), end):
            raw = self._data[start : start + length]
            self.found.append(DeadLetter(self._offset + start, raw, reason, trace))
            self._words += len(reason) + len(trace)
        if self._words > self._most_words:
            raise wire.WireError(f"dead letters with {self._words} characters of reasons")


def _yield_of(answer: wire.Parsed | wire.Fed, token: int, lines: bytes | bytearray, letters: _Letters) -> Yield:
    """Return what came of a batch. Raises WorkerLostError when the answer is none to it."""
    try:
        if answer.token != token:
            raise wire.WireError("an answer to another question")
        letters.take(answer.dead)
        said = wire.check_said(answer)
    except wire.WireError as error:
        raise WorkerLostError(f"broke the protocol: {error}") from error
    if answer.mute:
        said.append(("warning", f"… and {answer.mute} lines more"))
    return Yield(answer.records, lines, tuple(letters.found), tuple(said))


class Worker:
    """One worker process.

    `outstanding` counts the questions that it has not answered, at most `DEPTH`. `blameless` says that it did not end
    by itself: its zygote did.
    """

    def __init__(self) -> None:
        self.pid = -1
        self.outstanding = 0
        self.blameless = False
        self.exited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._sock, self._theirs = socket.socketpair()
        self._sock.settimeout(0)
        self._inboxes = [-1] * wire.DEPTH
        self._outboxes = [-1] * wire.DEPTH
        self._asked = 0
        self._asking = asyncio.Lock()
        self._answering = asyncio.Lock()
        self._lost: str | None = None
        self._hung_up = False
        self._dismissed = False

    async def fork(self, spawner: Spawner, preload: Sequence[str], *, ahead: bool = False) -> None:
        """Have the process forked, `ahead` of its use or for it, with the modules `preload` in it.

        Raises WorkerLostError, or OSError when descriptors have run out.
        """
        try:
            with self._theirs:
                self._inboxes = [wire.memory_file("hostd-inbox") for _ in range(wire.DEPTH)]
                self._outboxes = [wire.memory_file("hostd-outbox") for _ in range(wire.DEPTH)]
                fds = [self._theirs.fileno(), *self._inboxes, *self._outboxes]
                self.pid = await spawner.fork([fd for fd in fds if fd >= 0], preload, ahead=ahead)
        except BaseException:
            self.hang_up()
            raise

    async def load(self, load: wire.Load, timeout_s: float) -> None:
        """Make it a worker of a generation.

        Raises GenerationBrokenError, or WorkerLostError when it ends or is silent for `timeout_s`.
        """
        answer, _ = await self._ask(load, (), timeout_s, 0)
        if isinstance(answer, wire.Broken):
            raise GenerationBrokenError(wire.Broken(*(wire.clean(text[:MAX_BROKEN_CHARACTERS]) for text in answer)))
        if not isinstance(answer, wire.Loaded):
            raise WorkerLostError(f"answered Load with {type(answer).__name__}")

    async def parse(self, batch: Batch, time_s: float, most_bytes: int, begun: asyncio.Event | None = None) -> Yield:
        """Have it parse a batch to `most_bytes` of JSON lines; `begun` is set when that is at the head of its line.

        Raises WorkerLostError when the worker ends, is silent for `time_s`, or talks nonsense.
        """
        letters = _Letters(batch.data, batch.offset, most_bytes)
        token = secrets.randbits(53)
        request = wire.Parse(batch.source, batch.offset, len(batch.header), time_s, most_bytes, token)
        answer, lines = await self._ask(
            request, (batch.header, batch.data), time_s, most_bytes, begun=begun, take_part=letters.take
        )
        if isinstance(answer, wire.Spent):
            raise WorkerLostError(wire.clean(answer.reason[: wire.MAX_REASON_CHARACTERS]))
        if not isinstance(answer, wire.Parsed):
            raise WorkerLostError(f"answered Parse with {type(answer).__name__}")
        return _yield_of(answer, token, lines, letters)

    async def feed(self, piece: Piece, time_s: float, most: tuple[int, int], begun: asyncio.Event | None) -> Yield:
        """Have it feed a stream to `most` bytes of JSON lines and of snapshot; else as `parse`.

        Raises UnfedError for what the stream raises.
        """
        state, before = piece.state or b"", piece.before
        letters = _Letters(before + piece.data, piece.offset - len(before), most[0])
        token = secrets.randbits(53)
        request = wire.Feed(
            piece.source,
            piece.offset,
            piece.stream,
            -1 if piece.state is None else len(state),
            len(before),
            piece.final,
            time_s,
            most[0],
            token,
        )
        answer, body = await self._ask(
            request, (state, before, piece.data), time_s, sum(most), begun=begun, take_part=letters.take
        )
        if isinstance(answer, wire.Spent):
            raise WorkerLostError(wire.clean(answer.reason[: wire.MAX_REASON_CHARACTERS]))
        if isinstance(answer, wire.Unfed) and answer.token == token:
            reason, trace = answer.reason[: wire.MAX_REASON_CHARACTERS], answer.traceback[: wire.MAX_TRACE_CHARACTERS]
            raise UnfedError(wire.clean(reason), wire.clean(trace), at_open=answer.at_open)
        if not isinstance(answer, wire.Fed):
            raise WorkerLostError(f"answered Feed with {type(answer).__name__}")
        lines_length = len(body) - answer.state_length
        if not 0 <= answer.state_length <= most[1] or not 0 <= lines_length <= most[0]:
            raise WorkerLostError(f"broke the protocol: a snapshot of {answer.state_length} of {len(body)} bytes")
        result = _yield_of(answer, token, body[:lines_length], letters)
        return replace(result, state=bytes(body[lines_length:]))

    def dismiss(self) -> None:
        """Hang up of the daemon's own accord: what it has not answered is lost without fault."""
        self._dismissed = True
        self.hang_up()

    def hang_up(self) -> None:
        """Close the daemon's end: an idle worker then ends by itself. May be called twice.

        Under questions that are not answered yet it ends the wait, and closes after the last of them.
        """
        self._hung_up = True
        if self._asking.locked() or self._answering.locked():
            # Closed now, its number would be another socket's while the event loop still waits on it.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            return
        self._sock.close()
        for fd in (*self._inboxes, *self._outboxes):
            if fd >= 0:
                os.close(fd)
        self._inboxes = self._outboxes = [-1] * wire.DEPTH

    async def _ask(
        self,
        message: wire.Message,
        body: tuple[bytes, ...],
        time_s: float,
        most_bytes: int,
        *,
        begun: asyncio.Event | None = None,
        take_part: TakePart | None = None,
    ) -> Answer:
        try:
            async with self._asking:
                self._check_in_reach()
                turn, self._asked = self._asked % wire.DEPTH, self._asked + 1
                await self._send(*wire.pack(message, body, self._inboxes[turn]))
            async with self._answering:
                self._check_in_reach()
                if begun is not None:
                    begun.set()
                return await self._answer(time_s, self._outboxes[turn], most_bytes, take_part)
        finally:
            if self._hung_up:
                self.hang_up()

    @property
    def in_reach(self) -> bool:
        """Whether it can be asked: it is not known to have ended."""
        return self._lost is None and not self._hung_up

    def _check_in_reach(self) -> None:
        if not self.in_reach:
            raise WorkerLostError(self._lost or "it was dismissed", innocent=True)

    async def _answer(self, time_s: float, outbox_fd: int, most_bytes: int, take_part: TakePart | None) -> Answer:
        """Wait for the next answer. Raises WorkerLostError, and all that follow are lost too then."""
        now = asyncio.get_running_loop().time
        last = now() + MAX_SIGNS_OF_LIFE * time_s
        try:
            async with asyncio.timeout(time_s) as deadline:
                while True:
                    answer, lines = await self._receive(outbox_fd, most_bytes)
                    if isinstance(answer, wire.Alive):
                        deadline.reschedule(min(now() + time_s, last))
                    elif isinstance(answer, wire.Rejected) and take_part is not None:
                        take_part(answer.dead)
                        await asyncio.sleep(0)  # there may be thousands: let others have their turn
                    else:
                        return answer, lines
        except TimeoutError as error:
            over_all = now() >= last
            self._lost = f"no answer within {time_s * MAX_SIGNS_OF_LIFE if over_all else time_s:g} s"
            raise WorkerLostError(self._lost) from error
        except (OSError, EOFError) as error:
            self._lost = "closed its socket"
            with contextlib.suppress(TimeoutError):
                self._lost = await asyncio.wait_for(asyncio.shield(self.exited), EXIT_TIMEOUT_S)
            raise WorkerLostError(self._lost, innocent=self._dismissed or self.blameless) from error
        except wire.WireError as error:
            self._lost = f"broke the protocol: {error}"
            raise WorkerLostError(self._lost) from error

    async def _send(self, head: bytes, body: Sequence[bytes]) -> None:
        parts = [memoryview(part) for part in (head, *body) if part]
        try:
            sent = self._sock.sendmsg(parts)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has gone; that is read, with the reason, in place of its answer
        loop = asyncio.get_running_loop()
        for part in parts:
            if sent < len(part):
                await loop.sock_sendall(self._sock, part[sent:])
            sent = max(0, sent - len(part))

    async def _receive(self, outbox_fd: int, most_bytes: int) -> Answer:
        head = await self._receive_exactly(wire.HEAD.size)
        kind, fields_length, body_length, in_file = wire.unpack_head(head, wire.MAX_ANSWER_FIELDS_BYTES, most_bytes)
        fields = await self._receive_exactly(fields_length)
        if in_file:
            return wire.unpack(kind, fields), wire.take(outbox_fd, body_length)
        return wire.unpack(kind, fields), await self._receive_exactly(body_length)

    async def _receive_exactly(self, length: int) -> bytearray:
        buffer = bytearray(length)
        view = memoryview(buffer)
        while view:
            try:
                count = self._sock.recv_into(view)
            except BlockingIOError:
                count = await asyncio.get_running_loop().sock_recv_into(self._sock, view)
            if not count:
                raise EOFError
            view = view[count:]
        return buffer
