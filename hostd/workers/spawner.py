"""The daemon's end of a zygote: forks workers on demand, tells when one has ended, replaces a zygote that died."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

from hostd import clock, events
from hostd.errors import WorkerLostError

_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


class Spawner:
    """Starts one zygote and asks it for workers.

    `on_exit(pid, reason)` is called in the event loop for every worker that ends, after it was reaped.
    """

    def __init__(self, on_exit: Callable[[int, str], None]) -> None:
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None] | None = None
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._next = 0
        self._began = 0.0
        self._lock = asyncio.Lock()
        self._children: set[int] = set()

    def launch(self) -> None:
        """Start the zygote without waiting for it; its imports overlap with the caller's own start."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(0)
        self._began = clock.monotonic()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "hostd.workers.zygote", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon to act on, not for workers
                env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            )
        self._control = ours

    async def fork(self, theirs: Sequence[int]) -> int:
        """Fork a worker that gets the descriptors `theirs`; return its pid. Raises WorkerLostError."""
        await self._ensure_ready()
        assert self._control is not None
        self._next += 1
        number, future = self._next, asyncio.get_running_loop().create_future()
        self._forks[number] = future
        try:
            socket.send_fds(self._control, [json.dumps({"fork": number}).encode()], theirs)
            return int(await future)
        except OSError as error:
            raise WorkerLostError(f"the zygote does not answer: {error}") from error
        finally:
            self._forks.pop(number, None)

    def kill(self, pid: int) -> None:
        """SIGKILL a worker and all that it started. Returns at once; `on_exit` tells when it is gone."""
        if pid in self._children and self._control is not None:
            with contextlib.suppress(OSError):  # the zygote is dead, and so is the worker
                self._control.send(json.dumps({"kill": pid}).encode())

    async def close(self) -> None:
        """Hang up on the zygote, which ends it and its workers, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        try:
            await asyncio.to_thread(process.wait, 5)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _ensure_ready(self) -> None:
        async with self._lock:
            if self._process is None:
                self.launch()
            if self._ready is None:
                assert self._control is not None
                loop = asyncio.get_running_loop()
                self._ready = loop.create_future()
                loop.add_reader(self._control.fileno(), self._receive)
            await self._ready

    def _receive(self) -> None:
        assert self._control is not None
        while True:
            try:
                message = self._control.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._zygote_ended()
                return
            self._handle(json.loads(message))

    def _handle(self, answer: dict[str, int]) -> None:
        if "ready" in answer:
            assert self._ready is not None
            self._ready.set_result(None)
            events.emit(events.ZYGOTE_STARTED, pid=answer["ready"], ms=clock.milliseconds_since(self._began))
        elif "forked" in answer:
            self._children.add(answer["pid"])
            future = self._forks.get(answer["forked"])
            if future is not None and not future.done():
                future.set_result(answer["pid"])
            else:
                self.kill(answer["pid"])
        else:
            self._children.discard(answer["exited"])
            self._on_exit(answer["exited"], describe_status(answer["status"]))

    def _zygote_ended(self) -> None:
        """The zygote died, and the kernel has killed its workers: say so, and start another when asked to fork."""
        assert self._control is not None
        process, self._process = self._process, None
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        ready, self._ready = self._ready, None
        reason = "hung up"
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                reason = describe_status(process.wait(1))
            events.emit(events.ZYGOTE_EXITED, pid=process.pid, reason=reason)
        lost = WorkerLostError(f"the zygote ended: {reason}")
        for future in (*self._forks.values(), *((ready,) if ready is not None else ())):
            if not future.done():
                future.set_exception(lost)
        children, self._children = self._children, set()
        for pid in children:
            self._on_exit(pid, f"killed with its zygote ({reason})")


def describe_status(status: int) -> str:
    """Return an exit status, negative for a signal, in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
