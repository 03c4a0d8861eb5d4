"""A real hostd in a folder of its own, and plugins to drop into it.

Nothing here sleeps to let something happen: every wait is for a condition, with a deadline, and a wait that fails
shows the daemon's whole log.
"""

import base64
import hashlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from hostd.control import client

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 20.0
POLL_S = 0.005

T = TypeVar("T")


def eventually(claim: str, condition: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
    """Return the first true value of `condition`; fail with `claim` when there is none before the deadline."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {claim}")
        time.sleep(POLL_S)
    return value


def plugin(
    name: str = "lines",
    version: str = "1.0.0",
    *,
    glob: str = "*.log",
    tag: str | None = None,
    manifest: str = "",
    code: str = "",
    dependencies: str = "",
) -> str:
    """Return the source of a plugin whose records say which version made them. `manifest` is TOML lines."""
    more = "".join(f"# {line}\n" for line in manifest.splitlines())
    return (
        "# /// script\n"
        '# requires-python = ">=3.11"\n'
        f"# dependencies = [{dependencies}]\n"
        "#\n"
        "# [tool.hostd]\n"
        f'# name = "{name}"\n'
        f'# version = "{version}"\n'
        '# contract = ">=1.0,<2"\n'
        f'# accepts = {{ names = ["{glob}"] }}\n'
        f"{more}"
        "# ///\n"
        '"""Lines, each with what parsed it."""\n'
        "\n"
        "from contract import Processor, Record, each_line\n"
        f"{code}"
        "\n"
        "\n"
        "def parse(line: str) -> Record:\n"
        f'    return {{"line": line, "by": "{tag or version}"}}\n'
        "\n"
        "\n"
        "def new_processor() -> Processor:\n"
        "    return each_line(parse)\n"
    )


def worse(version: str, word: str = "bad", does: str = "raise ValueError(line)", **more: str) -> str:
    """Return a plugin like `plugin` makes, for which lines that begin with `word` go wrong."""
    source = plugin(version=version, **more)
    mark = "    return {"
    assert source.count(mark) == 1
    return source.replace(mark, f"    if line.startswith({word!r}):\n        {does}\n{mark}")


def wheel(
    name: str = "lines",
    version: str = "1.0.0",
    *,
    glob: str = "*.log",
    requires: tuple[str, ...] = (),
    code: str = "",
) -> tuple[str, bytes]:
    """Return the file name and the bytes of a wheel with the same plugin in a package."""
    info = f"plugin_{name}-{version}.dist-info"
    requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"plugin_{name}/__init__.py": "from .lines import new_processor\n\n__all__ = ['new_processor']\n",
        f"plugin_{name}/lines.py": plugin(name, version, code=code),
        f"plugin_{name}/plugin.toml": f'contract = ">=1.0,<2"\naccepts = {{ names = ["{glob}"] }}\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: {version}\n{requirements}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[hostd.processors]\n{name} = plugin_{name}:new_processor\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # of no time: the same bytes each time
    return f"plugin_{name}-{version}-py3-none-any.whl", content.getvalue()


class Home:
    """A folder with its own hostd.toml, plugins.d, logs, out and state, and the daemons that were started in it.

    With `uid` they are started as that user, to whom the folder is given.
    """

    def __init__(self, path: Path, uid: int | None = None) -> None:
        self.path = path
        self.uid = uid
        self.settings = path / "hostd.toml"
        self.plugins = path / "plugins.d"
        self.logs = path / "logs"
        self.out = path / "out"
        self.state = path / "state"
        self.daemons: list[Daemon] = []
        self.stdin: int = subprocess.DEVNULL
        self.sandbox = "auto"
        self.variables: dict[str, str] = {}
        self._temporary = path / "tmp"
        self._dropped = 0
        for folder in (self.plugins, self.logs, self._temporary):
            folder.mkdir(parents=True)
        if uid is not None:
            for folder in (path, self._temporary):
                os.chown(folder, uid, uid)
        self.configure()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of what is started here; by its TMPDIR a process can be told to be ours."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        kept.pop("HOSTD_CONFIG", None)
        return {**kept, **self.variables, "TMPDIR": str(self._temporary)}

    def configure(
        self,
        more: str = "",
        *,
        paths: Iterable[str] = ("logs/**/*",),
        level: str = "debug",
        probation_s: float = 0,
        sandbox: str | None = None,
        sinks: str = '[[sinks]]\nkind = "ndjson"\nfolder = "out"\n',
    ) -> None:
        """Write hostd.toml, in one step.

        Without probation what was taken over from is retired at once; without a sandbox a plugin can meet the test,
        in files.
        """
        self.sandbox = sandbox or self.sandbox
        globs = ", ".join(f'"{path}"' for path in paths)
        text = (
            f'[plugins]\nfolder = "plugins.d"\nprobation = {{ length_s = {probation_s:g} }}\n'
            f'sandbox.mode = "{self.sandbox}"\n\n[[sources]]\npaths = [{globs}]\n\n'
            f'{sinks}\n[state]\nfolder = "state"\n\n'
            f'[log]\nformat = "json"\nlevel = "{level}"\n\n{more}'
        )
        temporary = self._temporary / "hostd.toml"
        temporary.write_text(text)
        temporary.replace(self.settings)

    def aside(self, content: str | bytes) -> Path:
        """Write a file where nobody looks, on the same file system."""
        self._dropped += 1
        path = self._temporary / f"aside-{self._dropped}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def drop(self, name: str, content: str | bytes) -> Path:
        """Move a file into the plugins folder, in one step, as `mv` does."""
        return self.aside(content).replace(self.plugins / name)

    def append(self, name: str, *lines: str | bytes) -> Path:
        """Append lines to a log, making it if it is not there. Text gets a line end, bytes are taken as they are."""
        path = self.logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines))
        return path

    def raw(self, processor: str) -> bytes:
        """Return the whole lines of out/<processor>.ndjson."""
        try:
            content = (self.out / f"{processor}.ndjson").read_bytes()
        except FileNotFoundError:
            return b""
        return content[: content.rfind(b"\n") + 1]

    def records(self, processor: str = "lines") -> list[dict[str, Any]]:
        """Return the records in out/<processor>.ndjson."""
        return [json.loads(line) for line in self.raw(processor).splitlines()]

    def lines(self, processor: str = "lines", source: str | None = None) -> list[str]:
        """Return the field `line` of the records, of one source if it is named."""
        return [record["line"] for record in self.records(processor) if source is None or record["@source"] == source]

    def hostd(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command of hostd here, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "hostd", *arguments],
            cwd=self.path,
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(
        self, *arguments: str, ready: bool = True, under: tuple[str, ...] = (), kind: "type[Daemon] | None" = None
    ) -> "Daemon":
        """Start `hostd run` here, by a command that becomes it if one is given, and wait until it is ready."""
        daemon = (kind or Daemon)(self, arguments, under)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_event("daemon.ready")
        return daemon

    def pids(self) -> set[int]:
        """Return the processes that live here: daemon, zygote, workers, and whatever they started.

        Not the bubblewrap that waits for a zygote, which is the same to a test.
        """
        return {pid for pid in self._pids() if comm(pid) != "bwrap"}

    def _pids(self) -> set[int]:
        variable = f"TMPDIR={self._temporary}".encode()
        # In the sandbox they have another temporary folder, and a folder of ours mounted where we do not see it: what a
        # test itself has mounted here, every process does.
        mounted, ours = f"/{self.path.parent.name}/{self.path.name}/".encode(), Path("/proc/self/ns/mnt").readlink()
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if variable in (folder / "environ").read_bytes().split(b"\0") or (
                        (folder / "ns/mnt").readlink() != ours and mounted in (folder / "mountinfo").read_bytes()
                    ):
                        found.add(int(folder.name))
        return found

    def spares(self) -> set[int]:
        """Return the workers that were forked ahead, and belong to no plugin yet."""
        return {pid for pid in self.pids() if comm(pid) == "hostd-spare"}

    def wait_empty(self, deadline_s: float = 5.0) -> None:
        """Wait until no process lives here."""
        eventually("no process is left", lambda: not self._pids(), deadline_s)

    def end(self) -> None:
        """Stop what still runs, kill what does not stop, and then say so."""
        complaints = []
        for daemon in self.daemons:
            if daemon.running:
                daemon.send(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    daemon.process.wait(DEADLINE_S)
                if daemon.process.poll() != 0:
                    complaints.append(f"did not stop with exit 0 but {daemon.process.poll()}")
        try:
            self.wait_empty()
        except AssertionError:
            left = {pid: command(pid) for pid in self.pids()}
            complaints.append(f"left behind: {left}")
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for daemon in self.daemons:
            daemon.finish()
            if daemon.noise:
                complaints.append("said on standard error what is no event:\n" + "\n".join(daemon.noise))
        assert not complaints, "\n".join([*complaints, *(daemon.log() for daemon in self.daemons)])


class Daemon:
    """One `hostd run`, and what it logs. `program` is what Python runs."""

    program: tuple[str, ...] = ("-m", "hostd")

    def __init__(self, home: Home, arguments: tuple[str, ...] = (), under: tuple[str, ...] = ()) -> None:
        self.home = home
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self.started_at = time.time()
        self._news = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [*under, sys.executable, *self.program, "run", "--config", str(home.settings), *arguments],
            cwd=home.path,
            env=home.environment,
            stdin=home.stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            user=home.uid,
            group=home.uid,
            extra_groups=None if home.uid is None else [],
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def zygote(self) -> int:
        """The process that workers are forked from."""
        with self._news:
            return next(event["pid"] for event in reversed(self.events) if event["event"] == "zygote.started")

    def workers(self, name: str | None = None) -> set[int]:
        """Return the worker processes that live; those of one plugin's last start if it is named."""
        alive = self.home.pids() - self.home.spares() - {self.pid, self.zygote}
        alive = {pid for pid in alive if comm(pid) != "hostd-zygote"}  # as a fork is called for a moment
        return (
            alive if name is None else alive & {event["pid"] for event in self.seen("generation.started", plugin=name)}
        )

    def seen(self, name: str, **keys: Any) -> list[dict[str, Any]]:
        """Return the events of this name with these keys, so far."""
        with self._news:
            return [event for event in self.events if _is(event, name, keys)]

    def wait_event(self, name: str, count: int = 1, deadline_s: float = DEADLINE_S, **keys: Any) -> dict[str, Any]:
        """Return the event of this name with these keys (the `count`th), waiting for it."""
        end = time.monotonic() + deadline_s
        with self._news:
            while True:
                found = [event for event in self.events if _is(event, name, keys)]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if left <= 0 or self._ended:
                    break
                self._news.wait(left)
        why = "the daemon has ended" if self._ended else f"not within {deadline_s:g} s"
        raise AssertionError(f"{why}: {name} {keys}, {count} times\n{self.log()}")

    def wait_records(self, processor: str, count: int, deadline_s: float = DEADLINE_S) -> list[dict[str, Any]]:
        """Return the records of a processor once there are `count`; more are a failure."""
        self.wait(
            f"{count} records of {processor}",
            lambda: self.home.raw(processor).count(b"\n") >= count,
            deadline_s,
        )
        records = self.home.records(processor)
        assert len(records) == count, f"{len(records)} records, expected {count}: {records[-5:]}\n{self.log()}"
        return records

    def wait(self, claim: str, condition: Callable[[], T], deadline_s: float = DEADLINE_S) -> T:
        """Return the first true value of `condition`; fail with the log when there is none before the deadline."""
        try:
            return eventually(claim, condition, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def wait_all_read(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Return the status once every source is committed to its end."""

        def all_read() -> dict[str, Any] | None:
            status = self.status()
            return status if all(s["offset"] == s["size"] for s in status["sources"]) else None

        return self.wait("every source is committed to its end", all_read, deadline_s)

    def status(self) -> dict[str, Any]:
        """Ask what `hostd status --json` asks."""
        answer: dict[str, Any] = client.ask(self.home.state / "hostd.sock", "GET", "/status")
        return answer

    def plugin(self, name: str) -> dict[str, Any] | None:
        """Return a plugin's part of the status, or None when it does not serve."""
        return next((p for p in self.status()["plugins"] if p["name"] == name), None)

    def source(self, name: str) -> dict[str, Any] | None:
        """Return a source's part of the status, or None when it is not read."""
        return next((s for s in self.status()["sources"] if s["name"] == name), None)

    def rescan(self) -> list[str]:
        """Have it look at everything again; return what changed."""
        changes: list[str] = client.ask(self.home.state / "hostd.sock", "POST", "/rescan")["changes"]
        return changes

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def hup(self) -> None:
        """Send SIGHUP."""
        self.send(signal.SIGHUP)

    def term(self, deadline_s: float = DEADLINE_S) -> int:
        """Send SIGTERM; return the exit code. Nothing of it is left running."""
        return self._stop(signal.SIGTERM, deadline_s)

    def interrupt(self, deadline_s: float = DEADLINE_S) -> int:
        """Send SIGINT; return the exit code. Nothing of it is left running."""
        return self._stop(signal.SIGINT, deadline_s)

    def kill9(self) -> None:
        """Send SIGKILL to the daemon alone. Its zygote and workers end by themselves."""
        self._stop(signal.SIGKILL, DEADLINE_S)

    def wait_exit(self, deadline_s: float = DEADLINE_S) -> int:
        """Return the exit code once it has ended. Nothing of it is left running."""
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {deadline_s:g} s\n{self.log()}") from None
        try:
            self.home.wait_empty()
        except AssertionError as error:
            left = {pid: command(pid) for pid in self.home.pids()}
            raise AssertionError(f"{error}: {left}\n{self.log()}") from None
        self.finish()
        return code

    def finish(self) -> None:
        """Read what is left of the log of a daemon that has ended."""
        self._reader.join(DEADLINE_S)
        assert self.process.stderr is not None
        if not self._reader.is_alive():
            self.process.stderr.close()

    def log(self) -> str:
        """Return the whole log."""
        with self._news:
            return "\n".join(
                [f"--- the log of pid {self.pid}", *(json.dumps(event) for event in self.events), *self.noise]
            )

    def _stop(self, number: signal.Signals, deadline_s: float) -> int:
        self.send(number)
        return self.wait_exit(deadline_s)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.noise.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class Writer:
    """Appends numbered lines to logs until it is told to stop, in a thread of its own."""

    def __init__(self, home: Home, names: Iterable[str], *, burst: int = 20, pause_s: float = 0.01) -> None:
        self.written: dict[str, list[str]] = {name: [] for name in names}
        self._home = home
        self._burst = burst
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    @contextmanager
    def writing(self) -> Iterator[Self]:
        """Write while the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(DEADLINE_S)

    def pause(self, seconds: float) -> None:
        """Let `seconds` of writing pass; at once when the writer has stopped."""
        self._stop.wait(seconds)

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            for name, written in self.written.items():
                lines = [f"{name} {number + k}" for k in range(self._burst)]
                self._home.append(name, *lines)
                written += lines
            number += self._burst
            self._stop.wait(self._pause_s)


@contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    """Hold the daemon still while the block runs."""
    daemon.send(signal.SIGSTOP)
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        daemon.send(signal.SIGCONT)


def wait_dead(pid: int, deadline_s: float = DEADLINE_S) -> None:
    """Wait until a process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], deadline_s)[0], f"pid {pid} has not ended within {deadline_s:g} s"
    finally:
        os.close(fd)


def command(pid: int) -> str:
    """Return a process's command line, for a message."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return "gone"


def _is(event: dict[str, Any], name: str, keys: dict[str, Any]) -> bool:
    return event["event"] == name and all(event.get(key) == value for key, value in keys.items())


def comm(pid: int) -> str:
    """Return the name that a process has given itself, for ps and top."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
