"""Hints, whatever becomes of the folder that is watched."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hostd.watch import FolderWatch, Watcher


def watching(scenario: Callable[[Watcher], Awaitable[None]]) -> None:
    """Run a scenario with a watcher."""

    async def run() -> None:
        watcher = Watcher()
        try:
            await asyncio.wait_for(scenario(watcher), 20)
        finally:
            watcher.close()

    asyncio.run(run())


class Watched:
    """A watch of a folder, looked after as its owners do: each hint is a check."""

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self.folder = folder
        self.paths: set[str] = set()
        self.news = asyncio.Event()
        self.watch = FolderWatch(watcher, folder, self._hinted, recursive=False)
        self.watch.check()

    def _hinted(self, paths: set[str]) -> None:
        self.paths |= paths
        self.news.set()
        if self.folder.exists():
            self.watch.check()

    async def hint_of(self, path: Path) -> None:
        """Wait for the hint of a path."""
        while str(path) not in self.paths:
            self.news.clear()
            await self.news.wait()


@pytest.mark.parametrize("watches", [1, 2])
def test_a_folder_made_again_under_the_same_number_is_watched(tmp_path: Path, watches: int) -> None:
    """A file system gives the old folder's inode number to the new one; all that watch the folder do so again."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)

    async def scenario(watcher: Watcher) -> None:
        all_watched = [Watched(watcher, folder) for _ in range(watches)]
        for number in range(5):
            for watched in all_watched:
                watched.paths.clear()
            folder.rmdir()
            folder.mkdir()
            for watched in all_watched:
                await watched.hint_of(folder)
            file = folder / str(number)
            file.touch()
            for watched in all_watched:
                await watched.hint_of(file)
            file.unlink()

    watching(scenario)


def test_a_parent_made_again_is_watched(tmp_path: Path) -> None:
    """`rm -r` of the folder above: the next folder in its place is watched, and what takes that one's place."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)

    async def scenario(watcher: Watcher) -> None:
        watched = Watched(watcher, folder)
        shutil.rmtree(folder.parent)
        folder.mkdir(parents=True)
        await watched.hint_of(folder)
        watched.watch.check()
        watched.paths.clear()
        folder.rename(tmp_path / "aside")
        await watched.hint_of(folder)

    watching(scenario)
