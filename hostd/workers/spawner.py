"""The daemon's end of a zygote: forks workers on demand, tells when one has ended, replaces a zygote that died."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from hostd import clock, events
from hostd.errors import WorkerLostError
from hostd.workers.confinement import Confinement, SandboxError, last_words
from hostd.workers.launch import Launched, Place

SEND_AGAIN_S = 0.01


class Spawner:
    """Starts the zygote of a place and asks it for workers.

    `on_exit(pid, reason, blameless)` is called in the event loop for every worker that ends, after it was reaped;
    it is blameless when it ended with its zygote.
    """

    def __init__(
        self,
        place: Place,
        confinement: Confinement,
        on_exit: Callable[[int, str, bool], None],
        launched: Launched | None = None,
    ) -> None:
        self._place = place
        self._confinement = confinement
        self._on_exit = on_exit
        self._zygote = confinement.adopt(launched)
        self._ready: asyncio.Future[None] | None = None
        self._pid: int | None = None
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._next = 0
        self._lock = asyncio.Lock()
        self._children: set[int] = set()

    @property
    def zygote_pid(self) -> int | None:
        """The process that forks, if there is one."""
        return self._pid or (self._zygote.process.pid if self._zygote is not None else None)

    async def fork(self, theirs: Sequence[int], preload: Sequence[str], *, ahead: bool = False) -> int:
        """Fork a worker that gets the descriptors `theirs`; return its pid. `ahead`: nobody waits for it yet.

        The zygote has imported the modules `preload` by then.

        Raises WorkerLostError when the zygote has ended, OSError when the system gives no more processes,
        SandboxError when the zygote cannot be confined and must be.
        """
        zygote = await self.ready()
        self._next += 1
        number, future = self._next, asyncio.get_running_loop().create_future()
        self._forks[number] = future
        try:
            question = {"fork": number, "ahead": ahead, "preload": preload}
            while not self._ask(zygote, question, theirs):  # noqa: ASYNC110 - room in a socket sets no event
                await asyncio.sleep(SEND_AGAIN_S)
            return int(await future)
        finally:
            self._forks.pop(number, None)

    def _ask(self, zygote: Launched, question: dict[str, Any], theirs: Sequence[int]) -> bool:
        """Ask for a fork; tell whether there was room for the question. Raises WorkerLostError."""
        try:
            socket.send_fds(zygote.control, [json.dumps(question).encode()], theirs)
        except BlockingIOError:
            return False  # it has as many questions before it as the kernel takes
        except OSError as error:
            raise WorkerLostError(f"the zygote does not answer: {error}", innocent=True) from error
        return True

    def kill(self, pid: int) -> None:
        """SIGKILL a worker and all that it started. Returns at once; `on_exit` tells when it is gone."""
        if pid in self._children and self._zygote is not None:
            try:
                self._zygote.control.send(json.dumps({"kill": pid}).encode())
            except BlockingIOError:
                asyncio.get_running_loop().call_later(SEND_AGAIN_S, self.kill, pid)
            except OSError:
                return  # the zygote is dead, and so is the worker

    async def close(self) -> None:
        """Hang up on the zygote, which ends it and its workers, and wait until it is gone."""
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        self._hang_up(zygote)
        try:
            await asyncio.to_thread(zygote.process.wait, 5)
        except subprocess.TimeoutExpired:
            zygote.process.kill()
            await asyncio.to_thread(zygote.process.wait)
        last_words(zygote)

    async def ready(self) -> Launched:
        """Return the zygote once it is ready, starting it if need be. Raises as `fork` does."""
        async with self._lock:
            while True:
                if self._zygote is None:
                    self._zygote = self._confinement.launch(self._place)
                if self._ready is None:
                    loop = asyncio.get_running_loop()
                    self._ready = loop.create_future()
                    loop.add_reader(self._zygote.control.fileno(), self._receive, self._zygote)
                zygote, was_decided = self._zygote, self._confinement.decided
                try:
                    await self._ready
                except WorkerLostError:
                    if was_decided or not self._confinement.decided:
                        raise
                    continue  # it cannot be confined, and another is started without
                return zygote

    def _hang_up(self, zygote: Launched) -> None:
        self._ready = None
        asyncio.get_running_loop().remove_reader(zygote.control.fileno())
        zygote.control.close()

    def _receive(self, zygote: Launched) -> None:
        while zygote is self._zygote:
            try:
                message = zygote.control.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._zygote_ended(zygote)
                return
            self._handle(json.loads(message), zygote)

    def _handle(self, answer: dict[str, int], zygote: Launched) -> None:
        if "ready" in answer:
            assert self._ready is not None
            self._ready.set_result(None)
            self._pid = answer["ready"]
            self._confinement.hold()
            events.emit(
                events.ZYGOTE_STARTED,
                pid=answer["ready"],
                sandbox=self._confinement.by,
                ms=clock.milliseconds_since(zygote.began),
            )
        elif "failed" in answer:
            future = self._forks.get(answer["failed"])
            if future is not None and not future.done():
                future.set_exception(OSError(answer["errno"], f"cannot fork: {os.strerror(answer['errno'])}"))
        elif "forked" in answer:
            self._children.add(answer["pid"])
            future = self._forks.get(answer["forked"])
            if future is not None and not future.done():
                future.set_result(answer["pid"])
            else:
                self.kill(answer["pid"])
        else:
            self._children.discard(answer["exited"])
            self._on_exit(answer["exited"], describe_status(answer["status"]), False)  # noqa: FBT003

    def _zygote_ended(self, zygote: Launched) -> None:
        """The zygote died, and the kernel has killed its workers: say so; the next fork starts another."""
        ready, self._zygote = self._ready, None
        self._hang_up(zygote)
        reason, pid, self._pid = "hung up", self._pid or zygote.process.pid, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            reason = describe_status(_own_status(zygote.process.wait(1), zygote))
        said = last_words(zygote)
        reason = f"{reason}: {said}" if said else reason
        lost: Exception = WorkerLostError(f"the zygote ended: {reason}", innocent=True)
        # A zygote that was killed says nothing, which is no sign that it cannot be confined.
        if self._confinement.decided or not said:
            events.emit(events.ZYGOTE_EXITED, pid=pid, reason=reason)
        else:
            try:
                self._confinement.fail(said)
            except SandboxError as error:
                lost = error
        for future in (*self._forks.values(), *((ready,) if ready is not None else ())):
            if not future.done():
                future.set_exception(lost)
        children, self._children = self._children, set()
        for pid in children:
            self._on_exit(pid, f"killed with its zygote ({reason})", True)  # noqa: FBT003


def _own_status(status: int, zygote: Launched) -> int:
    """Return how a zygote ended; bubblewrap tells a signal as a shell does."""
    return 128 - status if zygote.sandbox is not None and status > 128 else status


def describe_status(status: int) -> str:
    """Return an exit status, negative for a signal, in words."""
    words = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    # Where it is PID 1 it ends by itself when it gets the signal.
    return f"{words}, for more processor time than it may use" if abs(status) == signal.SIGXCPU else words
