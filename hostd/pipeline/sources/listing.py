"""Which paths a glob names now, by listing folders: what is known needs no other call to the system, however many."""

import glob
import os
import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

Identity = tuple[int, int]
"""Device and inode."""


def paths_of(pattern: str) -> Iterator[tuple[str, Identity | None]]:
    """Return what a glob names, in order, and which file that is where the folder itself says so: not for links."""
    folder, name = os.path.split(pattern)
    if name == "**":
        folder, name = pattern, "*"
    if not glob.has_magic(name):
        folders = glob.iglob(folder, recursive=True) if glob.has_magic(folder) else [folder]
        yield from ((path, None) for path in sorted(os.path.join(f, name) for f in folders))  # noqa: PTH118
        return
    matches = _compiled(name)
    takes_hidden = name.startswith(".")
    folders = glob.iglob(os.path.join(folder, ""), recursive=True) if glob.has_magic(folder) else [folder]  # noqa: PTH118
    for each in sorted({os.path.normpath(f) for f in folders}):
        try:
            device = os.stat(each).st_dev
            with os.scandir(each) as entries:
                found = [
                    (entry.path, None if entry.is_symlink() else (device, entry.inode()))
                    for entry in entries
                    if matches(entry.name) and (takes_hidden or not entry.name.startswith("."))
                ]
        except OSError:
            continue  # gone, or not to be listed: of that the paths that were in it tell
        yield from sorted(found)


def watched_folder(pattern: str) -> tuple[Path, bool]:
    """Return the folder of a glob that has no wildcard in it, and whether the glob reaches below that folder."""
    parts = Path(pattern).parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed]), fixed < len(parts) - 1


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match
