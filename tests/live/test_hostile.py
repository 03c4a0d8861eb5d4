"""Plugins that mean harm: what each tries fails, and the daemon and another plugin go on without loss.

Each is tried under a daemon of the user who runs the tests, and, if that is root, of one without rights too.
"""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .harness import Daemon, Home, plugin

NOBODY = 65534
SECRET = "a secret of the operator's"
VICTIM = "of_somebody_else.py"
"""The file of the plugin that behaves, named as no library has one."""


@dataclass
class Arena:
    """A daemon with a plugin that behaves, `lines`, and what hostile ones go after."""

    home: Home
    daemon: Daemon
    tcp: socket.socket
    udp: socket.socket
    abstract: socket.socket
    expected: list[str] = field(default_factory=list)
    deeds: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What an attacker may have found out."""
        (victim,) = (self.home.state / "artifacts").glob(f"*/{VICTIM}")
        return {
            "home": str(self.home.path),
            "victim": str(victim),
            "daemon": self.daemon.pid,
            "zygote": self.daemon.zygote,
            "worker": next(iter(self.daemon.workers("lines"))),
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": self.abstract.getsockname().decode(),
        }

    def behave(self, line: str) -> None:
        """Have the plugin that behaves parse a line."""
        self.expected.append(line)
        self.home.append("a.log", line)
        self.daemon.wait_records("lines", len(self.expected))

    def attempt(self, code: str, *, manifest: str = "") -> dict[str, Any]:
        """Drop a plugin that runs `code` with an attacker's facts; return its record of how that ended."""
        self.deeds += 1
        name = f"hostile{self.deeds}"
        self.behave(f"before {name}")
        self.home.drop(f"{name}.py", hostile(name, code, manifest))
        self.home.append(f"{name}.{name}", json.dumps(self.facts))
        (record,) = self.daemon.wait_records(name, 1)
        self.check(f"after {name}")
        (self.home.plugins / f"{name}.py").unlink()
        self.daemon.wait_event("generation.retired", plugin=name)
        return record

    def check(self, line: str) -> None:
        """Check that the daemon is the same, and has lost nothing of the plugin that behaves."""
        self.behave(line)
        assert self.home.lines() == self.expected
        assert self.daemon.status()["daemon"]["pid"] == self.daemon.pid
        assert not self.daemon.seen("worker.exited", plugin="lines")
        assert not self.daemon.seen("zygote.exited")


def hostile(name: str, code: str, manifest: str = "") -> str:
    """Return the source of a plugin that does `code` for a line of facts, and tells what came of it."""
    deed = (
        "import ctypes, json, os, resource, signal, socket, subprocess, sys, tempfile, threading, time\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n\n\n"
        "def called(result):\n"
        "    if result == -1:\n"
        "        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n"
        "    return result\n\n\n"
        f"def deed(facts):\n{textwrap.indent(textwrap.dedent(code).strip(), '    ')}\n"
    )
    outcome = (
        "    try:\n"
        '        return {"done": repr(deed(json.loads(line)))}\n'
        "    except BaseException as error:\n"
        '        return {"refused": f"{type(error).__name__}: {error}"}\n'
    )
    source = plugin(name, glob=f"*.{name}", code=deed, manifest=manifest)
    return source.replace('    return {"line": line, "by": "1.0.0"}\n', outcome)


def can_run_hostd(uid: int) -> bool:
    """Tell whether that user can read this Python and what it imports."""
    command = [sys.executable, "-I", "-c", "import hostd.daemon"]
    try:
        done = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True, check=False, cwd="/")
    except PermissionError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module", params=["same user", "user without rights"])
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    """A daemon for all deeds: each must leave it as it was."""
    uid = None if request.param == "same user" else NOBODY
    if uid is not None and os.geteuid() != 0:
        pytest.skip("the tests run as a user without rights already")
    if uid is not None and not can_run_hostd(uid):
        pytest.skip(f"{sys.executable} is not for other users to read")
    folder = Path(tempfile.mkdtemp(prefix="hostd-arena-"))
    folder.chmod(0o755)
    home = Home(folder / "home", uid)
    with socket.create_server(("127.0.0.1", 0)) as tcp, _udp() as udp, _abstract() as abstract:
        try:
            home.drop(VICTIM, plugin(code=f"\nSECRET = {SECRET!r}\n"))
            daemon = home.start()
            arena = Arena(home, daemon, tcp, udp, abstract)
            arena.behave("first")
            if (by := daemon.status()["sandbox"])["by"] == "none":
                pytest.skip(f"there is no sandbox here: {by['reason']}")
            yield arena
        finally:
            home.end()
            shutil.rmtree(folder)


def _udp() -> socket.socket:
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)
    return udp


def _abstract() -> socket.socket:
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0hostd-arena-{os.getpid()}")
    abstract.listen()
    abstract.setblocking(False)
    return abstract


# Reading


@pytest.mark.parametrize(
    "path",
    [
        "{home}/state/ledger.db",
        "{home}/state/lock",
        "{home}/hostd.toml",
        "{home}/logs/a.log",
        "{home}/out/lines.ndjson",
        f"{{home}}/plugins.d/{VICTIM}",
        "{victim}",
        f"/artifacts/{{victim_digest}}/{VICTIM}",
        "/etc/shadow",
        "/etc/passwd",
        "/proc/{daemon}/environ",
        "/proc/{daemon}/mem",
        "/proc/{zygote}/root/etc/passwd",
        "/proc/self/environ",
        "/dev/mem",
        "/dev/zero",
    ],
)
def test_it_cannot_read(arena: Arena, path: str) -> None:
    """Neither what is the daemon's, nor another plugin's, nor the machine's."""
    victim = Path(arena.facts["victim"])
    path = path.format(**arena.facts, victim_digest=victim.parent.name)
    record = arena.attempt(f"return open({path!r}, 'rb').read(16)")
    assert record["refused"].startswith("FileNotFoundError")


def test_it_finds_nothing_of_the_daemon_anywhere(arena: Arena) -> None:
    """All that it can list holds neither the state folder, sources, sinks nor another plugin."""
    record = arena.attempt(
        """
        wanted = {"ledger.db", "hostd.sock", "hostd.toml", "a.log", "lines.ndjson", "VICTIM"}
        return [os.path.join(at, name) for at, folders, names in os.walk("/") for name in wanted & {*folders, *names}]
        """.replace("VICTIM", VICTIM)
    )
    assert record["done"] == "[]"


def test_it_sees_its_own_artifact_and_no_other(arena: Arena) -> None:
    """The store is covered; its own file is there, to read."""
    record = arena.attempt("return os.listdir('/plugin'), os.listdir('/artifacts'), os.listdir('/proc')")
    assert record["done"] == f"(['hostile{arena.deeds}.py'], [], [])"


def test_it_sees_no_environment_of_the_daemon(arena: Arena) -> None:
    """What the daemon was started with may hold a secret."""
    record = arena.attempt("return sorted(os.environ)")
    assert "TMPDIR" in record["done"]
    # Python itself sets LC_CTYPE where it is given no locale (PEP 538).
    own = set() if {"LANG", "LC_ALL"} & os.environ.keys() else {"LC_CTYPE"}
    assert set(ast.literal_eval(record["done"])) <= {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME", "PWD"} | own


@pytest.mark.parametrize("pid", ["daemon", "zygote", "worker"])
def test_it_cannot_look_into_another_process(arena: Arena, pid: str) -> None:
    """Neither by its memory, nor as a debugger, nor by a handle on it."""
    record = arena.attempt(
        f"""
        pid, refused = facts[{pid!r}], []
        for call in (
            lambda: libc.ptrace(16, pid, 0, 0),
            lambda: libc.process_vm_readv(pid, None, 0, None, 0, 0),
            lambda: libc.syscall(434, pid, 0),
        ):
            try:
                called(call())
            except OSError as error:
                refused.append(error.errno)
        return refused
        """
    )
    assert record["done"] == "[1, 1, 1]"


# Talking


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('127.0.0.1', facts['tcp']), 2)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', facts['udp']))",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(socket.AF_UNIX).connect(facts['home'] + '/state/hostd.sock')",
        "socket.socket(socket.AF_UNIX).connect(facts['abstract'])",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK)",
    ],
    ids=["tcp", "udp", "ipv6", "control socket", "abstract", "netlink", "packet", "vsock"],
)
def test_it_cannot_open_a_socket(arena: Arena, code: str) -> None:
    """Nothing arrives, whatever the family."""
    record = arena.attempt(code)
    assert record["refused"] == "PermissionError: [Errno 1] Operation not permitted"
    with pytest.raises(BlockingIOError):
        arena.udp.recv(1)
    with pytest.raises(BlockingIOError):
        arena.abstract.accept()


def test_what_was_granted_the_network_has_that_and_no_more(arena: Arena) -> None:
    """TCP as the host has it; Unix sockets, the daemon's among them, stay out of reach."""
    arena.home.configure(f"[plugins.sandbox.grants.hostile{arena.deeds + 1}]\nnetwork = true\n")
    arena.daemon.rescan()
    record = arena.attempt(
        """
        socket.create_connection(("127.0.0.1", facts["tcp"]), 5).close()
        refused = []
        for address in (facts["abstract"], facts["home"] + "/state/hostd.sock"):
            try:
                socket.socket(socket.AF_UNIX).connect(address)
            except OSError as error:
                refused.append(error.errno)
        return refused, os.path.exists(facts["home"])
        """,
        manifest="needs = { network = true }",
    )
    assert record["done"] == "([1, 1], False)"
    arena.tcp.settimeout(5)
    arena.tcp.accept()[0].close()


# Signals


@pytest.mark.parametrize("pid", ["facts['daemon']", "facts['zygote']", "facts['worker']", "-1", "-facts['worker']"])
def test_it_can_signal_nobody(arena: Arena, pid: str) -> None:
    """Their numbers name no process where it is."""
    record = arena.attempt(f"os.kill({pid}, signal.SIGKILL)")
    assert record["refused"] == "ProcessLookupError: [Errno 3] No such process"


def test_signals_to_itself_reach_nobody_else(arena: Arena) -> None:
    """Its group, and its parent as it sees it, are itself."""
    record = arena.attempt("os.killpg(0, signal.SIGTERM); os.kill(os.getppid(), signal.SIGTERM); return os.getppid()")
    assert record["done"] == "0"


# Writing


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/etc/x",
        "/usr/lib/x",
        "/dev/x",
        "/proc/x",
        "/plugin/x",
        "/artifacts/x",
        "{prefix}/lib/x",
        "{base}/lib/x",
        "{module}",
    ],
)
def test_it_can_write_nowhere_but_in_its_temporary_folder(arena: Arena, path: str) -> None:
    """Not even its own artifact, or the standard library that others share."""
    module = json.__file__
    path = path.format(prefix=sys.prefix, base=sys.base_prefix, module=module)
    record = arena.attempt(f"open({path!r}, 'a')")
    assert record["refused"].split(":")[0] in {"OSError", "PermissionError", "FileNotFoundError"}
    assert not Path(path).exists() or path == module


def test_it_cannot_change_the_kernels_settings(arena: Arena) -> None:
    """Not through /proc/sys, which uid 0 could write without any capability."""
    before = Path("/proc/sys/kernel/hostname").read_text()
    record = arena.attempt("open('/proc/sys/kernel/hostname', 'w').write('mine')")
    assert record["refused"].startswith("FileNotFoundError")
    assert Path("/proc/sys/kernel/hostname").read_text() == before


def test_it_has_a_temporary_folder_of_its_own_that_has_an_end(arena: Arena) -> None:
    """It fills up, in bytes and in files, and is gone with the worker."""
    record = arena.attempt(
        """
        size, count, chunk, big = 0, 0, bytes(1 << 20), []
        assert os.listdir(tempfile.gettempdir()) == []
        try:
            while size < 1 << 30:
                with open(f"{tempfile.gettempdir()}/big{size}", "wb", buffering=0) as file:
                    size += file.write(chunk)
        except OSError as error:
            big.append(error.errno)
        for name in os.listdir(tempfile.gettempdir()):
            os.unlink(f"{tempfile.gettempdir()}/{name}")
        try:
            while count < 1 << 20:
                open(f"{tempfile.gettempdir()}/{count}", "w").close()
                count += 1
        except OSError as error:
            big.append(error.errno)
        return big, size >> 20, count < 5000
        """
    )
    assert record["done"] == "([28, 28], 64, True)"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('/dev/shm/x', 'wb')", "FileNotFoundError"),
        ("os.memfd_create('x')", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 1 << 30)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 1 << 30, flags=0x22 | 0x100)", "PermissionError"),
        ("called(libc.shmget(0, 1 << 30, 0o1600))", "PermissionError"),
        ("bytearray(1 << 30)", "MemoryError"),
        ("import mmap; mmap.mmap(-1, 1 << 30, flags=0x22)", "OSError: [Errno 12]"),
    ],
    ids=["dev shm", "memory file", "shared memory", "a stack that grows", "system v", "heap", "private memory"],
)
def test_memory_that_no_limit_would_count_is_refused(arena: Arena, code: str, error: str) -> None:
    """What is counted ends at its limit."""
    assert arena.attempt(code)["refused"].startswith(error)


def test_it_cannot_blow_up_the_memory_files_that_it_shares_with_the_daemon(arena: Arena) -> None:
    """Each has the worker's memory limit as its greatest size."""
    record = arena.attempt(
        """
        refused = []
        for fd in range(64, 80):
            try:
                if os.fstat(fd).st_mode & 0o170000 == 0o100000:
                    os.pwrite(fd, b"x", 100 << 20)
            except OSError as error:
                refused.append(error.errno)
        return refused.count(27)
        """,
        manifest="limits = { memory_mib = 64 }",
    )
    assert record["done"] == "4"


# Processes


@pytest.mark.parametrize(
    "code",
    [
        "os.fork()",
        "subprocess.run(['/usr/bin/true'])",
        "os.posix_spawn(sys.executable, ['python'], {})",
        "os.execv(sys.executable, ['python'])",
        "import multiprocessing; multiprocessing.get_context('spawn').Process(target=print).start()",
        "called(libc.vfork())",
        "called(libc.unshare(0x10000000))",
        "called(libc.unshare(0x00020000))",
        "called(libc.mount(b'tmpfs', b'/plugin', b'tmpfs', 0, None))",
        "called(libc.umount2(b'/artifacts', 2))",
        "os.chroot('/plugin')",
        "called(libc.syscall(425, 8, 0))",
        "called(libc.syscall(321, 0, 0, 0))",
        "called(libc.prctl(1, 0, 0, 0, 0))",
    ],
    ids=[
        "fork",
        "run",
        "spawn",
        "exec",
        "multiprocessing",
        "vfork",
        "user namespace",
        "mount namespace",
        "mount",
        "umount",
        "chroot",
        "io_uring",
        "bpf",
        "outliving its zygote",
    ],
)
def test_it_can_make_no_process_and_no_namespace(arena: Arena, code: str) -> None:
    """So there is nothing to bomb with, and nothing to escape into."""
    assert arena.attempt(code)["refused"].startswith("PermissionError: [Errno 1] Operation not permitted")


def test_it_can_leave_its_session_and_is_still_ended(arena: Arena) -> None:
    """setsid makes no difference: it is the namespace that ends."""
    record = arena.attempt("os.setsid() if os.getpgrp() != os.getpid() else None; return os.getpid()")
    assert record["done"] == "1"


def test_threads_have_a_limit(arena: Arena) -> None:
    """Small ones too, which their memory would not stop for long."""
    record = arena.attempt(
        """
        threading.stack_size(32768)
        end, count = threading.Event(), 0
        try:
            while count < 20000:
                threading.Thread(target=end.wait, daemon=True).start()
                count += 1
        except RuntimeError:
            return count < 5000 or count
        finally:
            end.set()
        """
    )
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert record["done"] == "True" or (os.geteuid() == 0 and release < (6, 14))


@pytest.mark.parametrize("limit", ["NOFILE", "DATA", "FSIZE", "CORE", "STACK", "NPROC"])
def test_it_cannot_raise_its_own_limits(arena: Arena, limit: str) -> None:
    """They are hard."""
    record = arena.attempt(
        f"""
        soft, hard = resource.getrlimit(resource.RLIMIT_{limit})
        assert soft == hard != resource.RLIM_INFINITY, (soft, hard)
        resource.setrlimit(resource.RLIMIT_{limit}, (hard + 1, hard + 1))
        """
    )
    assert record["refused"] == "ValueError: not allowed to raise maximum limit"


def test_it_cannot_hold_more_than_its_share_of_open_files(arena: Arena) -> None:
    """256, its own sockets and memory files among them."""
    record = arena.attempt("return [os.open('/dev/null', os.O_RDONLY) for _ in range(300)]")
    assert record["refused"].startswith("OSError: [Errno 24]")


def test_a_thread_that_burns_a_core_is_ended(arena: Arena) -> None:
    """When it has used more processor time than its batches can need its worker ends; the next batch has another."""
    code = "threading.Thread(target=lambda: all(iter(lambda: True, False)), daemon=True).start(); return os.getpid()"
    name = f"burns{arena.deeds}"
    arena.home.drop(f"{name}.py", hostile(name, code, "limits = { time_s = 0.2 }"))
    arena.home.append(f"{name}.{name}", json.dumps(arena.facts))
    arena.daemon.wait_records(name, 1)
    ended = arena.daemon.wait_event("worker.exited", plugin=name, deadline_s=60)
    assert ended["reason"].endswith("for more processor time than it may use")
    arena.check(f"after {name}")
    (arena.home.plugins / f"{name}.py").unlink()
    arena.daemon.wait_event("generation.retired", plugin=name)


@pytest.mark.parametrize(
    "code",
    ["libc.abort()", "ctypes.string_at(0)", "os.kill(os.getpid(), signal.SIGSEGV); ctypes.string_at(0)", "os._exit(5)"],
    ids=["abort", "segfault", "signal", "exit"],
)
def test_a_worker_that_crashes_ends(arena: Arena, code: str) -> None:
    """PID 1 of its namespace or not: its line is set aside, and the next one has another worker."""
    arena.deeds += 1
    name = f"crashes{arena.deeds}"
    source = hostile(name, f"if facts == 1:\n    {code}\nreturn facts")
    arena.home.drop(f"{name}.py", source)
    arena.home.append(f"{name}.{name}", "0", "1", "2")
    records = arena.daemon.wait_records(name, 2)
    assert [record["done"] for record in records] == ["0", "2"]
    assert arena.daemon.wait_event("record.rejected", plugin=name)["preview"] == "1\n"
    arena.check(f"after {name}")
    (arena.home.plugins / f"{name}.py").unlink()
    arena.daemon.wait_event("generation.retired", plugin=name)


# What a plugin that means no harm can do all the same


def test_an_ordinary_plugin_misses_nothing(arena: Arena) -> None:
    """The standard library, lazily imported; time zones, locales, temporary files, threads."""
    record = arena.attempt(
        """
        import asyncio, csv, datetime, decimal, hashlib, locale, logging, lzma, sqlite3, ssl, uuid
        import xml.etree.ElementTree
        import concurrent.futures, importlib.resources, multiprocessing, random, zlib, zoneinfo
        from pathlib import Path
        locale.setlocale(locale.LC_ALL, "")
        zone = zoneinfo.ZoneInfo("Europe/Vienna")
        with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as file:
            database = sqlite3.connect(f"{folder}/x.db")
            database.execute("create table t (x)")
            database.close()
            file.write(b"x")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            squares = list(pool.map(lambda x: x * x, range(4)))
        async def three():
            return 3
        return (
            datetime.datetime(2026, 7, 1, tzinfo=zone).utcoffset().total_seconds(),
            squares,
            asyncio.run(three()),
            bool(ssl.create_default_context() and uuid.uuid4() and hashlib.sha256(os.urandom(9)) and random.random()),
            Path.home() == Path(tempfile.gettempdir()),
            importlib.resources.files("contract").joinpath("py.typed").is_file(),
        )
        """
    )
    assert record["done"] == "(7200.0, [0, 1, 4, 9], 3, True, True, True)"


def test_status_says_what_is_in_force(arena: Arena) -> None:
    """For the daemon, and for each plugin, with its limits."""
    status = arena.daemon.status()
    assert status["sandbox"] == {"by": "bubblewrap", "reason": ""}
    (served,) = status["plugins"]
    assert served["sandbox"] == {"by": "bubblewrap", "network": False, "paths": []}
    assert served["limits"] == {"time_s": 10.0, "memory_mib": 512, "open_files": 256}
    assert arena.daemon.seen("zygote.started")[0]["sandbox"] == "bubblewrap"


def test_nothing_was_left_behind(arena: Arena) -> None:
    """After all that, the daemon, its zygote and one worker live, beside the one forked ahead."""
    arena.daemon.wait(
        "no other process lives",
        lambda: len(arena.home.pids() - arena.home.spares()) == 3 and threading.active_count() < 10,
    )
