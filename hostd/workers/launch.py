"""Start a zygote. Imports next to nothing, so that a command can do this first and load the rest meanwhile."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hostd.workers import sandbox as sandboxes
from hostd.workers.sandbox import Sandbox

_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Place:
    """What workers are surrounded by: those of equal places are forked from one zygote.

    `packages` is the folder of an environment's packages, empty for the environment that all share; `network` and
    `paths` are what the operator granted beyond what all have.
    """

    packages: str = ""
    network: bool = False
    paths: tuple[str, ...] = ()


SHARED = Place()


@dataclass(frozen=True, slots=True)
class Launched:
    """A zygote that was started: its process, the daemon's end of its socket, when (monotonic).

    With a `sandbox` the process is bubblewrap's, and its standard error a pipe to be read when it has ended.
    """

    process: subprocess.Popen[bytes]
    control: socket.socket
    began: float
    sandbox: Sandbox | None


def launch(place: Place = SHARED, sandbox: Sandbox | None = None) -> Launched:
    """Start a zygote without waiting until it is ready. It ends when `control` is closed, or this process ends.

    Raises OSError when there can be no process, FileNotFoundError among them when bubblewrap is not installed.
    """
    _keep_capabilities()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    began = time.monotonic()
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    confinement = "" if sandbox is None else "network" if place.network else "confined"
    command = _python(place, [str(theirs.fileno()), str(os.getpid()), confinement])
    if sandbox is not None:
        command = sandboxes.command(command, sandbox, place.packages, place.paths, network=place.network)
        environment = sandboxes.environment(environment, place.packages, place.paths)
    try:
        with theirs:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if sandbox is None else subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is for the daemon to act on, not for workers
                env=environment,
            )
    except OSError:
        ours.close()
        raise
    return Launched(process, ours, began, sandbox)


def _keep_capabilities() -> None:
    """Have nothing that this process starts from now on get the capabilities that a unit gave it.

    To open a port below 1024 is the daemon's business alone; and bubblewrap refuses to run with any. Raises OSError.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:  # not Linux
        return
    ambient = status.partition(b"\nCapAmb:")[2].split(maxsplit=1)[:1]
    if any(int(each, 16) for each in ambient):
        from hostd.workers import confine

        confine.clear_ambient_capabilities()


def _python(place: Place, arguments: list[str]) -> list[str]:
    """Return the command of a place's zygote."""
    if not place.packages:
        return [sys.executable, "-I", "-m", "hostd.workers.zygote", *arguments]
    from importlib.util import find_spec

    here = Path(__file__)
    own_folders = [str(here.parents[2])]
    msgspec = find_spec("msgspec")
    if msgspec is not None and msgspec.origin is not None:
        own_folders.append(str(Path(msgspec.origin).parents[1]))
    return [sys.executable, "-I", "-S", str(here.with_name("boot.py")), *arguments, place.packages, *own_folders]
