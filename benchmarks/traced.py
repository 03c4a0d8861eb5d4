"""What a pass of the daemon asks of the kernel, counted by strace: system calls, and bytes that they move.

Counted are the daemon's own threads, not its workers. What a run costs by itself falls out: each figure is the
difference of two runs on logs of two sizes, by MiB or by byte of input. Neither waiting nor the ledger is counted: how
often threads wait for each other, and how many batches a commit takes, depends on how fast the machine is.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpus
from benchmarks.host import REPOSITORY, SHIPPED
from benchmarks.measure import MIB

SIZES = (2 * MIB, 10 * MIB)
MOVERS = ("read", "pread64", "readv", "preadv", "preadv2", "recvfrom", "recvmsg", "recv")
WRITERS = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "send")
COPIERS = ("sendfile", "splice", "copy_file_range", "tee", "vmsplice")
WAITS = ("futex", "epoll_wait", "epoll_pwait", "poll", "select", "restart_syscall")
LEDGER = "/state/"

_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>).*?(?:= (-?\d+).*)?$")


@dataclass(frozen=True, slots=True)
class Traced:
    """What the daemon did for `size` bytes of input: calls by name, and the bytes that those which move some moved."""

    size: int
    calls: Counter[str]
    moved: Counter[str]


def available() -> bool:
    """Tell whether strace is there and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def lay_out(folder: Path, size: int) -> None:
    """Make a new folder in which hostd will find so much access log, and the patience not to do anything twice."""
    (folder / "plugins.d").mkdir(parents=True)
    shipped = (SHIPPED / "access.py").read_text()
    patient = shipped.replace("# limits = { ", "# limits = { time_s = 600, ", 1)
    assert patient != shipped, "access.py has other limits than were thought"
    (folder / "plugins.d" / "access.py").write_text(patient)
    corpus.make(folder / "access.log", size)
    (folder / "hostd.toml").write_text('[[sources]]\npaths = ["access.log"]\n\n[workers]\nstart_timeout_s = 600\n')


def trace(folder: Path, size: int, program: tuple[str, ...] = ("-m", "hostd")) -> Traced:
    """Run the daemon once on so much access log, in a new folder. Raises RuntimeError when it fails."""
    lay_out(folder, size)
    traced = folder / "trace.txt"
    command = ["strace", "-f", "-y", "-qq", "-o", str(traced), sys.executable, *program]
    run_once(command, folder)
    return read(traced.read_text(errors="replace"), (folder / "access.log").stat().st_size)


def run_once(command: Sequence[str], folder: Path) -> None:
    """Run the daemon once, by this command, on what was laid out in a folder. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [*command, "run", "--config", str(folder / "hostd.toml"), "--once"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"hostd ended with {done.returncode}:\n{done.stderr[-2000:]}")


def read(text: str, size: int) -> Traced:
    """Count in what strace wrote: of the process that is named first, and of its threads."""
    own: set[str] = set()
    calls: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    threads_begun: set[str] = set()
    for line in text.splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        pid, name, how, returned = found.groups()
        own = own or {pid}
        if pid not in own:
            continue
        if name in {"clone", "clone3"}:
            if "CLONE_THREAD" in line:
                threads_begun.add(pid)
            if returned and pid in threads_begun:
                own.add(returned)
                threads_begun.discard(pid)
        if LEDGER in line or name in WAITS:
            continue
        calls[name] += how == "("
        if returned and int(returned) > 0 and name in {*MOVERS, *WRITERS, *COPIERS}:
            moved[name] += int(returned)
    return Traced(size, calls, moved)


def calls_per_mib(small: Traced, large: Traced) -> float:
    """Return how many system calls a MiB of input costs."""
    more = sum(large.calls.values()) - sum(small.calls.values())
    return more / ((large.size - small.size) / MIB)


def moved_per_byte(small: Traced, large: Traced) -> float:
    """Return how many bytes the daemon has the kernel copy, into it or out of it, for a byte of input."""
    return (sum(large.moved.values()) - sum(small.moved.values())) / (large.size - small.size)
