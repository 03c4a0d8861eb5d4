"""Paths to open files."""

import contextlib
import os
import stat
from pathlib import Path

from hostd.config import FileSource as FileSourceConfig
from hostd.pipeline.sources.decoders import Decoders
from hostd.pipeline.sources.file import FileSource, Identify


def open_source(
    path: str, base: Path, config: FileSourceConfig | None, decoders: Decoders | None, identify: Identify | None
) -> FileSource:
    """Open a file as a source without a number, at its start. Raises OSError."""
    fd = _open_file(path)
    status = os.fstat(fd)
    source = FileSource(0, name_of(path, base), path, fd, status.st_dev, status.st_ino)
    source.decoders, source.identify = decoders, identify
    if config is not None:
        source.processor = config.processor
        source.decode, source.partial_line_s = config.decode, config.partial_line_s
    return source


def _open_file(path: str) -> int:
    """Open a file for reading, without waiting. Raises OSError.

    A FIFO is opened for writing too, if that is allowed: it is at its end otherwise whenever nobody writes to it.
    """
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    if stat.S_ISFIFO(os.stat(path).st_mode):
        with contextlib.suppress(PermissionError):
            return os.open(path, os.O_RDWR | flags)
    return os.open(path, os.O_RDONLY | flags)


def name_of(path: str, base: Path) -> str:
    """Return a path as records name it: relative to the settings' folder where it lies in it."""
    # Not by Path: it would keep each part of each path for good, and there may be many thousands of files.
    path = path.removeprefix(f"{base}{os.sep}")
    return path.encode("utf-8", "backslashreplace").decode()
