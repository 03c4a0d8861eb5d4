"""Reads a real folder with the real finder, sources and framing, and commits: the daemon without its workers.

Time passes only when a test says so: files grow old by their times of modification. Each source is a stream, too, whose
snapshot is the last line that was read of it.
"""

import asyncio
import bz2
import gzip
import lzma
import os
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contract.framing import Framing
from hostd.config import FileSource as FileSourceConfig
from hostd.pipeline.framing import NOT_YET, Cut, next_cut
from hostd.pipeline.ledger import Result, SourceRow, StreamState
from hostd.pipeline.ledger.rows import Copy, as_row
from hostd.pipeline.ledger.schema import SCHEMAS
from hostd.pipeline.ledger.streams import StreamStates
from hostd.pipeline.sources.content import NotLoadedError
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.finder import FileFinder
from hostd.pipeline.streams import Streams

LINES = Framing()
QUIET_FOR_S = 10
PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


class Commits:
    """What is to be committed, in order: at once, or with `lags` when somebody says so or waits for it."""

    def __init__(self, *, lags: bool) -> None:
        self._lags = lags
        self._waiting: list[Callable[[], None]] = []

    def submit(self, commit: Callable[[], None]) -> None:
        self._waiting.append(commit)
        if not self._lags:
            self.commit()

    def commit(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()

    def lose(self) -> None:
        """Forget what waits, as a kill does."""
        self._waiting.clear()

    async def flush(self) -> None:
        self.commit()

    async def in_thread(self, function: Callable[..., Any], *args: object) -> Any:
        return function(*args)


class Reading:
    """A folder of logs, and what was read of it by hostds that came and went. `lines` are the lines that came out."""

    def __init__(
        self, folder: Path, *patterns: str, batch: int = 4096, record: int = 1 << 16, lags: bool = False
    ) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.commits = Commits(lags=lags)
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript("".join(SCHEMAS))
        self._states = StreamStates(self._db)
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
        committer: Any = self.commits
        catalog: Any = SimpleNamespace(current={})
        self._streams = Streams(catalog=catalog, pool=catalog, committer=committer, states=self._states)
        self._finder._is_patient = True  # as with a watcher, whose threads and descriptors cost more than all else here

    def stop(self) -> None:
        """End, at whatever point; what is not committed is lost."""
        self.commits.lose()
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
                if source.fd >= 0 and source.offset >= source.size() and source.committed == source.reached:
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
            await self._open_stream(source, cut)
            source.advance(cut.end, b"" if cut.too_long else cut.data)
            self._submit(source, cut)

    async def _open_stream(self, source: FileSource, cut: Cut) -> None:
        """Look for the snapshot that the source goes on from: it must be that of all that comes before."""
        generation: Any = SimpleNamespace(plugin="demo", number=1)
        entry = await self._streams._entry(source, generation)
        if source.reached.offset:
            assert entry.state is not None, f"{source.name} goes on at {source.reached.offset} without its snapshot"
            length = len(entry.state.state)
            if source.unpacked is None:
                assert source.read(source.reached.offset - length, length) == entry.state.state
        last = b"" if cut.too_long else cut.data.splitlines(keepends=True)[-1]
        entry.after = StreamState("demo", 1, cut.end, last, False, 0, None)

    def _submit(self, source: FileSource, cut: Cut) -> None:
        row, (stream, taken_over) = source.row(), self._streams.accept(source)

        def commit() -> None:
            if cut.too_long:
                self.too_long.append(cut.end - cut.start)
            else:
                self.lines += cut.data.decode("utf-8", "backslashreplace").splitlines()
            self.rows[row.id] = row
            self._put(row)
            self._states.put(
                [Result(row, cut.start, "demo", 1, 0, b"", (), stream=stream, taken_over=taken_over)],
            )
            if source.id == row.id:
                source.account_for(row.checkpoint)

        self.commits.submit(commit)

    def _put(self, row: SourceRow) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.id, row.name, row.path, row.device, row.inode, *as_row(row.checkpoint)),
        )

    def _note(self, row: SourceRow, seal: tuple[bytes, int] | None, copy: Copy | None) -> None:
        def commit() -> None:
            self._put(self.rows.setdefault(row.id, row))
            if seal is not None:
                self.seals[row.id] = seal
            if copy is not None:
                self._states.hand_on(copy, row)

        self.commits.submit(commit)


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
