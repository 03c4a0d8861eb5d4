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
    """A watch of a folder, looked after as its owners do: each hint is a check, and then a look."""

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str] | None = None
        self.news = asyncio.Event()
        self.watch = FolderWatch(watcher, folder, self._hinted, recursive=False)
        self.look()

    def look(self) -> None:
        """See what is in the folder."""
        try:
            self.watch.check()
            self.seen = sorted(path.name for path in self.folder.iterdir())
        except OSError:
            self.seen = None

    async def sees(self, *names: str) -> None:
        """Wait for hints until the folder was seen with these files; without any, until it was not there."""
        while self.seen != (list(names) or None):
            self.news.clear()
            await self.news.wait()

    def _hinted(self, _paths: set[str]) -> None:
        self.look()
        self.news.set()


@pytest.mark.parametrize("watches", [1, 2])
def test_a_folder_made_again_under_the_same_number_is_watched(tmp_path: Path, watches: int) -> None:
    """A file system gives the old folder's inode number to the new one; all that watch the folder do so again."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)

    async def scenario(watcher: Watcher) -> None:
        all_watched = [Watched(watcher, folder) for _ in range(watches)]
        for number in range(20):
            folder.rmdir()
            folder.mkdir()
            file = folder / str(number)
            file.touch()
            for watched in all_watched:
                await watched.sees(file.name)
            (folder / "second").touch()
            file.unlink()
            for watched in all_watched:
                await watched.sees("second")
            (folder / "second").unlink()

    watching(scenario)


def test_a_parent_made_again_is_watched(tmp_path: Path) -> None:
    """`rm -r` of the folder above: the next folder in its place is watched, and what takes that one's place."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)

    async def scenario(watcher: Watcher) -> None:
        watched = Watched(watcher, folder)
        shutil.rmtree(folder.parent)
        await watched.sees()
        folder.mkdir(parents=True)
        (folder / "one").touch()
        watched.look()  # as the slow look does: nobody watches the folder above that one
        await watched.sees("one")
        folder.rename(tmp_path / "aside")
        await watched.sees()

    watching(scenario)
