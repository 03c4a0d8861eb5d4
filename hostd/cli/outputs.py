"""Files that a command writes what it makes to: none is one of those that it reads, and none is emptied in vain."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hostd.errors import HostdError

STDIN, STDOUT = 0, 1


def writes_to(path: Path | None) -> str:
    """Return what an output is called."""
    return str(path) if path is not None else "standard output"


@contextmanager
def writing(path: Path | None, option: str) -> Iterator[None]:
    """Have an error of the system be one of this output. Whoever has read enough of it may end."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HostdError(
            writes_to(path), f"cannot be written: {error.strerror}", f"name another file with {option}"
        ) from error


@contextmanager
def opened(path: Path | None, option: str, inputs: Iterable[str], beside: int | None = None) -> Iterator[int]:
    """Open an output, standard output if it has no path, and leave what is in it as it is until `empty`.

    Raises HostdError where it cannot be written, or is one of the inputs; `-` among them is standard input. Or where it
    is what `beside` is open on, another output.
    """
    with writing(path, option):
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(path, flags, 0o644) if path is not None else STDOUT
        status = os.fstat(fd)
    try:
        if stat.S_ISREG(status.st_mode) and (same := _same(status, inputs)) is not None:
            raise HostdError(
                writes_to(path), f"is the same file as {same}, which is read", f"name another file with {option}"
            )
        if beside is not None and stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.fstat(beside)):
            raise HostdError(writes_to(path), "is where the records go", f"name another file with {option}")
        yield fd
    finally:
        if path is not None:
            os.close(fd)


def empty(path: Path | None, fd: int) -> None:
    """Drop what was in an output, if it is a file that was named. Raises OSError."""
    if path is not None and stat.S_ISREG(os.fstat(fd).st_mode):
        os.ftruncate(fd, 0)


def _same(status: os.stat_result, inputs: Iterable[str]) -> str | None:
    for name in inputs:
        try:
            other = os.fstat(STDIN) if name == "-" else os.stat(name)
        except OSError:
            continue  # said where it is read
        if os.path.samestat(status, other):
            return "standard input" if name == "-" else name
    return None
