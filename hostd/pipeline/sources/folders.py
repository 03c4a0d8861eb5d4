"""The folders that globs are about, watched for what happens to their entries."""

from collections.abc import Iterable

from hostd.pipeline.sources.listing import watched_folder
from hostd.watch import ENTRIES, EVERYTHING, FolderWatch, OnHint, Watcher


class Folders:
    """Tells `on_hint` of what happens in the folders of some globs; of nothing without a watcher."""

    def __init__(self, watcher: Watcher | None, on_hint: OnHint) -> None:
        self._watcher = watcher
        self._on_hint = on_hint
        self._watches: dict[str, FolderWatch] = {}

    def watch(self, patterns: Iterable[str], *, writes: bool) -> None:
        """Watch the folders of these globs, if they are not watched yet; with `writes` for what is written, too."""
        if self._watcher is None:
            return
        kinds = EVERYTHING if writes else ENTRIES
        for pattern in patterns:
            folder, recursive = watched_folder(pattern)
            watch = self._watches.get(str(folder))
            if watch is None:
                watch = FolderWatch(self._watcher, folder, self._on_hint, recursive=recursive, kinds=kinds)
                self._watches[str(folder)] = watch
            try:
                watch.check()
            except OSError:
                continue  # it is not there yet: its parent is watched, and the slow timer looks again

    def forget(self) -> None:
        """Watch none of them, until they are named again."""
        while self._watches:
            self._watches.popitem()[1].close()
