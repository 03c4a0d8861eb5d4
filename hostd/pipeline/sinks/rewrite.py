"""A sink's file to another one that takes its place under the same name, so that a crash leaves one of the two.

The new file is made beside, hidden. Then, with what is intended written in the ledger: a second name for the old one,
the rename, the ledger's transaction, and the second name goes. `undo` goes back from wherever that ended.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from hostd import events
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.replacing import Intent
from hostd.pipeline.sinks.rotation import sync_folder

NEW, OLD = ".hostd-new", ".hostd-old"


class MovedError(Exception):
    """The file at the sink's path is not the one that was to be replaced any more."""


def new_path(path: Path) -> Path:
    """Return where the file is made that is to be at `path`."""
    return path.with_name(f".{path.name}{NEW}")


def old_path(path: Path) -> Path:
    """Return the second name of the file that was at `path`."""
    return path.with_name(f".{path.name}{OLD}")


def create(path: Path, like: int | None) -> int:
    """Make the new file, with mode and owner of the open file `like`; return it open for reading and writing."""
    new = new_path(path)
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    if like is not None:
        status = os.fstat(like)
        with contextlib.suppress(PermissionError):  # another owner's file, which we were let write: ours is the same
            os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, status.st_mode & 0o777)
    return fd


def exchange(path: Path, intent: Intent) -> None:
    """Give the new file the name of the old one. Raises MovedError or OSError; `undo` then.

    Whoever renames the file meanwhile, as logrotate does, is noticed: either the second name is not the old file's, or
    that file has one name too many afterwards.
    """
    new, old = new_path(path), old_path(path)
    if not intent.inode:
        try:
            os.link(new, path)
        except FileExistsError as error:
            raise MovedError from error
        new.unlink()
        sync_folder(path.parent)
        return
    old.unlink(missing_ok=True)
    try:
        os.link(path, old)
    except FileNotFoundError as error:
        raise MovedError from error
    status = old.stat()
    if (status.st_dev, status.st_ino) != (intent.device, intent.inode):
        raise MovedError
    sync_folder(path.parent)  # first of all: a loss of power must not take the old one's only name
    new.replace(path)
    if old.stat().st_nlink >= status.st_nlink:
        raise MovedError
    sync_folder(path.parent)


def undo(path: Path, intent: Intent) -> None:
    """Have the old file at its place again, as if nothing had been begun. May be called twice. Raises OSError."""
    new, old = new_path(path), old_path(path)
    before, after = (intent.device, intent.inode), (intent.new_device, intent.new_inode)
    where = find_elsewhere(path.parent, after, new)
    if where is not None:
        # It has the place already, or was renamed since: then that is where the old one would be.
        has_old_name = find_elsewhere(path.parent, before, old) is not None
        if identity(old) == before and not has_old_name:
            old.replace(where)
        elif has_old_name or not intent.inode:
            where.unlink()
        # Else somebody has removed the old one: the new one is all that there is.
    for left in (new, old):
        left.unlink(missing_ok=True)
    sync_folder(path.parent)


def find_elsewhere(folder: Path, wanted: tuple[int, int], name: Path) -> Path | None:
    """Return another name of a file in a folder than `name`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if (status.st_dev, status.st_ino) == wanted and Path(entry.path) != name:
                return Path(entry.path)
    return None


def recover(ledger: Ledger, folders: Iterable[Path]) -> None:
    """Undo what a daemon that is no more has not finished, and remove what it left. Before the sinks' own recovery."""
    intents = ledger.replacing.intents()
    for intent in intents:
        path = Path(intent.folder) / f"{intent.processor}.ndjson"
        if path.parent.is_dir():
            undo(path, intent)
        events.emit(events.REPARSE_UNDONE, plugin=intent.processor, path=str(path))
    if intents:
        ledger.replacing.give_up()
    ledger.replacing.abandon_all()
    for folder in folders:
        if folder.is_dir():
            for left in (*folder.glob(f".*{NEW}"), *folder.glob(f".*{OLD}")):
                left.unlink()
