"""Where the control socket is, for both ends of it. Commands that only ask import this, and next to nothing else."""

import os
from pathlib import Path

TIMEOUT_S = 120.0


class short_name:  # noqa: N801 - used like a function
    """A name for a Unix socket that fits into the kernel's 108 bytes, however deep its folder lies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100 or not Path("/proc/self/fd").exists():
            return str(self._path)
        self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
