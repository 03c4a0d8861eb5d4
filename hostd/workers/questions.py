"""What a worker is asked, and what its answers stand for: each is checked, since foreign code runs there."""

import asyncio
import math
import secrets
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.batch import Batch, DeadLetter, Piece, UnfedError, Yield
from hostd.workers.box import NOWHERE
from hostd.workers.parts import CrowdedError

MAX_BROKEN_CHARACTERS = 4000


class GenerationBrokenError(Exception):
    """A worker could not load its generation; `broken` says where, what and the way out."""

    def __init__(self, broken: wire.Broken) -> None:
        self.broken = broken
        super().__init__(f"{broken.where}: {broken.problem}; {broken.remedy}")


class NotBegunError(Exception):
    """A question waits behind another for too long; its worker will answer it, and nobody listens."""


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


class Question:
    """Something that a worker is asked. `answer` is what it answers, or what it raises.

    A worker that gives no sign of life for `time_s` is lost with it. Its answer has `most_bytes` of body at most.
    """

    def __init__(self, time_s: float, most_bytes: int) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.time_s = time_s
        self.most_bytes = most_bytes
        self.parts = 1
        """For how many times `time_s` it may be at it, each with a sign of life."""
        self.outbox = NOWHERE
        """Where the answer's body comes to lie, if it is large."""
        self.given_up_at = math.inf
        """When it is given up if it was not begun by then."""
        self.on_end: Callable[[WorkerLostError | None], None] = lambda _: None
        """Is told when the worker is done with it, listened to or not, and with which loss, if it is one."""

    def take(self, message: wire.Message, body: bytes) -> object:
        """Return what an answer stands for. Raises WireError and WorkerLostError for what is none to it."""
        raise NotImplementedError

    def take_part(self, dead: list[list[Any]]) -> None:
        """Take in dead letters ahead of the answer. Raises WireError."""
        raise wire.WireError(f"{len(dead)} dead letters that nobody has asked for")

    def end(self, result: object) -> None:
        """Take what it is answered, or what it raises; whoever waits may have gone."""
        if not self.answer.done():
            if isinstance(result, Exception):
                self.answer.set_exception(result)
            else:
                self.answer.set_result(result)
        self.on_end(result if isinstance(result, WorkerLostError) else None)


class Loading(Question):
    """A generation to be loaded; the answer is nothing."""

    def take(self, message: wire.Message, body: bytes) -> None:  # noqa: ARG002
        """Take the answer. Raises GenerationBrokenError, and as `Question.take` does."""
        if isinstance(message, wire.Broken):
            raise GenerationBrokenError(wire.Broken(*(wire.clean(text[:MAX_BROKEN_CHARACTERS]) for text in message)))
        if not isinstance(message, wire.Loaded):
            raise WorkerLostError(f"answered Load with {type(message).__name__}")


class _Yielding(Question):
    """Input that records are to be made of: `data`, whose first byte is at `offset`; the answer is a Yield.

    It has `most_lines` bytes of JSON lines at most, and as many characters of reasons.
    """

    def __init__(self, data: bytes, offset: int, time_s: float, most_lines: int, most_bytes: int) -> None:
        super().__init__(time_s, most_bytes)
        self._token = secrets.randbits(53)
        self._letters = _Letters(data, offset, most_lines)

    def take_part(self, dead: list[list[Any]]) -> None:
        """See `Question.take_part`."""
        self._letters.take(dead)

    def take(self, message: wire.Message, body: bytes) -> Yield:
        """See `Question.take`."""
        if isinstance(message, wire.Spent):
            raise WorkerLostError(wire.clean(message.reason[: wire.MAX_REASON_CHARACTERS]))
        return self._read(message, body)

    def _read(self, message: wire.Message, body: bytes) -> Yield:
        raise NotImplementedError

    def _yield_of(self, answer: wire.Parsed | wire.Fed, lines: bytes) -> Yield:
        if answer.token != self._token:
            raise wire.WireError("an answer to another question")
        self._letters.take(answer.dead)
        said = wire.check_said(answer)
        if answer.mute:
            said.append(("warning", f"… and {answer.mute} lines more"))
        return Yield(answer.records, lines, tuple(self._letters.found), tuple(said))


class Parsing(_Yielding):
    """A batch to be parsed to `most_bytes` of JSON lines."""

    def __init__(self, batch: Batch, time_s: float, most_bytes: int) -> None:
        super().__init__(batch.data, batch.offset, time_s, most_bytes, most_bytes)
        self.request = wire.Parse(
            *(batch.source, batch.offset, len(batch.header), time_s, most_bytes, self._token),
            *(batch.blocks, batch.part_bytes),
        )
        if batch.part_bytes:
            self.parts = -(-len(batch.data) // batch.part_bytes)
        self.body = (batch.header, batch.data)

    def _read(self, message: wire.Message, body: bytes) -> Yield:
        if isinstance(message, wire.Crowded) and message.token == self._token and self.parts > 1:
            raise CrowdedError
        if not isinstance(message, wire.Parsed):
            raise WorkerLostError(f"answered Parse with {type(message).__name__}")
        return self._yield_of(message, body)


class Feeding(_Yielding):
    """A piece to feed a stream with, to `most` bytes of JSON lines and of snapshot. It may raise UnfedError."""

    def __init__(self, piece: Piece, time_s: float, most: tuple[int, int]) -> None:
        state, before = piece.state or b"", piece.before
        super().__init__(before + piece.data, piece.offset - len(before), time_s, most[0], sum(most))
        self._most = most
        self.request = wire.Feed(
            piece.source,
            piece.offset,
            piece.stream,
            -1 if piece.state is None else len(state),
            len(before),
            piece.final,
            time_s,
            most[0],
            self._token,
        )
        self.body = (state, before, piece.data)

    def _read(self, message: wire.Message, body: bytes) -> Yield:
        if isinstance(message, wire.Unfed) and message.token == self._token:
            reason = message.reason[: wire.MAX_REASON_CHARACTERS]
            trace = message.traceback[: wire.MAX_TRACE_CHARACTERS]
            raise UnfedError(wire.clean(reason), wire.clean(trace), at_open=message.at_open)
        if not isinstance(message, wire.Fed):
            raise WorkerLostError(f"answered Feed with {type(message).__name__}")
        lines_length = len(body) - message.state_length
        if not 0 <= message.state_length <= self._most[1] or not 0 <= lines_length <= self._most[0]:
            raise WorkerLostError(f"broke the protocol: a snapshot of {message.state_length} of {len(body)} bytes")
        return replace(self._yield_of(message, body[:lines_length]), state=bytes(body[lines_length:]))
