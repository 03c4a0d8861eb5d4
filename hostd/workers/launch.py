"""Start a zygote. Imports next to nothing, so that a command can do this first and load the rest meanwhile."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Place:
    """What workers are surrounded by: those of equal places are forked from one zygote.

    `packages` is the folder of an environment's packages, empty for the environment that all share.
    """

    packages: str = ""


SHARED = Place()


@dataclass(frozen=True, slots=True)
class Launched:
    """A zygote that was started: for which place, its process, the daemon's end of its socket, when (monotonic)."""

    place: Place
    process: subprocess.Popen[bytes]
    control: socket.socket
    began: float


def launch(place: Place = SHARED) -> Launched:
    """Start a zygote without waiting until it is ready. It ends when `control` is closed, or this process ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    began = time.monotonic()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, *_zygote(place, theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the daemon to act on, not for workers
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
        )
    return Launched(place, process, ours, began)


def _zygote(place: Place, fd: int) -> list[str]:
    """Return what Python is told, to run the zygote of a place."""
    wanted = [str(fd), str(os.getpid())]
    if not place.packages:
        return ["-I", "-m", "hostd.workers.zygote", *wanted]
    from importlib.util import find_spec
    from pathlib import Path

    here = Path(__file__)
    own_folders = [str(here.parents[2])]
    msgspec = find_spec("msgspec")
    if msgspec is not None and msgspec.origin is not None:
        own_folders.append(str(Path(msgspec.origin).parents[1]))
    return ["-I", "-S", str(here.with_name("boot.py")), *wanted, place.packages, *own_folders]
