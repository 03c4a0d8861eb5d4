"""When the system refuses a command what it needs: its output, a file, a standard stream that is closed."""

import errno
import os
import sys
from typing import TextIO

_REMEDIES = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space, or raise the quota of this user",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "let this user do that, or choose another place",
    errno.EPERM: "let this user do that, or choose another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file",
    errno.EBADF: "do not close it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


def stand_in() -> None:
    """Open what of the standard streams is closed, so that no file takes its number.

    What is read of it or written to it fails, as it would; what is complained about is lost.
    """
    for fd, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def give_up_output() -> bool:
    """Write what standard output and error still hold, and drop what fails; return whether that was of the output.

    Kept, it would fail once more when Python ends, with an exit code of its own.
    """
    _give_up(sys.stderr)
    return _give_up(sys.stdout)


def _give_up(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False


def describe(error: OSError, *, is_output: bool) -> str:
    """Return what the system refused: where, what, and what to do."""
    where = "standard output" if is_output and error.filename is None else error.filename
    what = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{f'{where}: ' if where else ''}{what}{f'; {remedy}' if remedy else ''}"
