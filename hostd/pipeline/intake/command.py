"""The output of a command as a source: run, run again when it ends, and ended with all that it started.

A guard leads a process group of its own for it. When the source is closed the group is told to end, and killed when it
does not; when the daemon is killed, the guard kills it.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from typing import Any

from hostd import clock, events
from hostd.errors import SourceError
from hostd.pipeline.faults import explain
from hostd.pipeline.intake.inlet import Inlet
from hostd.pipeline.intake.intake import Doors
from hostd.pipeline.intake.pipe import PipeReader
from hostd.pipeline.intake.sparing import Sparing
from hostd.receiving import ExecSource

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
GOOD_RUN_S = 60.0
"""A command that has run for so long is started again as soon as one that has not failed yet."""
FAILED = 1
END_GRACE_S = 3.0
LAST_WORDS_S = 0.5
"""How long what a command that was ended has printed is waited for."""
SAID_BYTES = 2000
SAID_A_SECOND = 20
"""How many lines of its standard error are logged; of others it is said how many."""


class CommandIntake:
    """Runs one command for as long as the source is there."""

    def __init__(self, settings: ExecSource, doors: Doors) -> None:
        self.ended = asyncio.Event()
        self._settings = settings
        self._doors = doors
        self._name = f"exec:{settings.name}"
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0
        self._program = ""

    async def start(self) -> None:
        """Begin to run it.

        Raises SourceError when there is no such program, or no folder to run it in, OSError when the spool cannot be
        used.
        """
        if not self._settings.folder.is_dir():
            problem = f"there is no folder {str(self._settings.folder)!r}"
            raise SourceError("exec", self._settings.name, "folder", problem, "make it, or correct it")
        program = find_program(self._settings)
        if program is None:
            problem = f"there is no program {self._settings.command[0]!r}"
            raise SourceError("exec", self._settings.name, "command", problem, "correct its command")
        self._program = program
        output = await self._doors.open("exec", self._settings.name, self._settings, self)
        said: Inlet | None = None
        if self._settings.stderr == "source":
            said = await self._doors.open("exec", f"{self._settings.name}.stderr", self._settings, self)
        self._task = self._doors.tasks.start(self._run(output, said), self._name)

    async def close(self, grace_s: float) -> None:  # noqa: ARG002 - nobody waits to be answered
        """End the command, its group with it. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def status(self) -> dict[str, Any]:
        """Return the process, and how often it was started."""
        pid = self._process.pid if self._process is not None else None
        return {"listening": [], "pid": pid, "starts": self._starts}

    async def _run(self, output: Inlet, said: Inlet | None) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            began = clock.monotonic()
            try:
                status = await self._run_once(output, said)
                reason = _ending(status)
            except OSError as error:
                status, reason = FAILED, f"it cannot be run: {explain(error)}"
            if clock.monotonic() - began >= GOOD_RUN_S:
                retry_s = FIRST_RETRY_S
            again = self._settings.restart == "always" or (self._settings.restart == "on-failure" and status != 0)
            events.emit(events.EXEC_ENDED, source=self._name, reason=reason, retry_s=retry_s if again else None)
            if not again:
                self.ended.set()
                return
            self.ended.set()  # for `--once`, which waits for one run
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, LONGEST_RETRY_S)

    async def _run_once(self, output: Inlet, said: Inlet | None) -> int:
        """Run it to its end, and spool what it prints to the last byte; return its status."""
        inlets = [output] if said is None else [output, said]
        async with contextlib.AsyncExitStack() as stack:
            ends = [asyncio.Event() for _ in inlets]
            pipes: list[int] = []
            try:
                for inlet, ended in zip(inlets, ends, strict=True):
                    await self._end_line(inlet)
                    reading, writing = os.pipe2(os.O_CLOEXEC)
                    stack.callback(os.close, reading)
                    pipes.append(writing)
                    reader = PipeReader(reading, inlet, ended.set)
                    stack.callback(reader.close)
                    reader.start()
                    stack.push_async_callback(reader.emptied)
                process = await self._spawn(pipes)
            finally:
                for writing in pipes:
                    os.close(writing)
            listening = asyncio.create_task(self._listen(process)) if process.stderr is not None else None
            stack.push_async_callback(_wait_all, ends, listening)
            stack.push_async_callback(self._end_group, process)
            status = await process.wait()
            # What it has left behind may hold its output open, and go on writing: that belongs to it.
            await asyncio.gather(*(ended.wait() for ended in ends), *([listening] if listening is not None else []))
        for inlet in inlets:
            await self._end_line(inlet)
        return status

    async def _end_line(self, inlet: Inlet) -> None:
        """Spool a line feed where the last run has left half a line, as soon as that is possible."""
        while True:
            try:
                inlet.end_line()
            except OSError:  # said by the inlet
                await asyncio.sleep(FIRST_RETRY_S)
            else:
                return

    async def _spawn(self, pipes: list[int]) -> asyncio.subprocess.Process:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-m", "hostd.pipeline.intake.guard", str(os.getpid())),
            self._program,
            *self._settings.command[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipes[0],
            stderr=pipes[1] if len(pipes) > 1 else asyncio.subprocess.PIPE,
            cwd=str(self._settings.folder),
            start_new_session=True,
        )
        self._starts += 1
        events.emit(events.EXEC_STARTED, source=self._name, pid=process.pid, command=list(self._settings.command))
        return process

    async def _end_group(self, process: asyncio.subprocess.Process) -> None:
        """Tell the whole group to end, and kill what has not a while later."""
        _kill(process.pid, signal.SIGTERM)
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_GRACE_S)
        _kill(process.pid, signal.SIGKILL)
        await process.wait()
        self._process = None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Log what it says on its standard error, and no more of it than can be read."""
        assert process.stderr is not None
        sparing = Sparing(SAID_A_SECOND)
        while True:
            try:
                line = await process.stderr.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
            except asyncio.LimitOverrunError as long:
                line = await process.stderr.readexactly(long.consumed)
            if not line:
                return
            if sparing.may():
                text = line[:SAID_BYTES].decode("utf-8", "replace").rstrip("\r\n")
                events.emit(events.EXEC_SAID, source=self._name, said=text, unsaid=sparing.take_unsaid())


def find_program(settings: ExecSource) -> str | None:
    """Return the path of a command's program, None where there is none; one with a slash counts from its folder."""
    name = settings.command[0]
    return shutil.which(str(settings.folder / name) if "/" in name else name)


def _ending(status: int) -> str:
    if status >= 0:
        return f"it exited with status {status}"
    try:
        return f"it was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was killed by signal {-status}"


async def _wait_all(ends: list[asyncio.Event], listening: asyncio.Task[None] | None) -> None:
    """Read what is left in pipes whose writers have ended, unless somebody else holds them open."""
    waits = [asyncio.create_task(ended.wait()) for ended in ends]
    tasks: list[asyncio.Task[Any]] = [*waits, *([listening] if listening is not None else [])]
    _, pending = await asyncio.wait(tasks, timeout=LAST_WORDS_S)
    for task in pending:
        task.cancel()


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(group, number)
