"""Folders -> hints. A hint only says "look again": the folder itself is the truth.

Hints are collected between two turns of the event loop, so that a storm of events is one call.
"""

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

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
from watchdog.observers.api import BaseObserver, ObservedWatch

OnHint = Callable[[set[str]], None]
"""Called in the event loop with the paths that something happened to since the last call."""

# Not opening and reading: we do that ourselves, and would wake ourselves for ever.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    FileClosedEvent,
    FileAttribEvent,
    DirAttribEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class _Handler(FileSystemEventHandler):
    """Runs in watchdog's thread; wakes the event loop at most once a turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_hint: OnHint) -> None:
        self._loop = loop
        self._on_hint = on_hint
        self._lock = threading.Lock()
        self._paths: set[str] = set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        paths = {os.fsdecode(path) for path in (event.src_path, event.dest_path) if path}
        with self._lock:
            wake = not self._paths
            self._paths |= paths
        if wake and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            paths, self._paths = self._paths, set()
        self._on_hint(paths)


class FolderWatch:
    """Watches one folder, whatever becomes of it: moved away, removed, made again, or a link that is switched.

    The kernel says nothing when another folder takes the place of a watched one, so the parent is watched too,
    and `check` compares what is watched with what is there.
    """

    def __init__(self, watcher: "Watcher", folder: Path, on_hint: OnHint, *, recursive: bool) -> None:
        self._watcher = watcher
        self._folder = folder
        self._recursive = recursive
        self._handler = _Handler(asyncio.get_running_loop(), on_hint)
        self._watch: ObservedWatch | None = None
        self._parent_watch: ObservedWatch | None = None
        self._identity: tuple[int, int] | None = None

    def check(self) -> bool:
        """Watch what lies at the folder's path now, if it is not watched yet; tell whether that was news.

        Raises OSError when the folder is not there or cannot be watched; the parent is watched then.
        """
        if self._parent_watch is None and self._folder.parent.is_dir():
            self._parent_watch = self._watcher.schedule(self._handler, self._folder.parent.resolve(), recursive=False)
        try:
            status = self._folder.stat()
        except OSError:
            self._forget()
            raise
        identity = status.st_dev, status.st_ino
        if identity == self._identity:
            return False
        self._forget()
        self._watch = self._watcher.schedule(self._handler, self._folder.resolve(), recursive=self._recursive)
        self._identity = identity
        return True

    def close(self) -> None:
        """Stop watching."""
        self._forget()
        if self._parent_watch is not None:
            self._watcher.unschedule(self._handler, self._parent_watch)
            self._parent_watch = None

    def _forget(self) -> None:
        self._identity = None
        if self._watch is not None:
            self._watcher.unschedule(self._handler, self._watch)
            self._watch = None


def _is_news(record: logging.LogRecord) -> bool:
    return "called when the thread is inactive" not in record.getMessage()


class Watcher:
    """The one observer of the daemon; its threads end with `close`."""

    def __init__(self) -> None:
        # Two races of watchdog's own, both harmless, that it would tell of on standard error: a folder that is seen
        # by its own event and by the walk of its parent, and an event that arrives while its watch is being ended.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        logging.getLogger("watchdog.observers.inotify").addFilter(_is_news)
        self._observer: BaseObserver = Observer()
        self._observer.start()

    def schedule(self, handler: FileSystemEventHandler, folder: Path, *, recursive: bool) -> ObservedWatch:
        """Report events below `folder` to `handler`. Raises OSError."""
        return self._observer.schedule(handler, str(folder), recursive=recursive, event_filter=_EVENTS)

    def unschedule(self, handler: FileSystemEventHandler, watch: ObservedWatch) -> None:
        """Report no more to `handler`; the watch itself ends when nobody listens to it."""
        try:
            self._observer.remove_handler_for_watch(handler, watch)
            if not self._observer._handlers.get(watch):  # noqa: SLF001 - the observer has no other way to ask
                self._observer.unschedule(watch)
        except KeyError:
            return  # its emitter ended by itself, with its folder

    def close(self) -> None:
        """Stop all watching."""
        self._observer.stop()
        self._observer.join(5)
