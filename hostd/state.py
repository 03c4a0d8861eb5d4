"""The state folder: made private, and owned by one daemon at a time."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hostd.errors import StateError

LEDGER = "ledger.db"
ARTIFACTS = "artifacts"
ENVIRONMENTS = "environments"
SOCKET = "hostd.sock"
LOCK = "lock"
SPOOL = "spool"

_REMEDIES = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space, or raise the quota of this user",
    errno.EROFS: "mount it so that it can be written",
    errno.EACCES: "set its owner to this user",
    errno.EPERM: "set its owner to this user",
    errno.EEXIST: "move that file away",
    errno.ENOTDIR: "move away the file that is where a folder should be",
}


class StateFolder:
    """The folder of what must survive a restart, mode 0700. `acquire` comes first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = path / LEDGER
        self.artifacts = path / ARTIFACTS
        self.environments = path / ENVIRONMENTS
        self.socket = path / SOCKET
        self.spool = path / SPOOL
        self._lock_fd = -1
        self._is_new = False

    def make(self) -> None:
        """Make the folder, private, with the store in it. May be called again. Raises OSError."""
        self._is_new = self._is_new or not self.path.exists()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.artifacts.mkdir(mode=0o700, exist_ok=True)

    def unmake(self) -> None:
        """Remove the folder again, if `make` has made it and nothing is in it."""
        if self._is_new:
            with contextlib.suppress(OSError):
                self.artifacts.rmdir()
                self.path.rmdir()

    def acquire(self) -> None:
        """Make the folder and lock it. Raises StateError, with the pid of the daemon that has it."""
        try:
            self.make()
            fd = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "see that it is a folder that this user may write")
            raise StateError(
                str(self.path),
                f"the state folder cannot be used: {error.strerror}",
                f"{remedy}; or set another [state] folder",
            ) from error
        try:
            self._lock(fd)
        except StateError:
            os.close(fd)
            raise
        self._lock_fd = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.release()
            raise StateError(
                str(self.path),
                f"the state folder cannot be written: {error.strerror}",
                "free space on its disk, or mount it so that it can be written",
            ) from error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep daemons away while the block runs, and change nothing. Raises StateError when one is running."""
        try:
            fd = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # no daemon ever ran here
            yield
            return
        except OSError as error:
            remedy = (
                "run this as its owner" if isinstance(error, PermissionError) else _REMEDIES.get(error.errno or 0, "")
            )
            raise StateError(
                str(self.path),
                f"the state folder cannot be looked at: {error.strerror}",
                remedy or "see that it is a folder",
            ) from error
        try:
            self._lock(fd)
            yield
        finally:
            os.close(fd)

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "?"
            raise StateError(
                str(self.path),
                f"another hostd is running on this state folder, pid {pid}",
                f"stop it (kill {pid}), or set another [state] folder",
            ) from error

    def release(self) -> None:
        """Let another daemon have it."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
