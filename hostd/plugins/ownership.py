"""Opening what only root and the daemon's user can change: the file, its folder, and every folder above.

The path is walked from `/` by descriptors: each folder is checked on the descriptor through which the next entry is
opened, links are followed by hand, and the file is checked on the descriptor that it is read from. So there is no
window: in a folder that has passed nobody else can put another entry in the place of one, and what was put there
while somebody could is met, and judged, as what it is.
"""

import errno
import grp
import os
import pwd
import shlex
import stat
from pathlib import Path

from hostd.errors import DistrustedError, Stage

MAX_LINKS = 40
"""As many as the kernel follows."""

# Searching a folder needs no permission to list it: with O_PATH neither does opening it.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_owned(path: Path, display: str) -> int:
    """Open a file for reading, not blocking, once it and every folder on the way to it have passed.

    A sticky folder passes: in it nobody can replace what is root's or ours, which the next entry must be. `display`
    is how messages call the file; folders are called by their path. Raises DistrustedError and OSError.
    """
    folder, place, name = _walk(path)
    try:
        fd = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _check(fd, place, display)
    except DistrustedError:
        os.close(fd)
        raise
    return fd


def check_folder(path: Path) -> None:
    """Check a folder that plugins are dropped into, and those above. Raises DistrustedError and OSError.

    It may not be sticky and open to all as those above may: others could not replace plugins, but add some.
    """
    folder, place, name = _walk(path)
    try:
        fd = os.open(name, _FOLDER, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _check(fd, place, place)
    finally:
        os.close(fd)


def _walk(path: Path) -> tuple[int, str, str]:
    """Return the folder that a path leads to, checked and open, and the place and name of what lies there, no link."""
    names = [*reversed(path.absolute().parts)]
    place, folder, links = "", -1, 0
    try:
        while True:
            if not names:
                return folder, place, "."
            name = names.pop()
            if name.startswith(os.sep):
                folder, place = _enter(folder, name, os.sep), os.sep
                continue
            entry = os.path.normpath(os.path.join(place, name))  # noqa: PTH118 - `..` of a folder, not of a name
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
                _check_link(folder, status, entry)
                names += reversed(Path(os.readlink(name, dir_fd=folder)).parts)
            elif names:
                folder, place = _enter(folder, name, entry), entry
            else:
                return folder, entry, name
    except BaseException:
        if folder >= 0:
            os.close(folder)
        raise


def _enter(folder: int, name: str, place: str) -> int:
    """Open and check a folder on the way; the one that it was reached through is closed."""
    entered = os.open(name, _FOLDER, dir_fd=folder if folder >= 0 else None)
    try:
        _check(entered, place, place, on_the_way=True)
    except BaseException:
        os.close(entered)
        raise
    if folder >= 0:
        os.close(folder)
    return entered


def _check(fd: int, place: str, where: str, *, on_the_way: bool = False) -> None:
    """Refuse what somebody else owns or may write. Raises DistrustedError."""
    status = os.fstat(fd)
    is_folder = stat.S_ISDIR(status.st_mode)
    _check_owner(status, where, "chown", place, transient=is_folder)
    mode = stat.S_IMODE(status.st_mode)
    loose = mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not loose or (on_the_way and mode & stat.S_ISVTX) or (loose == stat.S_IWGRP and _is_group_private(fd, status)):
        return
    who, letters = {
        stat.S_IWGRP: ("its group", "g"),
        stat.S_IWOTH: ("everyone", "o"),
        stat.S_IWGRP | stat.S_IWOTH: ("everyone", "go"),
    }[loose]
    raise DistrustedError(
        Stage.CHECKED,
        where,
        f"is writable by {who} (mode {mode:04o}), so others could change what runs",
        f"chmod {letters}-w {shlex.quote(place)}",
        transient=is_folder,
    )


def _check_link(folder: int, status: os.stat_result, place: str) -> None:
    """Refuse another's link in a sticky folder: elsewhere none but root and we can have put it there."""
    if os.fstat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        _check_owner(status, place, "chown -h", place, transient=True)


def _check_owner(status: os.stat_result, where: str, chown: str, place: str, *, transient: bool) -> None:
    if status.st_uid in (0, os.geteuid()):
        return
    owner, ours = _user(status.st_uid), _daemon_user()
    expected = "root, the daemon's user" if ours == "root" else f"root or {ours}, the daemon's user"
    raise DistrustedError(
        Stage.CHECKED,
        where,
        f"belongs to {owner}, not to {expected}, so {owner} could change what runs",
        f"run hostd as {owner}, or {chown} {ours} {shlex.quote(place)}",
        transient=transient,
    )


def _is_group_private(fd: int, status: os.stat_result) -> bool:
    """Tell whether the group is its owner alone, as many systems set up, with umask 002.

    An access control list may let others in by the same bit of the mode.
    """
    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return (
        group.gr_name == owner.pw_name
        and set(group.gr_mem) <= {owner.pw_name}
        and all(user.pw_uid == owner.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid)
        and not _may_have_list(fd)
    )


def _may_have_list(fd: int) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        # Through /proc, because a descriptor that is good for searching only has no attributes.
        os.getxattr(f"/proc/self/fd/{fd}", "system.posix_acl_access")
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.EOPNOTSUPP)
    return True


def _daemon_user() -> str:
    return _user(os.geteuid())


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
