"""When a sink's file is rotated, what it is called then, and what becomes of it: compressed, and one day removed.

Only what is committed is ever rotated, so that a rotated file is whole. Compressing and removing are done in a thread
beside the commits, step by step, so that a kill at any of them leaves the file or its archive, and never half of one.
"""

import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from hostd import events
from hostd.pipeline.faults import explain

COPY_BYTES = 1 << 20
RETRY_S = 15.0
TEMPORARY = ".hostd-packing"
PACKED = ".zst"


class Rotation(Struct, frozen=True):
    """When to rotate, 0 for never: past so many bytes, and in each period of so many hours; what to keep, 0 for all."""

    most_bytes: int = 0
    hours: float = 0
    keep: int = 0
    compress: Literal["none", "zstd"] = "none"

    def is_due(self, length: int, written_at: float, now: float) -> bool:
        """Tell whether a file is rotated before more is written to it; times in seconds since 1970.

        Periods are counted from midnight UTC, so that a file holds one day, or one hour. Of a clock that was set back
        nothing is due.
        """
        if not length:
            return False
        period_s = self.hours * 3600
        return bool(self.most_bytes and length >= self.most_bytes) or bool(
            period_s and now // period_s > written_at // period_s
        )


def rotated_path(path: Path, now: float) -> Path:
    """Return a name that nothing has yet for what is rotated now. In the order of names they are in that of time."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    while True:
        name = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        if not name.exists() and not packed_path(name).exists():
            return name
        stamp += "+"


def packed_path(path: Path) -> Path:
    """Return what a rotated file is called when it is compressed."""
    return path.with_name(path.name + PACKED)


def rotated_files(folder: Path, processor: str) -> list[Path]:
    """Return the rotated files of a processor, the oldest first."""
    return sorted(folder.glob(f"{processor}-[0-9]*T[0-9]*Z*.ndjson*"))


class Packer:
    """Compresses rotated files and removes those that are too many, in a thread of its own."""

    def __init__(self, folder: Path, rotation: Rotation) -> None:
        self._folder = folder
        self._rotation = rotation
        self._wake = threading.Event()
        self._stopped = False
        self._processors: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def look_at(self, processors: Iterable[str]) -> None:
        """See to the rotated files of some processors. Returns at once."""
        if not self._rotation.keep and self._rotation.compress == "none":
            return
        with self._lock:
            self._processors.update(processors)
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pack", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop between two pieces of a file; what is left is done after the next start."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                processors, self._processors = self._processors, set()
            for processor in sorted(processors):
                try:
                    with _folder_lock(self._folder):
                        self._see_to(processor)
                except OSError as error:
                    events.emit(
                        events.SINK_PACKING_FAILED,
                        sink="ndjson",
                        path=str(error.filename or self._folder),
                        reason=explain(error),
                        retry_s=RETRY_S,
                    )
                    self._pause(processor)

    def _pause(self, processor: str) -> None:
        until = time.monotonic() + RETRY_S
        with self._lock:
            self._processors.add(processor)
        while not self._stopped and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            if not self._stopped:
                self._wake.clear()
        self._wake.set()

    def _see_to(self, processor: str) -> None:
        for left in self._folder.glob(f".{processor}-*{TEMPORARY}"):  # of a daemon that is no more
            left.unlink()
        keep = self._rotation.keep
        files = rotated_files(self._folder, processor)
        for path in files[:-keep] if keep else []:
            path.unlink(missing_ok=True)
            events.emit(events.SINK_EXPIRED, sink="ndjson", path=str(path), keep=keep)
        if self._rotation.compress == "zstd":
            for path in files[-keep:]:
                if path.suffix != PACKED and not self._stopped:
                    self._pack(path)

    def _pack(self, path: Path) -> None:
        target = packed_path(path)
        if not target.exists():  # else it is whole, and only the removal was cut short
            temporary = target.with_name(f".{target.name}{TEMPORARY}")
            try:
                if not self._write(path, temporary):
                    return
                temporary.replace(target)
                sync_folder(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
        before = path.stat().st_size
        path.unlink()
        events.emit(events.SINK_PACKED, sink="ndjson", path=str(target), size=before, packed=target.stat().st_size)

    def _write(self, path: Path, temporary: Path) -> bool:
        """Write the archive, durable on return; False when told to stop."""
        compressor = zstd().ZstdCompressor()
        source = path.stat()
        with path.open("rb") as file, temporary.open("wb") as out:
            while chunk := file.read(COPY_BYTES):
                if self._stopped:
                    return False
                out.write(compressor.compress(chunk))
            out.write(compressor.flush())
            out.flush()
            with contextlib.suppress(
                PermissionError
            ):  # another owner's file, which we were let write: ours is the same
                os.fchown(out.fileno(), source.st_uid, source.st_gid)
            os.fchmod(out.fileno(), source.st_mode & 0o777)
            os.utime(out.fileno(), ns=(source.st_atime_ns, source.st_mtime_ns))
            os.fsync(out.fileno())
        return True


_locks: dict[Path, threading.Lock] = {}


def _folder_lock(folder: Path) -> threading.Lock:
    """Return what one packer of a folder holds while it packs: a sink of new settings may be beside the old one's."""
    return _locks.setdefault(folder, threading.Lock())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, not only the files' bytes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def zstd() -> Any:
    """Return the library. Raises ImportError without the extra."""
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
