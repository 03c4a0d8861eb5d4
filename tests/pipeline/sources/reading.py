"""Reads a real folder with the real finder, sources and framing, and commits at once: the daemon without its workers.

Time passes only when a test says so: files grow old by their times of modification.
"""

import asyncio
import bz2
import gzip
import lzma
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from contract.framing import Framing
from hostd.config import FileSource as FileSourceConfig
from hostd.pipeline.framing import NOT_YET, next_cut
from hostd.pipeline.ledger import SourceRow
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.finder import FileFinder

LINES = Framing()
QUIET_FOR_S = 10
PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


class Reading:
    """A folder of logs, and what was read of it by hostds that came and went. `lines` are the lines that came out."""

    def __init__(self, folder: Path, *patterns: str, batch: int = 4096, record: int = 1 << 16) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.too_long: list[int] = []
        self.rows: dict[int, SourceRow] = {}
        self.seals: dict[int, tuple[bytes, int]] = {}
        self._patterns = patterns or ("*",)
        self._batch, self._record = batch, record
        self._finder: FileFinder | None = None
        self._gone: list[FileSource] = []

    def start(self) -> None:
        """Start to read, with what is known of before."""
        assert self._finder is None
        self._finder = FileFinder(
            configs=(FileSourceConfig(paths=tuple(f"{self.folder}/{pattern}" for pattern in self._patterns)),),
            base=self.folder,
            excluded=(),
            rows=list(self.rows.values()),
            on_data=lambda source: None,
            on_gone=self._gone.append,
            on_known=self._note,
            seals=dict(self.seals),
        )
        self._finder._is_patient = True  # as with a watcher, whose threads and descriptors cost more than all else here

    def stop(self) -> None:
        """End, at whatever point."""
        if self._finder is not None:
            self._finder.close()
            self._finder = None

    @property
    def is_running(self) -> bool:
        return self._finder is not None

    @property
    def sources(self) -> list[FileSource]:
        return list(self._finder.sources.values()) if self._finder is not None else []

    def source(self, name: str) -> FileSource:
        return next(source for source in self.sources if source.name == name)

    async def look(self) -> None:
        """Look at the folder, and read what can be read now."""
        if self._finder is not None:
            self._finder.look()
            for source in self.sources:
                await self._drain(source)

    async def pass_time(self) -> None:
        """Let so much time pass that every file is quiet, and whatever was waited for has been."""
        then = time.time() - QUIET_FOR_S
        for path in self.folder.rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))
        for source in self.sources:
            os.utime(source.fd, (then, then))
        for _ in range(2):
            await self.look()
            if self._finder is None:
                continue
            for source in list(self._finder._ending):
                self._finder._ending[source].cancel()
                self._finder._check_ended(source)
            for source in self._gone:
                if source.fd >= 0:
                    await self._drain(source)
                if source.fd >= 0 and source.offset >= source.size():
                    self._finder.release(source, "it has ended")
            self._gone.clear()
        await self.look()

    async def _drain(self, source: FileSource) -> None:
        assert self._finder is not None
        while source.fd >= 0:
            if await source.prepare(final=False) is not None:
                return
            if source.was_rewritten():
                self._finder.rewritten(source)
                continue
            try:
                final = source.has_ended()
                if not source.find_header(LINES, final=final):
                    return
                cut = next_cut(source, LINES, self._batch, self._record, quiet=False, final=final)
            except NotLoadedError as missing:
                await source.load(missing)
                continue
            if cut is None:
                return
            if cut is NOT_YET:
                continue
            source.advance(cut.end, b"" if cut.too_long else cut.data)
            if cut.too_long:
                self.too_long.append(cut.end - cut.start)
            else:
                self.lines += cut.data.decode("utf-8", "backslashreplace").splitlines()
            source.committed = source.reached
            self.rows[source.id] = source.row()

    def _note(self, row: SourceRow, seal: tuple[bytes, int] | None, _: Copy | None) -> None:
        self.rows.setdefault(row.id, row)
        if seal is not None:
            self.seals[row.id] = seal


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    """Append lines; the last one with another end, if that is given."""
    with path.open("ab") as file:
        file.write(("\n".join(lines) + end).encode() if lines else b"")
    return path


def pack(path: Path, suffix: str = ".gz") -> Path:
    """Compress a file in its folder, and remove it, as gzip does."""
    packed = path.with_name(path.name + suffix)
    packed.write_bytes(PACK[suffix](path.read_bytes()))
    path.unlink()
    return packed


def copy_and_truncate(path: Path, copy: Path) -> None:
    """Rotate as logrotate does with copytruncate."""
    shutil.copy(path, copy)
    os.truncate(path, 0)


def in_loop(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario in an event loop."""

    async def run() -> None:
        await scenario()

    asyncio.run(run())
