"""Globs to open files: found as they appear, known again after a rename, a restart, or a rewrite.

Events are hints here too. What a path is, is asked of the file system each time.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from hostd import clock, events
from hostd.config import FileSource as FileSourceConfig
from hostd.pipeline.ledger import SourceRow
from hostd.pipeline.ledger.rows import Copy
from hostd.pipeline.sources.appends import Appends
from hostd.pipeline.sources.archives import Archives, Seal, Seals
from hostd.pipeline.sources.decoders import Decoders
from hostd.pipeline.sources.file import ENDED_S, FileSource
from hostd.pipeline.sources.folders import Folders
from hostd.pipeline.sources.listing import Identity, paths_of, watched_folder
from hostd.pipeline.sources.memory import Memory, find_in, list_files
from hostd.pipeline.sources.opening import open_source
from hostd.pipeline.sources.room import Room
from hostd.pipeline.sources.unreadable import Unreadable
from hostd.watch import Watcher

KEPT_CHECK_S = 30.0
SEAL_CHECK_S = 2.0
LOOK_EVERY_S = 0.05
"""How soon after a look the next one comes, while files keep appearing."""


class FileFinder:
    """The files that the configured globs name, each read once, under whatever names.

    `on_data(source)` says that a source may have something to read, `on_gone(source)` that one has ended;
    `has_ended(source)` tells whether whoever reads it knows that. `on_known(row, seal, copy)` says what the ledger is
    to know beside the batches: a copy, or an archive read to its end, and how to know its bytes again.
    """

    def __init__(
        self,
        *,
        configs: tuple[FileSourceConfig, ...],
        base: Path,
        excluded: Iterable[Path],
        rows: Iterable[SourceRow],
        watcher: Watcher | None = None,
        on_data: Callable[[FileSource], None],
        on_gone: Callable[[FileSource], None],
        has_ended: Callable[[FileSource], bool] = lambda _: True,
        on_known: Callable[[SourceRow, Seal | None, Copy | None], None] = lambda *_: None,
        seals: Seals | None = None,
    ) -> None:
        self.sources: dict[Identity, FileSource] = {}
        self.look_s = 0.0
        """How long the last look took."""
        self.room = Room()
        self._configs = configs
        self._base = base
        self._excluded = tuple(excluded)
        self._hidden: tuple[str, ...] = ()
        self._by_path: dict[str, FileSource] = {}
        self._watcher = watcher
        self._is_patient = watcher is not None
        self._folders = Folders(watcher, self._hinted)
        self._appends = Appends(on_data) if watcher is not None else None
        self._on_data = on_data
        self._on_gone = on_gone
        self._has_ended = has_ended
        self._timer: asyncio.TimerHandle | None = None
        self._on_known = on_known
        self._unreadable = Unreadable(self.look_soon)
        self._sealing: dict[FileSource, asyncio.TimerHandle] = {}
        self._ending: dict[FileSource, asyncio.TimerHandle] = {}
        self._to_adopt: list[SourceRow] | None = None
        """What may have been rotated while nobody looked, and was not looked at yet."""
        self._is_closed = False
        self._memory = Memory(rows, self.sources, self._by_path, lambda row, copy: on_known(row, None, copy))
        self._archives = Archives(self._memory, seals or {})
        self._decoders = Decoders()

    def look(self) -> None:
        """Compare the globs with what is open. Blocks for as long as listing the folders takes."""
        self._timer = None
        if not self.room.begin():
            return
        began = clock.monotonic()
        writes = self._appends is None or not self._appends.works
        self._hide()
        self._folders.watch((pattern for config in self._configs for pattern in config.paths), writes=writes)
        seen: set[Identity] = set()
        for config in self._configs:
            for pattern in config.paths:
                for name, listed in paths_of(pattern):
                    if listed is not None and self._is_as_known(name, listed):
                        seen.add(listed)
                        continue
                    identity = self._look_at(name, config, seen)
                    if identity is not None:
                        seen.add(identity)
        for identity, source in list(self.sources.items()):
            if identity not in seen:
                self._lost_sight_of(source)
        for source in list(self._sealing):
            self._check_sealed(source)
        self._adopt_rotated(seen)
        self.room.end()
        self.look_s = clock.monotonic() - began

    def look_soon(self) -> None:
        """Look again in a moment. Returns at once; many calls are one look."""
        if self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self.look)

    def rewritten(self, source: FileSource) -> None:
        """A source does not hold any more what was read of it: read it from its start, as a new one."""
        events.emit(events.SOURCE_TRUNCATED, source=source.name, offset=source.offset, size=source.size())
        self._memory.remember(source.row(), source.trail)
        source.begin_again(self._memory.new_id())

    def reconfigure(self, configs: tuple[FileSourceConfig, ...]) -> list[FileSource]:
        """Use other globs; return the sources that they no longer name, for the caller to `release`.

        What was moved away is named by none of them, and read to its end all the same, if its folder is.
        """
        self._configs = configs
        named: dict[str, FileSourceConfig] = {}
        for config in configs:
            for pattern in config.paths:
                for name, _ in paths_of(pattern):
                    named.setdefault(os.path.realpath(name), config)
        self._folders.forget()
        left = []
        for source in self.sources.values():
            its = named.get(os.path.realpath(source.path))
            if its is not None:
                source.processor, source.partial_line_s = its.processor, its.partial_line_s
            elif not (source.moved_away and self._is_ours(source.path)):
                left.append(source)
        return left

    def exclude(self, paths: Iterable[Path]) -> list[FileSource]:
        """Read nothing below other paths; return the sources that lie there, for the caller to `release`."""
        self._excluded = tuple(paths)
        self._hide()
        return [source for source in self.sources.values() if self._is_excluded(source.path)]

    def new_id(self) -> int:
        """Return a number for a source that the ledger does not know."""
        return self._memory.new_id()

    def by_id(self, number: int) -> FileSource | None:
        """Return the open source with a number of the ledger's."""
        return next((source for source in self.sources.values() if source.id == number), None)

    def release(self, source: FileSource, reason: str) -> None:
        """Close a source; what was read of it is remembered."""
        events.emit(events.SOURCE_ENDED, source=source.name, offset=source.offset, reason=reason)
        self._memory.remember(source.row(), source.trail)
        if self.sources.get((source.device, source.inode)) is source:  # another may have its number by now
            del self.sources[source.device, source.inode]
        for path in [path for path, known in self._by_path.items() if known is source]:
            del self._by_path[path]
        if self._appends:
            self._appends.forget(source)
        source.close()
        if self.room.left_out:
            self.look_soon()

    def close(self) -> None:
        """Stop watching, and close all files."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for timer in (*self._ending.values(), *self._sealing.values()):
            timer.cancel()
        self._folders.forget()
        self._unreadable.close()
        if self._appends:
            self._appends.close()
        for source in self.sources.values():
            source.close()

    def _hinted(self, paths: set[str]) -> None:
        unknown = False
        for path in paths:
            source = self._by_path.get(path)
            if source is None:
                unknown = True
                continue
            self._on_data(source)
            try:
                status = os.stat(path)
            except OSError:
                unknown = True
            else:
                unknown |= (status.st_dev, status.st_ino) != (source.device, source.inode)
        if unknown:
            self.look_soon()

    def _is_as_known(self, path: str, listed: Identity) -> bool:
        """Tell whether a path names what it named before, and whoever writes to that is heard: nothing else is to do.

        Thousands of idle files are looked at so every now and then.
        """
        source = self.sources.get(listed)
        is_same = source is not None and not source.moved_away and source.path == path
        if is_same and not self._hears_appends():
            assert source is not None
            self._on_data(source)
        return is_same

    def _hears_appends(self) -> bool:
        return self._appends is not None and self._appends.works and not (self._watcher and self._watcher.polls)

    def _look_at(self, name: str, config: FileSourceConfig, seen: set[Identity]) -> Identity | None:
        try:
            status = os.stat(name)
        except PermissionError as error:
            self._unreadable.note(name, error)
            return None
        except OSError:
            return None  # gone again, or a link to nothing
        is_readable = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)
        if not is_readable or self._is_excluded(name):
            return None
        identity = status.st_dev, status.st_ino
        source = self.sources.get(identity)
        if source is None:
            source = self._open(name, config) if self.room.takes(identity, len(self.sources)) else None
            if source is None:
                return None
        elif identity not in seen:
            source.moved_away = False
            source.path = name
        real = os.path.realpath(name)
        real = name if real == name else real  # one string in memory, not two
        displaced = self._by_path.get(real)
        if displaced is not None and displaced is not source:
            self._memory.remember(displaced.row(), displaced.trail)  # a copy of it may lie here, under a longer name
        self._by_path[real] = source
        self._on_data(source)
        return identity

    def _open(self, path: str, config: FileSourceConfig | None) -> FileSource | None:
        try:
            source = open_source(path, self._base, config, self._decoders, self._identify)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable.note(path, error)
            return None
        self._unreadable.forget(path)
        status = os.fstat(source.fd)
        if stat.S_ISFIFO(status.st_mode):
            self._resume_stream(source)
        elif not source.is_unpacked(final=not self._is_patient) and not self._memory.resume(
            source, status.st_size, patient=self._is_patient
        ):
            source.close()
            asyncio.get_running_loop().call_later(ENDED_S / 4, self.look_soon)
            return None
        if self._appends and self._appends.works and not self._appends.watch(source):
            self._folders.forget()  # the next look watches them for what is written, too
            self.look_soon()
        self.sources[source.device, source.inode] = source
        if source.unpacked is None:
            events.emit(events.SOURCE_FOUND, source=source.name, size=source.size(), offset=source.offset)
        return source

    def _resume_stream(self, source: FileSource) -> None:
        """Count on from what came through this FIFO before."""
        before = self._memory.of_file((source.device, source.inode))
        base = 0
        if before:
            source.id, source.name, base = before[0].row.id, before[0].row.name, before[0].row.checkpoint.offset
        else:
            source.id = self._memory.new_id()
        source.stream_from(base, lambda: self._on_data(source))

    async def _identify(self, source: FileSource, patient: bool) -> float | None:  # noqa: FBT001
        wait_s = await self._archives.identify(source, patient)
        if wait_s is None:
            events.emit(events.SOURCE_FOUND, source=source.name, size=source.size(), offset=source.offset)
            self._check_sealed(source)
        return wait_s

    def _check_sealed(self, source: FileSource) -> None:
        """Look now and then whether an archive was read to its end, and have the ledger know."""
        if source in self._sealing:
            self._sealing.pop(source).cancel()
        if source.fd < 0 or source.unpacked is None or not source.unpacked.kind.is_packed:
            return
        noted = self._archives.note_read(source)
        if noted is not None:
            self._on_known(*noted, None)
        elif not self._archives.is_noted(source):
            self._sealing[source] = asyncio.get_running_loop().call_later(SEAL_CHECK_S, self._check_sealed, source)

    def _lost_sight_of(self, source: FileSource) -> None:
        """A file's path names another file, or nothing: find where it went, or read it to its end."""
        if not source.moved_away and self._is_hidden(Path(source.path)):
            return
        found = find_in(Path(source.path).parent, (source.device, source.inode))
        if found is not None:
            if found != Path(source.path):
                events.emit(events.SOURCE_ROTATED, source=source.name, offset=source.offset)
            self._by_path[os.path.realpath(found)] = source
            source.path = str(found)
            source.moved_away = True
        elif not source.moved_away:
            source.moved_away = True
            events.emit(events.SOURCE_ROTATED, source=source.name, offset=source.offset)
        self._on_data(source)
        self._check_ended_after(ENDED_S + 0.1, source)

    def _is_hidden(self, path: Path) -> bool:
        """Tell whether a path cannot be looked at any more; what it named is read on, since it is open."""
        try:
            os.stat(path)
            os.scandir(path.parent).close()
        except PermissionError as error:
            self._unreadable.note(str(path.parent), error)  # the folder, once, not each file that was in it
            return True
        except OSError:
            return False  # gone, as far as can be told
        return False

    def _check_ended_after(self, delay_s: float, source: FileSource) -> None:
        """Look whether a file has ended; once, however often this is asked."""
        if source not in self._ending:
            self._ending[source] = asyncio.get_running_loop().call_later(delay_s, self._check_ended, source)

    def _check_ended(self, source: FileSource) -> None:
        del self._ending[source]
        if source.fd < 0 or not source.moved_away:
            return
        if source.idle_for_s() < ENDED_S or not (source.has_ended() or source.is_cut_short()):
            self._check_ended_after(ENDED_S, source)
            return
        self._on_data(source)
        self._on_gone(source)
        # It stays open while no plugin takes it: nobody else has its bytes any more.
        self._check_ended_after(KEPT_CHECK_S, source)

    def _adopt_rotated(self, seen: set[Identity]) -> None:
        """Open files that were rotated out of the globs while nobody looked, and were not read to their end."""
        rows = self._memory.latest() if self._to_adopt is None else self._to_adopt
        self._to_adopt = []
        folders: dict[Path, dict[Identity, Path]] = {}
        for row in rows:
            identity = row.device, row.inode
            folder = Path(row.path).parent
            if identity in seen or identity in self.sources or not self._is_ours(row.path):
                continue
            if folder not in folders:
                folders[folder] = list_files(folder)
            found = folders[folder].get(identity)
            if found is None or self._is_excluded(str(found)):
                continue
            if not self.room.takes(identity, len(self.sources)):
                self._to_adopt.append(row)
                continue
            source = self._open(str(found), None)
            if source is None:
                continue
            unread = source.offset and (source.offset < source.size() or not self._has_ended(source))
            if source.unpacked is not None or unread:
                source.moved_away = True
                self._on_data(source)
                self._check_ended_after(ENDED_S + 0.1, source)
            else:
                self.release(source, "it was rotated, and had been read to its end")

    def _is_ours(self, path: str) -> bool:
        """Tell whether a path is in a folder that the globs are about."""
        folders = (watched_folder(pattern) for config in self._configs for pattern in config.paths)
        parent = Path(path).parent
        return any(parent == folder or (is_deep and parent.is_relative_to(folder)) for folder, is_deep in folders)

    def _hide(self) -> None:
        """Find out where what is excluded lies: links to it may have been switched."""
        self._hidden = tuple(os.path.join(os.path.realpath(path), "") for path in self._excluded)  # noqa: PTH118

    def _is_excluded(self, path: str) -> bool:
        return f"{os.path.realpath(path)}{os.sep}".startswith(self._hidden)
