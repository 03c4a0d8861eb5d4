"""The state folder: whose it is, who may read it, whether there is room, and whether a daemon has it."""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from hostd.doctor.finding import Finding, note, ok, problem

LITTLE_MIB = 64
"""Room under which a disk counts as nearly full: a group commit takes 8 MiB and more."""


def check_state(path: Path) -> Iterator[Finding]:
    """Yield what is to be said of the state folder."""
    if not path.exists():
        yield note("state", path, "there is none; it is made at the first start")
        return
    status = path.stat()
    if not path.is_dir():
        yield problem("state", path, "it is no folder", "move it away, or set another [state] folder")
        return
    if status.st_uid != os.geteuid():
        yield problem(
            "state",
            path,
            f"it belongs to {_user(status.st_uid)}, and this is run as {_user(os.geteuid())}",
            "run hostd, and this, as the user that it belongs to, or change its owner",
        )
    if status.st_mode & 0o077:
        yield problem(
            "state", path, f"others may enter it: its mode is {status.st_mode & 0o7777:o}", f"chmod 700 {path}"
        )
    yield from check_room("state", path)
    yield ok("state", path, "no daemon has it")


def check_room(check: str, folder: Path) -> Iterator[Finding]:
    """Yield whether a folder's disk has room and can be written."""
    try:
        flags = os.statvfs(folder).f_flag
        free_mib = shutil.disk_usage(folder).free / (1 << 20)
    except OSError as error:
        yield problem(check, folder, f"it cannot be looked at: {error.strerror}", "let this user enter it")
        return
    if flags & os.ST_RDONLY:
        yield problem(check, folder, "its disk is mounted read-only", "mount it so that it can be written")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield problem(check, folder, f"{_user(os.geteuid())} may not write it", "change its owner or mode")
    if free_mib < LITTLE_MIB:
        yield problem(check, folder, f"its disk has {free_mib:.0f} MiB left", "free space on it")
    else:
        yield ok(check, folder, f"its disk has {free_mib:,.0f} MiB left")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
