"""What every peer can do: say whether it is installed, start on these files, tell when all is on disk, stop.

A peer reads one log and writes JSON lines to one file. Its configuration is written before the clock runs; from then
on it has a process group of its own, which `stop` ends.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.002
STILL_S = 0.3
"""So long must an output not grow before its lines are counted; the clock ends when it grew last."""
STOP_S = 30.0
CHUNK_BYTES = 1 << 20
FIELDS = ("client", "user", "method", "path", "protocol", "status", "bytes", "referer", "agent")
"""What all peers yield of an access log, beside the time."""


@dataclass(frozen=True, slots=True)
class Files:
    """A folder of the peer's own, the log that it reads, the JSON lines that it writes."""

    folder: Path
    log: Path
    out: Path


class Peer(ABC):
    """A program that hostd is compared to. One start at a time."""

    name: str
    install: str
    """How to get it, on Debian."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said = Path(os.devnull)

    @abstractmethod
    def version(self) -> str | None:
        """Return which version is installed; None: it is not."""

    @abstractmethod
    def prepare(self, files: Files) -> Sequence[str | Path]:
        """Write its configuration; return the command that starts it."""

    def start(self, files: Files) -> float:
        """Start it; return the monotonic time just before."""
        command = self.prepare(files)
        self._said = files.folder / "said.txt"
        began = time.monotonic()
        self._spawn(command, files)
        return began

    def _spawn(self, command: Sequence[str | Path], files: Files) -> None:
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                cwd=files.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """Return the environment that it runs in."""
        return dict(os.environ)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None
        return self._process

    def said(self) -> str:
        """Return the end of what it printed."""
        return self._said.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it, by force if it does not obey within `STOP_S`. May be called twice."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Parser(Peer):
    """A peer that parses access logs. `ends`: it ends by itself when all is written."""

    ends = False
    keeps_order = True
    agent = True
    """Whether it is a log agent that goes on: neither a tool for one pass, nor a loop in Python."""
    most_mib = 256
    """How much input it gets at most: slow ones get less, so that a turn takes seconds."""

    def wait(self, files: Files, lines: int, timeout_s: float) -> float:
        """Return the monotonic time at which `lines` records were on disk. Raises RuntimeError when they never are."""
        ends_at = time.monotonic() + timeout_s
        size, grew_at, counted = 0, time.monotonic(), -1
        while True:
            ended, now = self.process.poll() is not None, time.monotonic()
            now_size = files.out.stat().st_size if files.out.exists() else 0
            if now_size != size:
                size, grew_at = now_size, now
            settled = ended if self.ends else (ended or now - grew_at > STILL_S) and size != counted
            if settled:
                counted = size
                found = count_lines(files.out)
                if found >= lines and (not self.ends or self.process.returncode == 0):
                    return now if self.ends else grew_at
            if ended:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.said()}")
            if now > ends_at:
                raise RuntimeError(f"{self.name} has not written {lines} lines within {timeout_s:g} s:\n{self.said()}")
            time.sleep(LOOK_EVERY_S)

    def plain(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return a record of its output as text by hostd's names, so that peers can be compared."""
        return plain(record)


class Reloadable(Peer):
    """A peer whose parser of numbered lines can be replaced: version after version, each record saying which."""

    @abstractmethod
    def replace(self, files: Files, version: int) -> float:
        """Put a version in place, and have it taken up; return the monotonic time just before it was in place."""


def plain(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the `FIELDS` as they are written in an access log, and `at`: seconds since the epoch."""
    found = {name: "-" if record[name] is None else str(record[name]) for name in FIELDS}
    if "timestamp" in record:
        at = datetime.fromisoformat(record["timestamp"])
    else:
        at = datetime.strptime(record["time"], "%d/%b/%Y:%H:%M:%S %z")
    return {**found, "at": f"{at.timestamp():.3f}"}


def sample(parser: Parser, out: Path, every: int) -> list[dict[str, str]]:
    """Return every so many-th record of an output, as text by hostd's names."""
    with out.open("rb") as lines:
        return [parser.plain(json.loads(line)) for line in islice(lines, 0, None, every)]


def count_lines(path: Path) -> int:
    """Return the whole lines in a file; 0 when there is none."""
    return sum(chunk.count(b"\n") for chunk in _chunks(path)) if path.exists() else 0


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def scratch() -> Path:
    """Return the folder that `install.sh` fills: `HOSTD_PEERS`, or one in the user's cache."""
    if folder := os.environ.get("HOSTD_PEERS"):
        return Path(folder).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hostd-peers"


def program(*places: str) -> Path | None:
    """Return the first of some programs that is there: each a path in the scratch folder, or a name on the PATH."""
    for place in places:
        own = scratch() / place
        if own.is_file():
            return own
        if "/" not in place and (found := shutil.which(place, path=f"{os.environ.get('PATH', '')}:/usr/sbin")):
            return Path(found)
    return None


def ask(*command: str | Path | None) -> str | None:
    """Return what a program says when asked for its version, its first line; None: there is no such program."""
    if command[0] is None:
        return None
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)
    said = (done.stdout or done.stderr).strip()
    return said.splitlines()[0] if said and done.returncode == 0 else None
