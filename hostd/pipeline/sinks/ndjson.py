"""One file of JSON lines for each processor, appended to, and cut back to the ledger on start."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hostd import events
from hostd.pipeline.ledger import Ledger, SinkMark

IOV_MAX = 1024


@dataclass(slots=True)
class _File:
    fd: int
    device: int
    inode: int
    length: int
    written: int = 0


class NdjsonSink:
    """Appends to `<folder>/<processor>.ndjson`. A file that was moved away is left, and a new one begun."""

    def __init__(self, folder: Path, processors: tuple[str, ...], ledger: Ledger) -> None:
        self.name = str(folder)
        self._folder = folder
        self._processors = processors
        self._ledger = ledger
        self._files: dict[str, _File] = {}

    def recover(self) -> None:
        """Cut every file back to what was committed. Raises OSError."""
        for processor in self._ledger.sink_processors(self.name):
            if self._path(processor).exists():
                self._file(processor)

    def takes(self, processor: str) -> bool:
        return any(fnmatchcase(processor, glob) for glob in self._processors)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        file = self._file(processor)
        file.written = 0
        pending = [memoryview(chunk) for chunk in chunks if chunk]
        while pending:
            count = os.pwritev(file.fd, pending[:IOV_MAX], file.length + file.written)
            file.written += count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]

    def sync(self) -> list[SinkMark]:
        marks = []
        for processor, file in self._files.items():
            if file.written:
                os.fdatasync(file.fd)
                marks.append(SinkMark(self.name, processor, file.length + file.written, file.device, file.inode))
        return marks

    def accept(self) -> None:
        for file in self._files.values():
            file.length += file.written
            file.written = 0

    def close(self) -> None:
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()

    def _path(self, processor: str) -> Path:
        return self._folder / f"{processor}.ndjson"

    def _file(self, processor: str) -> _File:
        file = self._files.get(processor)
        if file is not None:
            try:
                status = self._path(processor).stat()
            except FileNotFoundError:
                status = None
            if status is not None and (status.st_dev, status.st_ino) == (file.device, file.inode):
                return file
            os.close(self._files.pop(processor).fd)  # moved away, by logrotate for example
        file = self._files[processor] = self._open(processor)
        return file

    def _open(self, processor: str) -> _File:
        """Open a processor's file at the length that the ledger knows; what is beyond was never committed."""
        path = self._path(processor)
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            status = os.fstat(fd)
            mark = self._ledger.sink_mark(self.name, processor)
            length = status.st_size
            if mark is not None and (mark.device, mark.inode) == (status.st_dev, status.st_ino):
                if length > mark.length:
                    os.ftruncate(fd, mark.length)
                    events.emit(
                        events.SINK_TRIMMED,
                        sink="ndjson",
                        path=str(path),
                        length=mark.length,
                        cut=length - mark.length,
                    )
                    length = mark.length
                elif length < mark.length:
                    events.emit(
                        events.SINK_DIVERGED,
                        sink="ndjson",
                        path=str(path),
                        length=length,
                        expected=mark.length,
                    )
            # Before the first byte: after a crash it tells what was here already from what was never committed.
            self._ledger.put_sink_mark(SinkMark(self.name, processor, length, status.st_dev, status.st_ino))
            self._sync_folder()
        except BaseException:
            os.close(fd)
            raise
        events.emit(events.SINK_OPENED, sink="ndjson", path=str(path), length=length)
        return _File(fd, status.st_dev, status.st_ino, length)

    def _sync_folder(self) -> None:
        """Make the file's name durable, not only its bytes."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
