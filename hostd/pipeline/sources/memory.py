"""What is known of files from before: which was read how far, and which is a copy of another.

Of copies, plain ones are decided on here, at once; `archives.py` does it for what has to be unpacked first.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hostd import events
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.sources.file import ENDED_S, FINGERPRINT_BYTES, FileSource
from hostd.pipeline.sources.listing import Identity
from hostd.pipeline.sources.marks import MARKER_BYTES, Read, begins_alike, digest, is_continued

K = TypeVar("K", Identity, str)
Trail = tuple[tuple[int, bytes], ...]
MOST_PATIENT_S = 60.0
"""How long a copy, or an archive, waits at most for whatever might still tell what it is of."""
LOOKED_AT_BYTES = 64 << 10
_NULS = {length: digest(bytes(length)) for length in range(1, FINGERPRINT_BYTES + 1)}


class Known(Struct, frozen=True):
    """How far a file was read; `trail` are places where reading stopped before, with their markers."""

    row: SourceRow
    trail: Trail = ()

    @property
    def identity(self) -> Identity:
        """The file's device and inode."""
        return self.row.device, self.row.inode

    @property
    def is_telling(self) -> bool:
        """Tell whether its first bytes are enough to know a copy by."""
        checkpoint = self.row.checkpoint
        nuls = _NULS.get(checkpoint.fingerprint_length) == checkpoint.fingerprint
        return checkpoint.fingerprint_length >= FINGERPRINT_BYTES and not nuls

    def holds_all_of(self, read: Read, size: int) -> bool:
        """Tell whether content of that size was read to its end, and more that it was followed by after it was copied.

        That its first bytes are the same is known; that those before a place where reading stopped are, too, is
        looked at, since many programs begin each of their logs alike.
        """
        before = [place for place in self.trail if place[0] <= size]
        if size >= self.row.checkpoint.offset or not before:
            return False
        offset, marker = before[-1]
        length = min(MARKER_BYTES, offset)
        return digest(read(offset - length, length)) == marker


class Memory:
    """The ledger's rows, and what was read since. `live` are the open files, `by_path` those that a path names.

    `on_known(row, copy)` is told of a file that turned out to be a copy, which nothing else would tell the ledger of;
    `copy` is None where another went on from the place that it was read to.
    """

    def __init__(
        self,
        rows: Iterable[SourceRow],
        live: Mapping[Identity, FileSource],
        by_path: Mapping[str, FileSource],
        on_known: Callable[[SourceRow, Copy | None], None] = lambda *_: None,
    ) -> None:
        self._live = live
        self._paths = by_path
        self._on_known = on_known
        self._known: dict[int, Known] = {}
        # Tuples, since nearly all have one number, and there may be many thousands of them.
        self._by_identity: dict[Identity, tuple[int, ...]] = {}
        self._by_path: dict[str, tuple[int, ...]] = {}
        self._claimed: set[tuple[int, Checkpoint]] = set()
        self._next_id = 1
        latest: dict[Checkpoint, int] = {}
        for row in rows:
            self.remember(row)
            if row.checkpoint in latest:  # the one may be a copy of the other: it must not be taken for that again
                self._claimed.add((latest[row.checkpoint], row.checkpoint))
            latest[row.checkpoint] = row.id

    def new_id(self) -> int:
        """Return a number for a source that the ledger does not know."""
        self._next_id += 1
        return self._next_id - 1

    def latest(self) -> list[SourceRow]:
        """Return the last row of each file."""
        return [self._known[ids[-1]].row for ids in self._by_identity.values() if ids]

    def remember(self, row: SourceRow, trail: Trail = ()) -> None:
        """Take note of how far a file was read."""
        row = replace(row, path=os.path.realpath(row.path))
        before = self._known.get(row.id)
        if before is not None:
            _drop(self._by_identity, before.identity, row.id)
            _drop(self._by_path, before.row.path, row.id)
        self._known[row.id] = Known(row, trail)
        identity = row.device, row.inode
        self._by_identity[identity] = (*self._by_identity.get(identity, ()), row.id)
        self._by_path[row.path] = (*self._by_path.get(row.path, ()), row.id)
        self._next_id = max(self._next_id, row.id + 1)

    def of_file(self, identity: Identity) -> list[Known]:
        """Return what was read of a file, under its own number or that of what it held before; the last first."""
        return [self._known[number] for number in reversed(self._by_identity.get(identity, ()))]

    def everything(self) -> Iterator[Known]:
        """Return what was read of all files, up to now of those that are open."""
        live = {source.id: source for source in self._live.values()}
        for known in self._known.values():
            if known.row.id not in live:
                yield known
        for source in live.values():
            yield Known(source.row(), source.trail)

    def resume(self, source: FileSource, size: int, *, patient: bool) -> bool:
        """Go on where the ledger says, if this is a file that it knows.

        `patient` allows to say False: that cannot be told yet, ask again later.
        """
        for known in self.of_file((source.device, source.inode)):
            if is_continued(known.row.checkpoint, source.read, size):
                source.id, source.name = known.row.id, known.row.name
                source.go_on(known.row.checkpoint)
                return True
        for known, renamed in self.originals(source):
            if renamed and patient and self._may_be_told_by(known, source):
                return False
            verdict = self._compare(known, source, size, renamed=renamed)
            if verdict is None:
                continue
            if renamed and patient and self._is_under_way(source, known):
                return False
            if patient and not self.is_accounted_for(known, verdict):
                return False
            if verdict != source.reached:
                self.take_over(source, known, verdict)
                return True
        source.id = self.new_id()
        return True

    def take_over(self, source: FileSource, known: Known, checkpoint: Checkpoint) -> None:
        """Take what is before `checkpoint` as read of `source`, as another number for the ledger."""
        source.id = self.new_id()
        source.go_on(checkpoint)
        is_all = checkpoint == known.row.checkpoint
        source.copy_of = Copy(known.row.id, self._is_left(known)) if is_all else None
        self._claimed.add((known.row.id, known.row.checkpoint))
        self._on_known(source.row(), source.copy_of)
        events.emit(events.SOURCE_KNOWN, source=source.name, offset=checkpoint.offset, original=known.row.name)

    def is_claimed(self, known: Known) -> bool:
        """Tell whether a copy of it was found already."""
        return (known.row.id, known.row.checkpoint) in self._claimed

    def is_gone(self, known: Known) -> bool:
        """Tell whether its file was removed, or holds something else by now, and is read as another."""
        source = self._live.get(known.identity)
        latest = source.id if source is not None else self._by_identity[known.identity][-1]
        return latest != known.row.id or find_in(Path(known.row.path).parent, known.identity) is None

    def is_accounted_for(self, known: Known, checkpoint: Checkpoint) -> bool:
        """Tell whether no batch of an open file is under way that ends before `checkpoint`.

        A copy is not to be taken as read any sooner: it may be all that there is when the batch has to be read again.
        """
        source = self._live.get(known.identity)
        if source is None or source.id != known.row.id:
            return True  # before it is let go of, or read as another, all of it is handed on to be committed
        return source.committed.offset >= checkpoint.offset

    def originals(self, source: FileSource) -> Iterator[tuple[Known, bool]]:
        """Return what this file may be a copy of, and whether that has another name.

        Of the same name: an editor saved it anew; the old one is gone then, or it would be a rotation. Of a shorter
        name: a rotation copied it, and adds `.1`, `-20240131` or the like.
        """
        folder, name = os.path.split(source.path)
        folder = os.path.realpath(folder)
        for length in range(len(name), 0, -1):
            renamed = length < len(name)
            if renamed and name[length] not in ".-_":
                continue
            path = f"{folder}{os.sep}{name[:length]}"
            live = self._paths.get(path)
            candidates = [self._up_to_date(self._known[number]) for number in self._by_path.get(path, ())]
            if live is not None and all(known.row.id != live.id for known in candidates):
                candidates.append(Known(live.row(), live.trail))
            for known in reversed(candidates):
                if renamed or not self._still_exists(known.row, live):
                    yield known, renamed

    def _is_left(self, known: Known) -> bool:
        """Tell whether it is gone, and nobody has it open who would read it to its end."""
        source = self._live.get(known.identity)
        return self.is_gone(known) and (source is None or source.id != known.row.id)

    def _is_under_way(self, copy: FileSource, known: Known) -> bool:
        """Tell whether the copy is still being made, or the original still being read."""
        idle_s = copy.idle_for_s()
        return idle_s < ENDED_S or (idle_s < MOST_PATIENT_S and self.is_being_read(known))

    def _may_be_told_by(self, known: Known, copy: FileSource) -> bool:
        """Tell whether nothing was read yet of an open file that begins like this one: it will be, in a moment."""
        if known.row.checkpoint.offset or copy.idle_for_s() >= MOST_PATIENT_S or not self.is_being_read(known):
            return False
        original = self._live[known.identity]
        first = copy.read(0, FINGERPRINT_BYTES)
        return bool(first) and original.unpacked is None and original.read(0, len(first)) == first

    def is_being_read(self, known: Known) -> bool:
        """Tell whether more will be read of an open file, or that it was truncated is still to be noticed."""
        source = self._live.get(known.identity)
        if source is None or source.id != known.row.id:
            return False
        if source.was_rewritten():
            return True
        if source.offset >= source.size():
            return False
        # Half a line at its end is not: that may stay there for ever.
        return source.unpacked is not None or b"\n" in source.read(source.offset, LOOKED_AT_BYTES)

    def has_moved_on(self, known: Known) -> bool:
        """Tell whether more was read of an open file than is known of it here."""
        source = self._live.get(known.identity)
        return source is not None and source.id == known.row.id and source.reached != known.row.checkpoint

    def _compare(self, known: Known, source: FileSource, size: int, *, renamed: bool) -> Checkpoint | None:
        """Return up to where a file holds what was read of another; None if it does not.

        `source.reached` itself, which is nothing, is the answer where that cannot be told yet.
        """
        checkpoint = known.row.checkpoint
        if not checkpoint.offset:
            return None
        if known.is_telling and size >= FINGERPRINT_BYTES:
            if not begins_alike(checkpoint, source.read):
                return None
            if is_continued(checkpoint, source.read, size):
                return checkpoint
            if known.holds_all_of(source.read, size):
                return source.content.checkpoint(size, b"")
            return source.reached if renamed else None
        # Too short to be sure by its bytes alone: they must be all that was read of a file that is gone since.
        if not renamed or checkpoint.offset != checkpoint.fingerprint_length:
            return None
        if size < checkpoint.offset:
            return source.reached
        if size > checkpoint.offset and checkpoint.offset < MARKER_BYTES:
            return None
        if not begins_alike(checkpoint, source.read) or self.is_claimed(known):
            return None
        return checkpoint if self.is_gone(known) else source.reached

    def _up_to_date(self, known: Known) -> Known:
        """Return what was read of a file up to now, if it is still open."""
        source = self._live.get(known.identity)
        if source is None or source.id != known.row.id:
            return known
        return Known(source.row(), source.trail)

    def _still_exists(self, row: SourceRow, live: FileSource | None) -> bool:
        """Tell whether the file that a row is about lies under some other name now: then it was rotated."""
        if live is not None and live.id == row.id:
            return os.fstat(live.fd).st_nlink > 0
        return find_in(Path(row.path).parent, (row.device, row.inode)) is not None


def _drop(numbers: dict[K, tuple[int, ...]], key: K, number: int) -> None:
    left = tuple(each for each in numbers.get(key, ()) if each != number)
    if left:
        numbers[key] = left
    else:
        numbers.pop(key, None)


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
