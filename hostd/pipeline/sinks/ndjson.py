"""One file of JSON lines for each processor, appended to, and cut back to the ledger on start."""

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hostd import events
from hostd.pipeline.ledger import Ledger, SinkMark
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.places import is_intact
from hostd.pipeline.sinks import Unit
from hostd.pipeline.sinks.direct import FLAG, LEAST_BYTES, DirectWriter
from hostd.pipeline.sinks.pending import CACHED_BYTES, IOV_MAX, drop, unwritten
from hostd.pipeline.sinks.rotation import Packer, Rotation, rotated_files, rotated_path, sync_folder

LET_GO_BYTES = 4 << 20
"""How much more than it is to keep the system's cache may have before that is dropped."""

CUT = (
    "it is shorter than what was committed: somebody cut it, and what they cut is gone from it; rotate by renaming, "
    "and edit a copy"
)
APPENDED = "somebody else wrote to it while hostd had it open: that is kept; edit a copy"
EDITED = (
    "what was committed does not end at the end of a line any more: somebody edited it, and it is kept whole; if hostd "
    "was killed before, its last records may come again; edit a copy"
)


class _File(Struct):
    fd: int
    device: int
    inode: int
    length: int
    written: int = 0
    reached: int = 0
    """As far as `written` may have come since the last commit that was accepted."""
    cached: int = 0
    """Where that begins which the system's cache may hold."""
    is_direct: bool = True
    """Whether it takes what is written past that cache, as far as is known."""


class NdjsonSink:
    """Appends to `<folder>/<processor>.ndjson`. A file that was moved away is left, and a new one begun.

    Unless `direct`, all of it goes through the system's cache.
    """

    unit: Unit = "bytes"
    takes_blocks = False

    def __init__(
        self,
        folder: Path,
        processors: tuple[str, ...],
        ledger: Ledger,
        rotation: Rotation | None = None,
        *,
        direct: bool = True,
    ) -> None:
        self.name = str(folder)
        self._folder = folder
        self._processors = processors
        self._ledger = ledger
        self._files: dict[str, _File] = {}
        # Not made anew for each commit: it takes a place in the interpreter's table of interned strings each time.
        self._paths: dict[str, Path] = {}
        self._blocked: dict[str, str] = {}
        self._direct = DirectWriter() if direct and FLAG else None
        self._rotation = rotation
        self._packer = Packer(folder, rotation) if rotation is not None else None

    def recover(self) -> None:
        """Cut every file back to what was committed, also one that was renamed since. Raises OSError."""
        files = self._by_inode()
        processors = self._ledger.sink_processors(self.name)
        for processor in processors:
            mark = self._ledger.sink_mark(self.name, processor)
            path = files.get((mark.device, mark.inode)) if mark is not None else None
            while mark is not None and path is not None and self.may_be_of(path, processor):
                try:
                    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                except FileNotFoundError:  # renamed since: by a rotation, or by the sink whose place this one takes
                    path = self._by_inode().get((mark.device, mark.inode))
                    continue
                try:
                    length = self._cut_back(fd, path, mark)
                    if length is None or path in rotated_files(self._folder, processor):
                        self._ledger.put_sink_mark(self._none(processor))
                    elif length != mark.length:
                        self._ledger.put_sink_mark(replace(mark, length=length))
                finally:
                    os.close(fd)
                break
        if self._packer is not None:
            self._packer.look_at(processors)

    def _cut_back(self, fd: int, path: Path, mark: SinkMark) -> int | None:
        """Cut a file of a mark's number back to it, if it is that file; return the length that it has then.

        None: it is another one, which has got the number since that was removed, and it is left as it is.
        """
        size, is_in_place = os.fstat(fd).st_size, path == self.path(mark.processor)
        last = self._ledger.places.last(mark)
        is_it = is_intact(fd, last) if last is not None else path.name.startswith(f"{mark.processor}.")
        if is_it or (is_in_place and size < mark.length):
            return _trim(fd, path, mark.length)
        return _adopt(fd, path, size, mark.length, EDITED) if is_in_place else None

    def may_be_of(self, _path: Path, _processor: str) -> bool:
        """Tell whether a file of the processor's inode can be its own. Under another name somebody has renamed it."""
        return True

    def takes(self, processor: str) -> bool:
        return any(fnmatchcase(processor, glob) for glob in self._processors)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        if processor in self._blocked:
            raise OSError(self._blocked[processor])
        file = self._file(processor)
        if self._rotation is not None and self._is_due(file, self._rotation):
            file = self._rotate(processor, file)
        file.written = 0
        pending, size = unwritten(chunks), sum(map(len, chunks))
        direct = self._direct if size >= LEAST_BYTES else None
        file.reached = max(file.reached, size)  # also where a call fails after it has written a part
        while pending:
            with _naming(self.path(processor)):
                count = _put(file, pending, direct)
            file.written += count
            drop(pending, count)
        if file.reached > file.written:  # of a try before, of more than this
            os.ftruncate(file.fd, file.length + file.written)
            file.reached = file.written

    def place(self, processor: str) -> SinkMark:
        file = self._files.get(processor)
        if file is not None:
            return SinkMark(self.name, processor, file.length, file.device, file.inode)
        mark = self._ledger.sink_mark(self.name, processor)
        if mark is not None and identity(self.path(processor)) == (mark.device, mark.inode):
            return mark
        return self._none(processor)

    def _none(self, processor: str) -> SinkMark:
        """Return the mark of no file, as after a rotation: when a file is removed, another one may get its number."""
        return SinkMark(self.name, processor, 0, 0, 0)

    def present(self, processor: str) -> SinkMark:
        """Return what lies at a processor's path, as far as it is ours: none when that was moved away."""
        mark = self.place(processor)
        if mark.inode and identity(self.path(processor)) != (mark.device, mark.inode):
            return self._none(processor)
        return mark

    def adopt(self, mark: SinkMark, fd: int) -> None:
        """Go on in another file, which has taken the place of the processor's: the ledger has its mark."""
        before = self._files.get(mark.processor)
        self._files[mark.processor] = _File(fd, mark.device, mark.inode, mark.length, cached=mark.length)
        if before is not None:
            os.close(before.fd)

    def block(self, processor: str, reason: str) -> None:
        """Write nothing more of a processor: a write fails with this reason, and the input waits."""
        self._blocked[processor] = reason

    def sync(self) -> list[SinkMark]:
        marks = []
        for processor, file in self._files.items():
            if file.written:
                with _naming(self.path(processor)):
                    os.fdatasync(file.fd)
                _let_go(file)
                marks.append(SinkMark(self.name, processor, file.length + file.written, file.device, file.inode))
        return marks

    def abandon(self) -> None:
        """What was written is known, and written over."""

    def accept(self) -> None:
        for file in self._files.values():
            file.length += file.written
            file.written = file.reached = 0

    def interrupt(self) -> None:
        """A disk that does not answer cannot be told to."""

    def leave(self) -> bool:
        self.close()
        return False

    def close(self) -> None:
        if self._packer is not None:
            self._packer.close()
        while self._files:
            os.close(self._files.popitem()[1].fd)

    def path(self, processor: str) -> Path:
        """Return where a processor's records go."""
        path = self._paths.get(processor)
        if path is None:
            path = self._paths[processor] = self._folder / f"{processor}.ndjson"
        return path

    def _is_due(self, file: _File, rotation: Rotation) -> bool:
        """Tell whether to rotate, which a try of a commit that was begun must not: its first part may be in there."""
        return not file.reached and rotation.is_due(file.length, os.fstat(file.fd).st_mtime, time.time())

    def _rotate(self, processor: str, file: _File) -> _File:
        """Give the file a name of its own, and go on in a new one. Whoever has it open keeps it."""
        path = self.path(processor)
        rotated = rotated_path(path, time.time())
        path.rename(rotated)
        sync_folder(self._folder)
        self._ledger.put_sink_mark(self._none(processor))
        os.close(self._files.pop(processor).fd)
        events.emit(events.SINK_ROTATED, sink="ndjson", path=str(path), to=str(rotated), length=file.length)
        if self._packer is not None:
            self._packer.look_at([processor])
        file = self._files[processor] = self._open(processor)
        return file

    def _by_inode(self) -> dict[tuple[int, int], Path]:
        if not self._folder.exists():
            return {}
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # gone since it was listed
                    status = entry.stat(follow_symlinks=False)
                    found[status.st_dev, status.st_ino] = Path(entry.path)
        return found

    def _file(self, processor: str) -> _File:
        path = self.path(processor)
        file = self._files.get(processor)
        if file is not None:
            try:
                status = path.stat()
            except FileNotFoundError:
                status = None
            if status is not None and (status.st_dev, status.st_ino) == (file.device, file.inode):
                if status.st_size < file.length:
                    file.length = _adopt(file.fd, path, status.st_size, file.length, CUT)
                elif status.st_size > file.length and not file.reached:
                    file.length = _adopt(file.fd, path, status.st_size, file.length, APPENDED)
                return file
            # Moved away, by logrotate for example; what was not accepted goes to the new file.
            if file.reached:
                os.ftruncate(file.fd, file.length)
            os.close(self._files.pop(processor).fd)
        file = self._files[processor] = self._open(processor)
        return file

    def _open(self, processor: str) -> _File:
        """Open a processor's file at the length that the ledger knows; what is beyond was never committed."""
        path = self.path(processor)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Non-blocking, for the FIFO or the device that may lie there.
        flags, is_new = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK, True
        try:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            fd, is_new = os.open(path, flags), False
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ESPIPE, "It is no regular file", str(path))
            mark = self._ledger.sink_mark(self.name, processor)
            if is_new:  # it may have the number of one that was removed, also of another processor's
                self._ledger.forget_sink_file(status.st_dev, status.st_ino)
            known = mark is not None and not is_new and (mark.device, mark.inode) == (status.st_dev, status.st_ino)
            length = _trim(fd, path, mark.length) if mark is not None and known else _end(fd, path, status.st_size)
            # Before the first byte: after a crash it tells what was here already from what was never committed.
            self._ledger.put_sink_mark(SinkMark(self.name, processor, length, status.st_dev, status.st_ino))
            sync_folder(self._folder)
        except BaseException:
            os.close(fd)
            raise
        events.emit(events.SINK_OPENED, sink="ndjson", path=str(path), length=length)
        return _File(fd, status.st_dev, status.st_ino, length, cached=length)


def _put(file: _File, pending: list[memoryview], direct: DirectWriter | None) -> int:
    """Write as much as one call takes, past the cache by `direct`; return how many bytes. Raises OSError."""
    at = file.length + file.written
    if direct is not None and file.is_direct:
        count = direct.write(file.fd, pending, at)
        file.is_direct = count is not None
        if count:
            return count
    return os.pwritev(file.fd, pending[:IOV_MAX], at)


def _let_go(file: _File) -> None:
    """Have the system's cache drop what is durable and far behind."""
    length = file.length + file.written - CACHED_BYTES - file.cached
    if length >= LET_GO_BYTES:
        os.posix_fadvise(file.fd, file.cached, length, os.POSIX_FADV_DONTNEED)
        file.cached += length


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have an error of a system call on a descriptor name the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _trim(fd: int, path: Path, committed: int) -> int:
    """Cut off what is beyond the committed length; return the length that the file has now."""
    length = os.fstat(fd).st_size
    if length < committed:
        return _adopt(fd, path, length, committed, CUT)
    if not _ends_a_line(fd, committed):
        return _adopt(fd, path, length, committed, EDITED)
    if length > committed:
        os.ftruncate(fd, committed)
        events.emit(events.SINK_TRIMMED, sink="ndjson", path=str(path), length=committed, cut=length - committed)
    return committed


def _adopt(fd: int, path: Path, length: int, expected: int, reason: str) -> int:
    """Go on after what somebody else made of the file, on a line of its own; return the length that it has then."""
    events.emit(events.SINK_DIVERGED, sink="ndjson", path=str(path), length=length, expected=expected, reason=reason)
    return _end(fd, path, length)


def _end(fd: int, path: Path, length: int) -> int:
    """End the last line of what is there, if it has no end; return the length that the file has then."""
    if _ends_a_line(fd, length):
        return length
    with _naming(path):
        return length + os.pwrite(fd, b"\n", length)


def _ends_a_line(fd: int, length: int) -> bool:
    return not length or os.pread(fd, 1, length - 1) == b"\n"
