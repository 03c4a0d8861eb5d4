"""The parts of a swap that no daemon can do without, each alone, in milliseconds.

*seen*: a rename into a folder until a raw watchdog observer calls back. *forked*: a worker forked and the plugin
loaded in it, through hostd's own pool. *durable*: 4 KiB appended and fsynced.
"""

import asyncio
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from benchmarks.numbered import NUMBERED, numbered
from hostd.plugins import artifact, proof
from hostd.plugins.environment import Environments
from hostd.workers.pool import Pool

PAGE = bytes(4096)


class _Seen(FileSystemEventHandler):
    def __init__(self) -> None:
        self.name = ""
        self.at = 0.0
        self.event = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not self.event.is_set() and self.name in (event.src_path, event.dest_path):
            self.at = time.monotonic()
            self.event.set()


class Limits:
    """Measures each part once a `turn`. A context manager; it has a folder, a pool and an observer of its own."""

    def __init__(self, folder: Path) -> None:
        self.seen_ms: list[float] = []
        self.forked_ms: list[float] = []
        self.durable_ms: list[float] = []
        self._watched, self._staged, self._store = folder / "watched", folder / "staged.py", folder / "store"
        for made in (self._watched, self._store):
            made.mkdir(parents=True)
        self._synced = os.open(folder / "synced", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seen = _Seen()
        self._observer = Observer()
        self._observer.schedule(self._seen, str(self._watched))
        self._runner = asyncio.Runner()
        self._turns = 0

    def turn(self) -> None:
        """Measure each part once."""
        self._turns += 1
        self.seen_ms.append(self._rename())
        self.forked_ms.append(self._runner.run(self._fork()))
        began = time.monotonic()
        os.write(self._synced, PAGE)
        os.fsync(self._synced)
        self.durable_ms.append((time.monotonic() - began) * 1000)

    def _rename(self) -> float:
        target = self._watched / f"{NUMBERED}.py"
        self._staged.write_text(numbered(self._turns))
        self._seen.name = str(target)
        self._seen.event.clear()
        began = time.monotonic()
        self._staged.replace(target)
        if not self._seen.event.wait(5):
            raise RuntimeError("a rename was not seen within 5 s")
        return (self._seen.at - began) * 1000

    async def _open(self) -> None:
        self._pool = Pool(1, 60.0)

    async def _fork(self) -> float:
        loaded = artifact.read(self._watched / f"{NUMBERED}.py", self._store)
        generation = proof.make(self._turns, loaded, None, "@source", self._pool, Environments(self._store))
        began = time.monotonic()
        await generation.crew.start()
        elapsed_ms = (time.monotonic() - began) * 1000
        await generation.crew.kill()
        return elapsed_ms

    def __enter__(self) -> Self:
        self._observer.start()
        self._runner.run(self._open())
        self._rename()
        self._runner.run(self._fork())  # the first one waits for the process that workers are forked from
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()
        self._observer.stop()
        self._observer.join(5)
        os.close(self._synced)
