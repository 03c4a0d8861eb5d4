"""What is known of files from before: which was read how far, and which is a copy of another."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.sources.file import ENDED_S, FINGERPRINT_BYTES, FileSource, digest, is_continued_by

Identity = tuple[int, int]
"""Device and inode."""


class Memory:
    """The ledger's rows, and what was read since. `live` are the open files by path."""

    def __init__(self, rows: Iterable[SourceRow], live: Mapping[str, FileSource]) -> None:
        self._live = live
        self._rows: dict[Identity, list[SourceRow]] = {}
        self._rows_by_path: dict[str, list[SourceRow]] = {}
        self._next_id = 1
        for row in rows:
            self.remember(row)

    def new_id(self) -> int:
        """Return a number for a source that the ledger does not know."""
        self._next_id += 1
        return self._next_id - 1

    def latest(self) -> list[SourceRow]:
        """Return the last row of each file."""
        return [rows[-1] for rows in self._rows.values()]

    def remember(self, row: SourceRow) -> None:
        """Take note of how far a file was read."""
        for rows in (
            self._rows.setdefault((row.device, row.inode), []),
            self._rows_by_path.setdefault(os.path.realpath(row.path), []),
        ):
            rows[:] = [known for known in rows if known.id != row.id]
            rows.append(row)
        self._next_id = max(self._next_id, row.id + 1)

    def resume(self, source: FileSource, size: int, *, patient: bool) -> bool:
        """Go on where the ledger says, if this is a file that it knows.

        `patient` allows to say False: that cannot be told yet, ask again later.
        """
        for row in reversed(self._rows.get((source.device, source.inode), [])):
            if is_continued_by(row.checkpoint, source.fd, size):
                source.id, source.name = row.id, row.name
                self._go_on(source, row.checkpoint)
                return True
        copied = self._find_original(source, size)
        if copied is not None:
            row, renamed = copied
            if renamed and patient and source.idle_for_s() < ENDED_S:
                return False  # it is still being copied, and the original still being read
            if is_continued_by(row.checkpoint, source.fd, size):
                self._go_on(source, row.checkpoint)
                source.copy_of = row.id
            elif size < row.checkpoint.offset:
                source.advance(size, b"")  # all of it was read, and more, before it was copied
                source.committed = source.reached
        source.id = self.new_id()
        return True

    def _go_on(self, source: FileSource, checkpoint: Checkpoint) -> None:
        source.rewind(checkpoint)
        source.committed = checkpoint

    def _find_original(self, source: FileSource, size: int) -> tuple[SourceRow, bool] | None:
        """Return the file that this one begins like, under another inode, and whether that has another name.

        Of the same name: an editor saved it anew; the old one is gone then, or it would be a rotation. Of a shorter
        name: a rotation copied it, and adds `.1`, `-20240131` or the like. What is too short to be sure of is none:
        a line read twice is better than one not read.
        """
        folder, name = os.path.realpath(source.path.parent), source.path.name
        for length in range(len(name), 0, -1):
            renamed = length < len(name)
            if renamed and name[length] not in ".-_":
                continue
            path = f"{folder}{os.sep}{name[:length]}"
            live = self._live.get(path)
            rows = list(self._rows_by_path.get(path, []))
            if live is not None:
                rows.append(live.row())
            for row in reversed(rows):
                if not renamed and self._still_exists(row, live):
                    continue
                checkpoint = row.checkpoint
                if checkpoint.fingerprint_length < FINGERPRINT_BYTES or size < FINGERPRINT_BYTES:
                    continue
                if digest(source.read(0, checkpoint.fingerprint_length)) == checkpoint.fingerprint:
                    return row, renamed
        return None

    def _still_exists(self, row: SourceRow, live: FileSource | None) -> bool:
        """Tell whether the file that a row is about lies under some other name now: then it was rotated."""
        if live is not None and live.id == row.id:
            return os.fstat(live.fd).st_nlink > 0
        return find_in(Path(row.path).parent, (row.device, row.inode)) is not None


def list_files(folder: Path) -> dict[Identity, Path]:
    """Return the regular files of a folder; none when it is gone."""
    try:
        with os.scandir(folder) as entries:
            statuses = [(entry.stat(follow_symlinks=False), Path(entry.path)) for entry in entries]
    except OSError:
        return {}
    return {(status.st_dev, status.st_ino): path for status, path in statuses if stat.S_ISREG(status.st_mode)}


def find_in(folder: Path, identity: Identity) -> Path | None:
    """Return what a file is called in a folder, or None when it is not there."""
    return list_files(folder).get(identity)
