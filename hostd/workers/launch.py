"""Start a zygote. Imports next to nothing, so that a command can do this first and load the rest meanwhile."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

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
    """A zygote that was started: for which place, its process, the daemon's end of its socket, when (monotonic).

    With a `sandbox` the process is bubblewrap's, and its standard error a pipe to be read when it has ended.
    """

    place: Place
    process: subprocess.Popen[bytes]
    control: socket.socket
    began: float
    sandbox: Sandbox | None


def launch(place: Place = SHARED, sandbox: Sandbox | None = None) -> Launched:
    """Start a zygote without waiting until it is ready. It ends when `control` is closed, or this process ends.

    Raises OSError when there can be no process, FileNotFoundError among them when bubblewrap is not installed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    began = time.monotonic()
    command = [sys.executable, "-I", "-m", "hostd.workers.zygote", str(theirs.fileno()), str(os.getpid())]
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    if sandbox is not None:
        more = [path for path in (place.packages, *place.paths) if path]
        command += ["network" if place.network else "confined"]
        command = sandboxes.command(command, sandbox, more, network=place.network)
        environment = sandboxes.environment(environment, more)
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
    return Launched(place, process, ours, began, sandbox)
