"""The daemon's end of one worker process: questions and answers, in order, with deadlines.

A worker may be asked again before it has answered: while it parses one batch the next lies in its other inbox, so
that it never waits for the daemon. Only the question at the head of the line can be what ended a worker; the others
are lost without fault of theirs.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence

from hostd.errors import WorkerLostError
from hostd.workers import wire
from hostd.workers.batch import Batch, Piece, UnfedError, Yield
from hostd.workers.box import Box
from hostd.workers.connection import Connection
from hostd.workers.parts import CrowdedError
from hostd.workers.questions import Feeding, GenerationBrokenError, Loading, NotBegunError, Parsing, Question
from hostd.workers.spawner import Spawner

EXIT_TIMEOUT_S = 2.0
MAX_SIGNS_OF_LIFE = 12
"""For how many times its time limit a worker may go on cutting one failing batch, as long as it says that it lives."""


class Worker:
    """One worker process.

    `outstanding` counts the questions that it has or will have and has not answered, at most `DEPTH`. `blameless` says
    that it did not end by itself: its zygote did. `took_s` is how long it was at the last one, from when it was free.
    """

    def __init__(self) -> None:
        self.pid = -1
        self.outstanding = 0
        self.blameless = False
        self.took_s = 0.0
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[str] = self._loop.create_future()
        ours, self._theirs = socket.socketpair()
        self._connection = Connection(ours, self._most_bytes, self._take, self._ended)
        self._inboxes: list[Box] = []
        self._outboxes: list[Box] = []
        self._asked = 0
        self._questions: deque[Question] = deque()
        self._begun = self._deadline = self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        self._hung_up = False
        self._dismissed = False
        self._ending: asyncio.Task[None] | None = None

    async def fork(self, spawner: Spawner, preload: Sequence[str], *, ahead: bool = False) -> None:
        """Have the process forked, `ahead` of its use or for it, with the modules `preload` in it.

        Raises WorkerLostError, or OSError when descriptors have run out.
        """
        try:
            with self._theirs:
                for boxes, name in ((self._inboxes, "hostd-inbox"), (self._outboxes, "hostd-outbox")):
                    for _ in range(wire.DEPTH):
                        boxes.append(Box.make(name))
                fds = [box.fd for box in (*self._inboxes, *self._outboxes) if box.is_there]
                self.pid = await spawner.fork([self._theirs.fileno(), *fds], preload, ahead=ahead)
        except BaseException:
            self.hang_up()
            raise

    async def load(self, load: wire.Load, timeout_s: float) -> None:
        """Make it a worker of a generation.

        Raises GenerationBrokenError, or WorkerLostError when it ends or is silent for `timeout_s`.
        """
        question = Loading(timeout_s, 0)
        self._ask(question, load, ())
        await question.answer

    def parse(
        self,
        batch: Batch,
        time_s: float,
        most: tuple[int, int],
        patience_s: float,
        on_end: Callable[[WorkerLostError | None], None],
    ) -> asyncio.Future[Yield]:
        """Have it parse a batch, or feed a stream with a piece, to `most` bytes of JSON lines, and of snapshot.

        What is returned becomes what that yields, or raises WorkerLostError when the worker has ended, is silent for
        `time_s`, or talks nonsense; UnfedError for what the stream raises; NotBegunError when what it was asked before
        takes longer than `patience_s`. `on_end` is told when the worker is done with it, waited for or not.
        """
        question = Feeding(batch, time_s, most) if isinstance(batch, Piece) else Parsing(batch, time_s, most[0])
        question.on_end = on_end
        question.given_up_at = self._loop.time() + patience_s
        self._ask(question, question.request, question.body)
        return question.answer

    def dismiss(self) -> None:
        """Hang up of the daemon's own accord: what it has not answered is lost without fault."""
        self._dismissed = True
        self.hang_up()

    def hang_up(self) -> None:
        """Close the daemon's end: an idle worker then ends by itself. May be called twice."""
        if self._hung_up:
            return
        self._hung_up = True
        self._connection.close()
        if self._timer is not None:
            self._timer.cancel()
        for box in (*self._inboxes, *self._outboxes):
            box.close()
        self._ended("")

    @property
    def in_reach(self) -> bool:
        """Whether it can be asked: it is not known to have ended."""
        return self._lost is None and not self._hung_up

    def _most_bytes(self) -> int:
        return self._questions[0].most_bytes if self._questions else 0

    def _ask(self, question: Question, message: wire.Message, body: Sequence[bytes]) -> None:
        if not self.in_reach:
            question.end(WorkerLostError(self._lost or "it was dismissed", innocent=True))
            return
        turn, self._asked = self._asked % wire.DEPTH, self._asked + 1
        question.outbox = self._outboxes[turn]
        self._questions.append(question)
        self._connection.send(*wire.pack(message, body, self._inboxes[turn]))
        if len(self._questions) == 1:
            self._begin(question)
        else:
            self._wake_at(question.given_up_at)

    def _begin(self, question: Question) -> None:
        now = self._begun = self._loop.time()
        self._deadline = now + question.time_s
        self._last = now + MAX_SIGNS_OF_LIFE * question.parts * question.time_s
        self._wake_at(self._deadline)

    def _take(self, kind: int, fields: bytes, body_length: int, body: bytes | None) -> None:
        """Take in a frame."""
        if not self._questions:
            self._lose("broke the protocol: an answer to another question")
            return
        question = self._questions[0]
        try:
            message = wire.unpack(kind, fields)
            if isinstance(message, wire.Alive):
                self._deadline = min(self._loop.time() + question.time_s, self._last)
            elif isinstance(message, wire.Rejected):
                question.take_part(message.dead)
            else:
                if body is None:
                    body = wire.take(question.outbox, body_length)
                self._end_first(question.take(message, body))
        except wire.WireError as error:
            self._lose(f"broke the protocol: {error}")
        except (WorkerLostError, GenerationBrokenError, UnfedError, CrowdedError) as error:
            self._end_first(error)

    def _end_first(self, result: object) -> None:
        """Have the question at the head of the line end, with what it is answered or what it raises."""
        question = self._questions.popleft()
        self.took_s = self._loop.time() - self._begun
        question.end(result)
        if self._questions and self.in_reach:
            self._begin(self._questions[0])

    def _lose(self, reason: str, *, innocent: bool = False) -> None:
        """Give up on it: what it was asked is lost, and it can be asked no more."""
        self._lost = reason
        questions = list(self._questions)
        self._questions.clear()
        for question in questions:
            question.end(WorkerLostError(reason, innocent=innocent))
            innocent = True

    def _ended(self, problem: str) -> None:
        """Take note that nothing more comes from it, because of a problem or because it has gone."""
        if problem:
            self._lose(problem)
        elif self._lost is None:
            self._lost = "closed its socket"
            if self._questions:
                self._ending = asyncio.create_task(self._lose_when_exited(), name=f"end of worker {self.pid}")

    async def _lose_when_exited(self) -> None:
        with contextlib.suppress(TimeoutError):
            self._lost = await asyncio.wait_for(asyncio.shield(self.exited), EXIT_TIMEOUT_S)
        self._lose(self._lost or "", innocent=self._dismissed or self.blameless)

    def _wake_at(self, when: float) -> None:
        # A timer that rings too early costs less than one that is set anew for each question.
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if not self._questions or not self.in_reach:
            return
        now, time_s, parts = self._loop.time(), self._questions[0].time_s, self._questions[0].parts
        if now >= self._deadline:
            self._lose(f"no answer within {time_s * MAX_SIGNS_OF_LIFE * parts if now >= self._last else time_s:g} s")
            return
        self._wake_at(self._deadline)
        for question in list(self._questions)[1:]:
            if now < question.given_up_at:
                self._wake_at(question.given_up_at)
            elif not question.answer.done():
                question.answer.set_exception(NotBegunError())
