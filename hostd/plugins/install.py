"""uv, run as a process of its own: requirements to a folder of packages.

Only wheels are installed, since to build one is to run foreign code as the daemon's user. Where packages come from is
uv's own affair: its variables and files, as if it were called in the daemon's place.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

TIMEOUT_S = 300.0
MAX_REASON = 1000


class InstallError(Exception):
    """Requirements that could not be installed: why, what to do, and whether it may pass by itself."""

    def __init__(self, reason: str, remedy: str, *, transient: bool) -> None:
        self.reason = reason
        self.remedy = remedy
        self.transient = transient
        super().__init__(reason)


async def install(requirements: Iterable[str], folder: Path, find_links: Iterable[Path]) -> None:
    """Install `requirements` into `folder`, from what is at hand if that suffices. Raises InstallError.

    When it is cancelled nothing goes on running.
    """
    options = ["--target", str(folder), "--python", sys.executable, "--no-build", "--compile-bytecode"]
    options += ["--no-progress", "--color", "never"]
    for links in find_links:
        options += ["--find-links", str(links)]
    call = [_find_uv(), "pip", "install", *options]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, said = await _run([*call, "--offline", "--", *requirements])
            if status:
                status, said = await _run([*call, "--", *requirements])
    except TimeoutError as error:
        raise InstallError(
            f"uv did not end within {TIMEOUT_S:g} s", "look at the network and at uv's index settings", transient=True
        ) from error
    except OSError as error:
        raise InstallError(f"uv cannot be run: {error}", "free processes or memory", transient=True) from error
    if status:
        is_unsolvable = "No solution found" in said
        raise InstallError(
            _reason(said) or f"uv ended with status {status}",
            "widen them, or put wheels that fit into an index of uv's or a folder of [plugins] find_links"
            if is_unsolvable
            else "look at the network, and at uv's settings",
            transient=not is_unsolvable,
        )


def _find_uv() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise InstallError(
            "uv, which installs them, is not there",
            "pip install 'hostd[environments]', or put uv on the daemon's PATH",
            transient=False,
        )
    return found


async def _run(call: list[str]) -> tuple[int, str]:
    """Run a program to its end; return its status and what it said. It ends with this task, and with this process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-m", "hostd.workers.leash", str(os.getpid())),
        *call,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


_CROSS = "\u00d7"
_JOINT = re.compile(rf"(?P<cause>caused by:|cause:|╰─▶|├─▶)\s*|(?:error:|[{_CROSS}│])\s*", re.IGNORECASE)


def _reason(said: str) -> str:
    """Return uv's complaint in one line, without what it says of its progress."""
    lines = [line.strip() for line in said.splitlines()]
    starts = (number for number, line in enumerate(lines) if line.lower().startswith(("error:", _CROSS)))
    text = ""
    for line in filter(None, lines[next(starts, len(lines)) :]):
        joint = _JOINT.match(line)
        words = line[joint.end() :] if joint else line
        text = f"{text.rstrip('.:')}: {words}" if joint and joint["cause"] else f"{text} {words}"
    return text.strip().rstrip(".")[:MAX_REASON]
