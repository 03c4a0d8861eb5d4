"""Folders -> hints. A hint only says "look again": the folder itself is the truth.

Hints are collected between two turns of the event loop, so that a storm of events is one call. Where the kernel gives
no events, somebody has to look every now and then: `polls` says so.
"""

import asyncio
import contextlib
import errno
import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter

from hostd import events

OnHint = Callable[[set[str]], None]
"""Called in the event loop with the paths that something happened to since the last call."""

# Not opening and reading: we do that ourselves, and would wake ourselves for ever.
ENTRIES: tuple[type[FileSystemEvent], ...] = (
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
)
"""What happens to the entries of a folder, whatever is written to them. Changes of modes are not among it: watchdog
asks the kernel for those only where it asks for writes."""
EVERYTHING = (*ENTRIES, FileModifiedEvent, FileClosedEvent, FileAttribEvent, DirAttribEvent)


class _Handler(FileSystemEventHandler):
    """Runs in watchdog's thread; wakes the event loop at most once a turn, with the paths, and the folders removed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_events: Callable[[set[str], set[str]], None]) -> None:
        self._loop = loop
        self._on_events = on_events
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._removed: set[str] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        paths = {os.fsdecode(path) for path in (event.src_path, event.dest_path) if path}
        with self._lock:
            wake = not self._paths
            self._paths |= paths
            if isinstance(event, DirDeletedEvent):
                self._removed |= paths
        if wake and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            paths, removed, self._paths, self._removed = self._paths, self._removed, set(), set()
        self._on_events(paths, removed)


class _Watch:
    """Watches what lies at one path now. A folder that has taken its place is another, also under the same number."""

    def __init__(
        self,
        watcher: "Watcher",
        handler: _Handler,
        path: Path,
        kinds: tuple[type[FileSystemEvent], ...],
        *,
        recursive: bool,
    ) -> None:
        self._watcher = watcher
        self._kinds = kinds
        self._handler = handler
        self._path = path
        self._recursive = recursive
        self._emitter: EventEmitter | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def polled(self) -> bool:
        """Tell whether the folder is there and the kernel gives no events for it."""
        return self._identity is not None and self._emitter is None

    def check(self) -> bool:
        """Watch what is there, if it is not watched yet; tell whether that was news. Raises OSError if none is."""
        try:
            status = self._path.stat()
            identity = status.st_dev, status.st_ino
            if identity == self._identity and self._is_watched():
                return False
            if identity != self._identity:
                self.forget()
            had_events = self._emitter is not None
            # Also when it is watched: a folder that was removed and made again may have the old one's number.
            self._emitter = self._watcher.schedule(
                self._handler, self._path.resolve(), self._kinds, recursive=self._recursive
            )
        except OSError:
            self.forget()
            raise
        news = identity != self._identity or had_events != (self._emitter is not None)
        self._identity = identity
        return news

    def _is_watched(self) -> bool:
        """Tell whether there is an emitter that has not ended, as it does by itself with its folder."""
        emitter = self._emitter
        return emitter is not None and emitter.should_keep_running() and self._watcher.has(emitter)

    @property
    def cut_off(self) -> bool:
        """Tell whether it is not told any more: somebody else watched the same folder, and does so anew."""
        return self._emitter is not None and not self._watcher.has(self._emitter)

    def note(self, removed: set[str]) -> None:
        """Take note of folders that were removed: the next `check` watches anew what was one of them."""
        if self._emitter is not None and str(self._emitter.watch.path) in removed:
            self._emitter.stop()  # which it does by itself as well, but not before it tells

    def forget(self) -> None:
        """Watch no more, until the next `check`."""
        self._identity = None
        if self._emitter is not None:
            self._watcher.unschedule(self._handler, self._emitter)
            self._emitter = None


class FolderWatch:
    """Watches one folder, whatever becomes of it: moved away, removed, made again, or a link that is switched.

    The kernel says nothing when another folder takes the place of a watched one, so the parent is watched too,
    and `check` compares what is watched with what is there.
    """

    def __init__(
        self,
        watcher: "Watcher",
        folder: Path,
        on_hint: OnHint,
        *,
        recursive: bool,
        kinds: tuple[type[FileSystemEvent], ...] = EVERYTHING,
    ) -> None:
        self._watcher = watcher
        self._folder = folder
        self._on_hint = on_hint
        handler = _Handler(asyncio.get_running_loop(), self._deliver)
        self._own = _Watch(watcher, handler, folder, kinds, recursive=recursive)
        self._parent = _Watch(watcher, handler, folder.parent, ENTRIES, recursive=False)
        watcher.watches.add(self)

    @property
    def by(self) -> Literal["events", "polling"]:
        """What tells of changes."""
        return "polling" if self._own.polled or self._parent.polled else "events"

    def check(self) -> bool:
        """Watch what lies at the folder's path now, if it is not watched yet; tell whether that was news.

        Raises OSError when the folder is not there; the parent is watched then.
        """
        with contextlib.suppress(OSError):  # no parent, no folder: of that the folder itself tells
            self._parent.check()
        return self._own.check()

    def _deliver(self, paths: set[str], removed: set[str]) -> None:
        self._own.note(removed)
        self._parent.note(removed)
        self._on_hint(paths)

    @property
    def cut_off(self) -> bool:
        """Tell whether events may have passed it by."""
        return self._own.cut_off or self._parent.cut_off

    def lost(self) -> None:
        """Look again, and watch again: events were lost, and with them perhaps that of the folder's end."""
        self._own.forget()
        self._parent.forget()
        self._on_hint({str(self._folder)})

    def forget(self) -> None:
        """Watch the folder anew at the next `check`, and its parent as before."""
        self._own.forget()

    def close(self) -> None:
        """Stop watching."""
        self._own.forget()
        self._parent.forget()
        self._watcher.watches.discard(self)


class _Complaints(logging.Handler):
    """What watchdog warns of, in whichever thread: events were lost, or may have been."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._loop = loop
        self._on_lost = on_lost

    def emit(self, record: logging.LogRecord) -> None:
        # An event that arrives while its watch is being ended is a harmless race of watchdog's own.
        if "called when the thread is inactive" not in record.getMessage() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_lost, record.getMessage())


class Watcher:
    """The one observer of the daemon, unless it is to be done without events; its threads end with `close`."""

    def __init__(self, *, poll: bool = False) -> None:
        # A race of watchdog's own, harmless, that it would tell of on standard error: a folder that is seen by its own
        # event and by the walk of its parent.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self.watches: set[FolderWatch] = set()
        self._poll = poll
        self._observer: BaseObserver | None = None
        self._without_events: set[Path] = set()
        self._loop = asyncio.get_running_loop()
        self._complaints = _Complaints(self._loop, self._lost)
        self._log = logging.getLogger("watchdog")
        self._log.addHandler(self._complaints)
        self._log.propagate = False

    @property
    def polls(self) -> bool:
        """Tell whether there are folders that the kernel gives no events for."""
        return self._poll or any(watch.by == "polling" for watch in self.watches)

    def schedule(
        self,
        handler: FileSystemEventHandler,
        folder: Path,
        kinds: tuple[type[FileSystemEvent], ...],
        *,
        recursive: bool,
    ) -> EventEmitter | None:
        """Report these events below `folder` to `handler`, once however often this is asked; None if there are none.

        Raises OSError when the folder is not there.
        """
        if self._poll:
            return None
        try:
            observer = self._observe()
            watch = observer.schedule(handler, str(folder), recursive=recursive, event_filter=list(kinds))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise
            if folder not in self._without_events:
                self._without_events.add(folder)
                events.emit(events.FOLDER_POLLED, folder=str(folder), reason=error.strerror or str(error))
            return None
        self._without_events.discard(folder)
        return next(emitter for emitter in observer.emitters if emitter.watch == watch)

    def has(self, emitter: EventEmitter) -> bool:
        """Tell whether what an emitter tells is reported still."""
        return self._observer is not None and emitter in self._observer.emitters

    def unschedule(self, handler: FileSystemEventHandler, emitter: EventEmitter) -> None:
        """Report no more to `handler`; the emitter itself ends when nobody listens to it."""
        if self._observer is None or not self.has(emitter):
            return  # it ended by itself, with its folder
        with contextlib.suppress(KeyError):  # nothing was reported to it any more
            self._observer.remove_handler_for_watch(handler, emitter.watch)
        if not self._observer._handlers.get(emitter.watch):  # noqa: SLF001 - the observer has no other way to ask
            self._observer.unschedule(emitter.watch)

    def close(self) -> None:
        """Stop all watching."""
        self._log.removeHandler(self._complaints)
        self._log.propagate = True
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)

    def _observe(self) -> BaseObserver:
        """Return the observer, without the emitters that ended with their folders. Raises OSError if none can be."""
        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        for emitter in [emitter for emitter in self._observer.emitters if not emitter.should_keep_running()]:
            self._observer.unschedule(emitter.watch)
            self._loop.call_soon(self._tell_the_cut_off)
        return self._observer

    def _tell_the_cut_off(self) -> None:
        for watch in tuple(self.watches):
            if watch.cut_off:
                watch.lost()

    def _lost(self, reason: str) -> None:
        events.emit(events.FOLDER_EVENTS_LOST, reason=reason)
        for watch in tuple(self.watches):
            watch.lost()
