"""A shell in which the commands of a page are typed, one after another, as its reader would."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.docs.fences import ROOT

TIMEOUT_S = 45.0
LOOK_S = 5.0
"""How long the last of several looks may take."""
QUIET_S = 0.15
LONG_QUIET_S = 0.8
"""For how long nothing more may come, while something runs in the background, before what came counts as all there
is; the long one where the page shows that it leaves out the rest."""
MOST_TICKS = 4
"""How much processor time (a tick is 10 ms) may be taken in the long one: what is being started says nothing for
seconds, where others want the processor too."""

_LOOK = re.compile(r"(?:sleep \S+; )?(?:cat|head|tail|wc|grep|sqlite3|hostd status|hostd dead list)\b")
"""What a reader types again after having looked too early, while a daemon works in the background."""

_TOO_EARLY = "no hostd is running on this state folder"
"""What is typed again too while something runs in the background: a daemon that was started, and needs longer."""

_VARIES = (
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{6}\b"), "<time>"),
    (re.compile(r"\b20(?:2[5-9]|[3-9]\d)-\d\d-\d\d(?:T\d\d:\d\d:\d\d\.\d{3}Z)?"), "<timestamp>"),
    (re.compile(r"\bpid([= ])\d+"), r"pid\1<pid>"),
    (re.compile(r"\bms=[\d.]+"), "ms=<ms>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{12}\b"), "<digest>"),
    (re.compile(r"\bin \d+\.\d\ds\b"), "in <seconds>s"),
)
"""What differs from run to run. A page shows what one run said; here both sides lose it."""


_UNCONFINED = re.compile(r"^.*\bsandbox\.unavailable\b.*\n", re.MULTILINE)
"""What the daemon says where bubblewrap does not work. The pages are recorded where it does."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed, and what the page shows of the answer."""

    text: str
    shown: str


def commands(body: str) -> list[Command]:
    """Split a console block: `$ ` begins a command, `> ` goes on with it, the rest is output."""
    found: list[tuple[list[str], list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif (line == ">" or line.startswith("> ")) and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            assert found, f"output before any command: {line!r}"
            found[-1][1].append(line)
    return [Command("\n".join(typed), "\n".join(shown).strip("\n")) for typed, shown in found]


def matches(shown: str, output: str) -> bool:
    """Compare output with what a page shows: `…` is any text in a line, and alone on a line any lines."""
    pattern = ""
    for line in _without_what_varies(shown).split("\n"):
        pattern += r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"[ ]*\n"
    return re.fullmatch(pattern, _without_what_varies(output).strip("\n") + "\n") is not None


def _without_what_varies(text: str) -> str:
    text = _UNCONFINED.sub("", text)
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    return text


class Session:
    """One shell in a folder of its own, with what the repository has for trying: examples, plugins, settings.

    It stands for a terminal, where the daemon logs for people: its settings say so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("examples", "plugins.d"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
        settings = (ROOT / "hostd.toml").read_text(encoding="utf-8")
        (folder / "hostd.toml").write_text(f'{settings}\n[log]\nformat = "console"\n', encoding="utf-8")
        self._output = folder.parent / f"{folder.name}.output"
        self._output.touch()
        self._seen = 0
        done_read, done_write = os.pipe()
        self._done = done_read
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOSTD_", "PYTEST_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "COLUMNS": "100",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self._output.open("ab") as out:
            self._shell = subprocess.Popen(
                ["bash", "--norc", "--noprofile"],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                pass_fds=[done_write],
                start_new_session=True,
            )
        os.close(done_write)
        self._done_fd = done_write

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._shell.pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and _group_lives(self._shell):
                time.sleep(0.02)
        self._shell.wait(5)
        os.close(self._done)

    def type(self, command: Command) -> None:
        """Type a command and wait for what the page shows. Raises AssertionError with both otherwise."""
        deadline = time.monotonic() + TIMEOUT_S
        looks = _LOOK.match(command.text) is not None
        while True:
            status = self._enter(command.text, deadline + LOOK_S)
            output = self._output_of(command, 0.0 if looks else deadline)
            again = looks or (_TOO_EARLY in output and self._jobs())
            if matches(command.shown, output) or not again or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert matches(command.shown, output), (
            f"$ {command.text}\nshown:\n{command.shown}\n\ncame (status {status}):\n{output}"
        )
        assert command.shown or status == 0, f"$ {command.text}\nended with {status}"

    def _enter(self, text: str, deadline: float) -> int:
        """Type a command; return its status once it has ended."""
        assert self._shell.stdin is not None
        # The status comes on a descriptor of its own, so that it never mixes with output.
        self._shell.stdin.write(f"{text}\n{{ echo $?; }} >&{self._done_fd}\n".encode())
        self._shell.stdin.flush()
        return self._wait_until_done(deadline)

    def _output_of(self, command: Command, deadline: float) -> str:
        """Return what came since the last command, once it is what the page shows and nothing more comes."""
        while True:
            output = self._new()
            if matches(command.shown, output) or _TOO_EARLY in output or time.monotonic() > deadline:
                ticks, is_long = self._ticks(), command.shown.endswith("…")
                if self._jobs():
                    time.sleep(LONG_QUIET_S if is_long else QUIET_S)
                rests = not is_long or self._ticks() - ticks <= MOST_TICKS or time.monotonic() > deadline
                if rests and self._new() == output:
                    self._seen += len(output.encode())
                    return output
            time.sleep(0.02)

    def _wait_until_done(self, deadline: float) -> int:
        answer = b""
        while not answer.endswith(b"\n"):
            readable, _, _ = select.select([self._done], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"the command does not end; so far:\n{self._new()}"
            chunk = os.read(self._done, 64)
            assert chunk, f"the shell ended; it said:\n{self._new()}"
            answer += chunk
        return int(answer)

    def _new(self) -> str:
        return self._output.read_bytes()[self._seen :].decode()

    def _jobs(self) -> bool:
        """Tell whether the shell has children, which may say something at any time."""
        return _children(self._shell.pid) is None or bool(_children(self._shell.pid))

    def _ticks(self) -> int:
        """Return how much processor time what runs has taken, and what it has waited for."""
        ticks, pids = 0, [self._shell.pid]
        while pids:
            pid = pids.pop()
            pids += _children(pid) or []
            with suppress(OSError):
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        return ticks


def _children(pid: int) -> list[int] | None:
    """Return a process's children; None where the system does not say."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return None


def _group_lives(shell: subprocess.Popen[bytes]) -> bool:
    shell.poll()
    try:
        os.killpg(shell.pid, 0)
    except ProcessLookupError:
        return False
    return True
