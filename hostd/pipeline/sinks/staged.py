"""Records on their way to where they cannot be cut back: staged in files, and delivered from there.

A commit goes to the stage, which keeps the promise of a file of JSON lines: each record once, whatever happens. A file
that is large or old enough is *sealed* under a name that no other will ever have, when all in it is committed. A thread
delivers sealed files, in their order for each processor, and removes each once it is delivered. So whatever is
delivered twice, because of a kill between the two, is delivered under the same name: the receiver can tell.
"""

import errno
import fcntl
import os
import random
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from hostd import clock, events
from hostd.pipeline.faults import explain
from hostd.pipeline.ledger import Ledger, SinkMark
from hostd.pipeline.sinks import Unit
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.rotation import sync_folder
from hostd.workers.block import count_records

SEALED = ".sealed"
LOCK = ".lock"
LOCK_LOOK_S = 0.05
RETRY_S = (1.0, 60.0)
"""The first pause after a delivery that failed, and the longest; in between each is twice the one before."""


class PostponedError(OSError):
    """A delivery that is to be tried again after a time that the receiver names, in seconds."""

    def __init__(self, reason: str, after_s: float) -> None:
        super().__init__(errno.EAGAIN, reason)
        self.after_s = after_s


class Sealed(Struct, frozen=True):
    """A staged file that nothing is written to any more. `seal` is its name for ever."""

    path: Path
    processor: str
    seal: str
    tag: str

    @property
    def sealed_ms(self) -> int:
        """When it was sealed, in milliseconds since 1970."""
        return int(self.seal.partition("-")[0])


class Carrier(Protocol):
    """Delivers sealed files. All methods but `interrupt` come from the thread that delivers.

    Whatever `deliver` raises holds up the files of that processor alone.
    """

    tag: str
    """What is noted in the name of a file when it is sealed: letters and digits."""
    takes_blocks: bool
    """As a sink's: whether files may have blocks of columns among their JSON lines."""

    @property
    def progress(self) -> int:
        """A number that changes with everything that is delivered, parts of files too."""
        ...

    def begin(self) -> None:
        """Remove what a daemon that is no more has left half done. Raises OSError."""
        ...

    def deliver(self, sealed: Sealed) -> None:
        """Deliver a file, durable on return. Raises OSError when that is to be tried again."""
        ...

    def interrupt(self) -> None:
        """Have a delivery that waits for somebody else raise OSError, and every later one. From another thread."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Stage(Struct, frozen=True):
    """Where records are staged, and until when: so many of them, or so many seconds; and how many bytes may wait."""

    folder: Path
    most_records: int
    most_bytes: int
    most_s: float
    backlog_bytes: int


class _Files(NdjsonSink):
    """The files of a stage. A sealed one is removed one day, and another processor's may get its number."""

    def may_be_of(self, path: Path, processor: str) -> bool:
        return path.name.startswith(f"{processor}.")


class _Filling(Struct):
    """What was committed to a processor's file since it was begun."""

    since: float
    records: int = 0
    bytes: int = 0


class _Trouble(Struct):
    """A processor whose delivery failed, and when it is tried again."""

    tries: int = 0
    until: float = 0.0
    progress: int = 0
    reason: str = ""


class Backlog(Struct, frozen=True):
    """What is committed to a sink and not delivered yet, in bytes, and whose delivery failed: why, and until when."""

    kind: str
    sink: str
    bytes: int
    failing: dict[str, tuple[str, float]]
    """By processor: the reason, and after how many seconds it is tried again."""


class StagedSink:
    """Stages what is committed, and has a carrier deliver it."""

    unit: Unit = "bytes"

    def __init__(
        self, kind: str, name: str, processors: tuple[str, ...], ledger: Ledger, stage: Stage, carrier: Carrier
    ) -> None:
        self.name = name
        self.takes_blocks = carrier.takes_blocks
        self._kind = kind
        self._stage = stage
        self._files = _Files(stage.folder, processors, ledger, direct=False)  # they are read again soon
        self._carrier = carrier
        self._lock = threading.Lock()
        self._written: dict[str, tuple[int, int]] = {}
        self._filling: dict[str, _Filling] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._waiting = 0
        self._last_ms = 0
        self._wake = threading.Event()
        self._stopping = False
        self._is_left = False
        self._thread: threading.Thread | None = None

    def recover(self) -> None:
        self._files.recover()
        if self._stage.folder.exists():
            self._start()

    def takes(self, processor: str) -> bool:
        return self._files.takes(processor)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        if self._waiting > self._stage.backlog_bytes:
            raise OSError(
                errno.EAGAIN,
                f"{self._waiting >> 20} MiB wait to be delivered: reading waits until some of it is",
                self.name,
            )
        with self._lock:
            before = self._written.get(processor, (0, 0))
            self._written[processor] = before  # from now on nothing of it is sealed
            self._files.write(processor, chunks)
            self._written[processor] = sum(map(count_records, chunks)), sum(map(len, chunks))

    def place(self, processor: str) -> None:
        """What was delivered cannot be found again by where it was staged."""

    def sync(self) -> list[SinkMark]:
        return self._files.sync()

    def abandon(self) -> None:
        """What was written is known, and written over."""

    def accept(self) -> None:
        with self._lock:
            self._files.accept()
            for processor, (records, size) in self._written.items():
                filling = self._filling.setdefault(processor, _Filling(clock.monotonic()))
                filling.records += records
                filling.bytes += size
            was_written = bool(self._written)
            self._written.clear()
        if was_written:  # before that there is no stage
            self._start()
            self._wake.set()

    def backlog(self) -> Backlog:
        """Return what waits to be delivered. From any thread; never blocks, and may be a moment old."""
        now = clock.monotonic()
        filling, troubles = list(self._filling.values()), dict(self._troubles)
        failing = {
            processor: (trouble.reason, max(0.0, trouble.until - now))
            for processor, trouble in sorted(troubles.items())
            if trouble.reason
        }
        return Backlog(self._kind, self.name, self._waiting + sum(each.bytes for each in filling), failing)

    def interrupt(self) -> None:
        self._stopping = True
        self._carrier.interrupt()
        self._wake.set()

    def leave(self) -> bool:
        """Deliver what can be delivered at once; the rest stays staged for the next start."""
        with self._lock:
            self._stopping = self._is_left = True
        try:
            # Not left to the thread: from now on another sink may write to what is not sealed.
            self._seal(everything=True)
        except OSError as error:
            self._filling.clear()  # whoever uses this stage next takes it over
            self._say_failed("", error, 0.0)
        self._wake.set()
        self._files.close()
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Leave, and wait until that is done; what an earlier daemon has left is delivered too."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._files.close()

    def _start(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(target=self._run, name=self._kind, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Deliver until told to stop; what fails beside a delivery, as a folder that cannot be read, is tried again."""
        try:
            while True:
                try:
                    self._serve()
                except OSError as error:
                    self._say_failed("", error, RETRY_S[1])
                else:
                    return
                if self._stopping:
                    return
                self._wake.wait(RETRY_S[1])
        finally:
            self._carrier.close()

    def _serve(self) -> None:
        # One at a time: when the settings are read again there are two sinks for a moment.
        with (self._stage.folder / LOCK).open("w") as lock:
            while not _try_lock(lock.fileno()):
                self._wake.clear()
                if self._stopping:
                    return
                self._wake.wait(LOCK_LOOK_S)
            self._carrier.begin()
            self._take_stock()
            while not self._stopping:
                self._wake.clear()
                self._seal(everything=False)
                self._deliver_all()
                self._wake.wait(self._pause_s())
            self._seal(everything=True)
            self._troubles.clear()
            self._deliver_all()

    def _take_stock(self) -> None:
        """See what an earlier sink has left. What it had not sealed is old enough, unless this one goes on with it."""
        with self._lock:
            if self._is_left:
                return  # what is there may be another's already
            sealed = sealed_files(self._stage.folder)
            self._waiting = sum(each.path.stat().st_size for each in sealed)
            self._last_ms = max([self._last_ms, *(each.sealed_ms for each in sealed)])
            for path in self._stage.folder.glob("*.ndjson"):
                if path.stem not in self._written and path.stem not in self._filling:
                    since = clock.monotonic() - self._stage.most_s
                    self._filling[path.stem] = _Filling(since, bytes=path.stat().st_size)

    def _seal(self, *, everything: bool) -> None:
        """Seal what is large or old enough, but nothing that a commit is just writing to."""
        now = clock.monotonic()
        with self._lock:
            for processor, filling in list(self._filling.items()):
                is_due = (
                    filling.records >= self._stage.most_records
                    or filling.bytes >= self._stage.most_bytes
                    or now - filling.since >= self._stage.most_s
                )
                if (is_due or everything) and processor not in self._written:
                    del self._filling[processor]
                    self._seal_one(processor)

    def _seal_one(self, processor: str) -> None:
        path = self._files.path(processor)
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            if size:
                # In the order of their seals, whatever the clock does.
                self._last_ms = max(clock.epoch_ms(), self._last_ms + 1)
                seal = f"{self._last_ms:013d}-{uuid.uuid4().hex[:12]}"
                path.rename(path.with_name(f"{processor}.{seal}.{self._carrier.tag}{SEALED}"))
                sync_folder(self._stage.folder)  # else it could get another seal after a loss of power, and come twice
                self._waiting += size

    def _deliver_all(self) -> None:
        """Deliver every sealed file, the oldest first; a processor whose delivery fails waits, the others do not."""
        for sealed in sealed_files(self._stage.folder):
            trouble = self._troubles.get(sealed.processor)
            if trouble is not None and clock.monotonic() < trouble.until:
                continue
            size = sealed.path.stat().st_size
            try:
                self._carrier.deliver(sealed)
                sealed.path.unlink()
            except OSError as error:
                self._note_failure(sealed, error)
                continue
            except Exception as error:  # noqa: BLE001 - what is staged is of a plugin's making, and others' files wait
                problem = f"it cannot be delivered: {type(error).__name__}: {error}"
                self._note_failure(sealed, OSError(errno.EIO, problem, str(sealed.path)))
                continue
            self._waiting -= size
            if self._troubles.pop(sealed.processor, None) is not None:
                events.emit(events.SINK_DELIVERED, sink=self.name, processor=sealed.processor, waiting=self._waiting)

    def _note_failure(self, sealed: Sealed, error: OSError) -> None:
        trouble = self._troubles.setdefault(sealed.processor, _Trouble())
        if self._stopping:
            trouble.until = float("inf")  # nothing of this processor is delivered out of its order
            return
        if trouble.progress != self._carrier.progress:  # a part of it was delivered since
            trouble.progress, trouble.tries = self._carrier.progress, 0
        first, longest = RETRY_S
        pause_s = min(longest, first * 2**trouble.tries) * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
        if isinstance(error, PostponedError):
            pause_s = max(pause_s, error.after_s)
        trouble.tries += 1
        trouble.until = clock.monotonic() + pause_s
        trouble.reason = explain(error)
        self._say_failed(sealed.processor, error, pause_s)

    def _say_failed(self, processor: str, error: OSError, pause_s: float) -> None:
        events.emit(
            events.SINK_UNDELIVERED,
            sink=self.name,
            processor=processor,
            reason=explain(error),
            waiting=self._waiting,
            retry_s=round(pause_s, 1),
        )

    def _pause_s(self) -> float | None:
        """Return for how long there is nothing to do; None until something is committed."""
        now = clock.monotonic()
        with self._lock:
            moments = [
                filling.since + self._stage.most_s
                for processor, filling in self._filling.items()
                if processor not in self._written  # its commit wakes us when it is accepted
            ]
        moments += [trouble.until for trouble in self._troubles.values()]
        return max(0.0, min(moments) - now) if moments else None


def sealed_files(folder: Path) -> list[Sealed]:
    """Return the sealed files of a stage, the oldest first."""
    found = []
    for path in folder.glob(f"*{SEALED}"):
        processor, seal, tag = path.name.removesuffix(SEALED).split(".")
        found.append(Sealed(path, processor, seal, tag))
    return sorted(found, key=lambda sealed: sealed.seal)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fsync_path(path: Path) -> None:
    """Make a file's bytes durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
