"""Paths that may not be read: said once, and asked about until they may be, since no event tells of a changed mode."""

import asyncio
import os
import stat
from collections.abc import Callable

from hostd import events

CHECK_S = 1.0


class Unreadable:
    """Calls `on_readable()` when a path that was noted can be read, or is gone."""

    def __init__(self, on_readable: Callable[[], None]) -> None:
        self._on_readable = on_readable
        self._paths: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, path: str, error: OSError) -> None:
        """Say that a path cannot be read, unless that was said, and look again every second."""
        if path in self._paths:
            return
        self._paths.add(path)
        events.emit(events.SOURCE_UNREADABLE, source=path, reason=f"{error.strerror}; let the daemon's user read it")
        self._check_later()

    def forget(self, path: str) -> None:
        """Ask no more: it was read."""
        self._paths.discard(path)

    def close(self) -> None:
        """Ask no more about any."""
        self._paths.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _check_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)

    def _check(self) -> None:
        self._timer = None
        passed = {path for path in self._paths if _may_be_read(path)}
        self._paths -= passed
        if passed:
            self._on_readable()
        if self._paths:
            self._check_later()


def _may_be_read(path: str) -> bool:
    """Tell whether a path can be read, or is gone."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError:
        return False
    except OSError:
        return True
    return os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK)
