"""A real `hostd run` in a folder of its own: started, watched, stopped, and its log read back."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "plugins.d"
WATCH_EVERY_S = 0.05


class Host:
    """One daemon in `folder`: plugins in `plugins.d/`, input in `logs/`, records in `out/`, its log in `hostd.log`.

    `settings` are more lines of its hostd.toml.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.plugins = folder / "plugins.d"
        self.logs = folder / "logs"
        self.out = folder / "out"
        self.log = folder / "hostd.log"
        for made in (self.plugins, self.logs):
            made.mkdir(exist_ok=True)
        (folder / "hostd.toml").write_text(
            '[[sources]]\npaths = ["logs/**/*"]\n\n[log]\nformat = "json"\n\n' + settings
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.usage = Usage(0)

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None
        return self._process.pid

    def worker_pids(self, plugin: str) -> list[int]:
        """Return the worker processes of a plugin, by the name that they give themselves."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and (entry / "comm").read_text().rstrip("\n") == f"hostd:{plugin}"[:15]:
                    found.append(int(entry.name))
            except OSError:  # it has just ended
                continue
        return found

    def below(self, *names: str) -> list[int]:
        """Return the processes below the daemon that have given themselves one of these names."""
        return [pid for pid in descendants(self.pid) if comm(pid) in names]

    def kill(self) -> None:
        """Send SIGKILL to the daemon, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the daemon has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, once: bool = False, program: Sequence[str] = ("-m", "hostd")) -> float:
        """Start the daemon, again if need be; return the monotonic time just before. Its log goes on.

        `program` is what Python runs, found from the repository.
        """
        command = [sys.executable, *program, "run", "--config", str(self.folder / "hostd.toml")]
        with self.log.open("ab") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                [*command, "--once"] if once else command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stderr=log,
            )
        self.usage = Usage(self._process.pid)
        return began

    def wait(self, *, watch: bool = False) -> int:
        """Wait for the daemon's end, watching what it uses if that is wanted; return its exit code."""
        assert self._process is not None
        if watch:
            self.usage.start()
        try:
            return self._process.wait()
        finally:
            self.usage.stop()

    def stop(self) -> int:
        """Have the daemon finish and stop; return its exit code. May be called twice."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the daemon's log events of these names, each with `at`: seconds since the epoch.

        Raises RuntimeError when the log holds anything else, such as a traceback.
        """
        found = []
        written = self.log.read_bytes()
        for line in written[: written.rfind(b"\n") + 1].splitlines():  # the last one may be half there
            try:
                event = json.loads(line)
            except ValueError as error:
                raise RuntimeError(
                    f"the daemon's log holds what is no event: {line!r}\n{self.log.read_text()}"
                ) from error
            if event["event"] in names:
                event["at"] = datetime.fromisoformat(event["timestamp"]).timestamp()
                found.append(event)
        return found

    def event(self, name: str) -> dict[str, Any]:
        """Return the first event of this name. Raises RuntimeError with the log when there is none."""
        found = self.events(name)
        if not found:
            raise RuntimeError(f"the daemon logged no {name}:\n{self.log.read_text()}")
        return found[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()


class Usage:
    """What the daemon's process, without its workers, used by its end: peak RSS in bytes, CPU seconds by thread."""

    def __init__(self, pid: int) -> None:
        self.peak_rss = 0
        self.main_thread_s = 0.0
        self.other_threads_s = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look now and then until stopped, since the figures go with the process: more often costs what is measured."""
        if Path("/proc/self/task").exists():
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        ticks_s = os.sysconf("SC_CLK_TCK")
        main, status = f"/proc/{self._pid}/task/{self._pid}", Path(f"/proc/{self._pid}/status")
        while not self._ended.wait(WATCH_EVERY_S):
            try:
                peak = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
                in_main, in_all = (_ticks(Path(f"{path}/stat")) / ticks_s for path in (main, f"/proc/{self._pid}"))
            except (OSError, IndexError):
                return
            if peak:  # a process that is ending has no memory any more
                self.peak_rss = int(peak[0].split()[1]) << 10
                self.main_thread_s, self.other_threads_s = in_main, in_all - in_main


def _ticks(stat: Path) -> int:
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def descendants(pid: int) -> list[int]:
    """Return the processes that one has started, and those that they have."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it has just ended
        return []
    return [*children, *(each for child in children for each in descendants(child))]


def cpu_s(pid: int) -> float:
    """Return the processor seconds, user and system, that a process has used."""
    return _ticks(Path(f"/proc/{pid}/stat")) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Return the memory of a process that is resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held_bytes(pids: Sequence[int]) -> int:
    """Return the memory of some processes that is resident now, as if there were no others.

    Their pages of files, such as libraries, are counted once, however many of them have these; all others in each.
    """
    own, of_files = 0, Counter[str]()
    for pid in pids:
        of_this = Counter[str]()
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            label, *values = line.split()
            if not label.endswith(":"):
                file = values[4] if len(values) > 4 else ""
            elif label == "Rss:":
                of_this[file] += int(values[0]) << 10
            elif label == "Anonymous:":
                of_this[file] -= int(values[0]) << 10
                own += int(values[0]) << 10
        of_files |= of_this
    return own + of_files.total()


def wake_ups(pid: int) -> int:
    """Return how often the threads of a process have waited for something, and gone on."""
    lines = [line for task in Path(f"/proc/{pid}/task").iterdir() for line in (task / "status").read_text().split("\n")]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def comm(pid: int) -> str:
    """Return the name of a process, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""
