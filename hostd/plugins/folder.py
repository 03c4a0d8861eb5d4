"""plugins.d/ to what is there now, and "look again" when that may have changed."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from hostd import events
from hostd.watch import FolderWatch, Watcher

SUFFIXES = (".py", ".toml", ".whl")

Signature = tuple[int, int, int, int, int]
"""What changes when a file's contents may have: device, inode, size, mtime and ctime in ns."""


def is_plugin_name(name: str) -> bool:
    """Tell whether a file of this name is a plugin: not a dotfile, an editor's temporary, or switched off."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "#", "__"))


class Folder:
    """The folder that users drop plugins into."""

    def __init__(self, path: Path, watcher: Watcher | None, on_hint: Callable[[], None]) -> None:
        self.path = path
        self._on_hint = on_hint
        self._watch = FolderWatch(watcher, path, self._hinted, recursive=False) if watcher else None
        self._readable: bool | None = None

    def scan(self) -> dict[Path, Signature] | None:
        """Return the plugin files that lie in the folder now, or None when it cannot be read.

        Also makes sure that it is this folder that is watched, and not one that was here before.
        """
        try:
            if self._watch and self._watch.check():
                events.emit(events.FOLDER_WATCHED, folder=str(self.path), by=self._watch.by)
            files = self._list()
        except OSError as error:
            if self._watch:
                self._watch.forget()  # one that could not be read could not be watched either
            if self._readable is not False:
                self._readable = False
                events.emit(events.FOLDER_UNREADABLE, folder=str(self.path), reason=error.strerror or str(error))
            return None
        self._readable = True
        return files

    def close(self) -> None:
        """Stop watching. Without a watcher there is nothing to stop."""
        if self._watch:
            self._watch.close()

    def _list(self) -> dict[Path, Signature]:
        files: dict[Path, Signature] = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                if not is_plugin_name(entry.name):
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # renamed between the listing and here; its event is on the way
                except OSError:
                    status = entry.stat(follow_symlinks=False)  # a link to nowhere good: reading it says what is wrong
                if not stat.S_ISDIR(status.st_mode):
                    files[Path(entry.path)] = (
                        status.st_dev,
                        status.st_ino,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                    )
        return files

    def _hinted(self, paths: set[str]) -> None:
        # The parent is watched for this folder's sake alone: what happens to its other entries is no hint.
        ours = os.path.realpath(self.path)
        if any(path == ours or path.startswith(ours + os.sep) or path == str(self.path) for path in paths):
            self._on_hint()
