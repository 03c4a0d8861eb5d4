"""All received sources of a daemon: which are taken in by what, what an earlier daemon has left, and what is let go.

A source outlives what takes it in: it is read until everything is committed, and then let go. Where whoever sent is
answered only after the commit, what was not committed when a daemon ended is cut off, since it was never answered.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from hostd import events
from hostd.errors import HostdError, SourceError, StateError
from hostd.pipeline.commit import Committer
from hostd.pipeline.faults import explain
from hostd.pipeline.intake.inlet import Inlet
from hostd.pipeline.intake.intake import Intake
from hostd.pipeline.intake.kinds import make
from hostd.pipeline.intake.posts import Posts
from hostd.pipeline.ledger import Checkpoint, Ledger, SourceRow
from hostd.pipeline.pump import Pump
from hostd.pipeline.sources.file import ENDED_S, NOTHING_READ, FileSource
from hostd.pipeline.sources.spool import HEAD, Spool, is_spooled
from hostd.receiving import Received
from hostd.tasks import Tasks

ANSWERED = ("http", "otlp")
"""The kinds whose senders are answered after the commit."""
UNTIL_STOPPED = ("http", "syslog")
"""The kinds that nothing but the daemon ends: `--once` does without them."""
GRACE_S = 5.0
"""How long those who are not answered yet may hold up that a source is removed, or changed."""


class _Entry(Struct, eq=False):
    """A source that is open, and who takes it in; without anybody it is read to its end."""

    inlet: Inlet
    spool: Spool
    users: set[object] = field(default_factory=set)
    letting_go: asyncio.Task[None] | None = None


class Intakes:
    """Opens what the settings name with `start`, and others with `reconfigure`."""

    def __init__(
        self,
        *,
        folder: Path,
        rows: Iterable[SourceRow],
        new_id: Callable[[], int],
        pump: Pump,
        committer: Committer,
        ledger: Ledger,
        tasks: Tasks,
        once: bool = False,
    ) -> None:
        self.tasks = tasks
        self.committer = committer
        self.ledger = ledger
        self.posts = Posts(committer, ledger, pump.knows)  # of all listeners: a body may come again by another one
        self._folder = folder
        self._rows = {row.name: row for row in sorted(rows, key=lambda row: row.id) if is_spooled(row)}
        self._new_id = new_id
        self._pump = pump
        self._once = once
        self._entries: dict[str, _Entry] = {}
        self._intakes: dict[tuple[str, str], tuple[Received, Intake]] = {}
        self._opening = asyncio.Lock()
        self._reconfiguring = asyncio.Lock()

    @property
    def sources(self) -> list[FileSource]:
        """The sources that are open."""
        return [entry.inlet.source for entry in self._entries.values()]

    def by_id(self, number: int) -> FileSource | None:
        """Return the open source with a number of the ledger's."""
        return next((source for source in self.sources if source.id == number), None)

    def status(self) -> list[dict[str, Any]]:
        """Return what takes in, as JSON values."""
        return [{"kind": kind, "name": name, **intake.status()} for (kind, name), (_, intake) in self._intakes.items()]

    async def start(self, settings: Iterable[Received]) -> None:
        """Take in what an earlier daemon has left, and begin to take in more. Raises StateError."""
        await self._recover()
        for each in settings:
            if not (self._once and each.kind in UNTIL_STOPPED):
                await self._start(each)
        self._let_go_of_unused()

    async def reconfigure(self, settings: Iterable[Received]) -> None:
        """Take in by other settings; what has not changed goes on.

        Raises HostdError, and then all is as it was, but for what cannot be begun again, which it names.
        """
        async with self._reconfiguring:
            await self._reconfigure(settings)

    async def _reconfigure(self, settings: Iterable[Received]) -> None:
        new = {(each.kind, each.name): each for each in settings}
        begun: list[tuple[str, str]] = []
        ended: list[Received] = []
        try:
            for key, (old, _) in list(self._intakes.items()):
                if new.get(key) != old:
                    await self._close(key)
                    ended.append(old)
            for key, each in new.items():
                if key not in self._intakes:
                    await self._start(each)
                    begun.append(key)
        except HostdError as error:
            for key in begun:
                await self._close(key)
            lost = await self._begin_again(ended)
            if lost:
                problem = "; nor can what was ended for it be begun again: ".join([error.problem, *lost])
                raise HostdError(error.where, problem, error.remedy) from error
            raise
        finally:
            self._let_go_of_unused()

    async def open(self, kind: str, name: str, settings: Received, user: object) -> Inlet:
        """Return the inlet of a source, on behalf of `user`; opened once however often it is asked for.

        Raises OSError.
        """
        label = label_of(kind, name)
        entry = self._entries.get(label)
        if entry is None:
            async with self._opening:
                entry = self._entries.get(label) or await self._open(kind, name, settings)
        if entry.letting_go is not None:
            entry.letting_go.cancel()
            entry.letting_go = None
            entry.inlet.source.moved_away = False
        entry.users.add(user)
        entry.spool.is_open = True
        entry.inlet.source.processor = settings.processor
        entry.inlet.limit = settings.spool_mib << 20
        return entry.inlet

    async def ended(self) -> None:
        """Wait until nothing more will come of anything by itself."""
        for _, intake in list(self._intakes.values()):
            await intake.ended.wait()

    async def close(self, grace_s: float) -> None:
        """Take no more, and answer those who wait for a commit, within a time; what is spooled stays. May be called
        twice.
        """
        await asyncio.gather(*(self._close(key, grace_s) for key in list(self._intakes)))
        for entry in self._entries.values():
            entry.spool.is_open = False

    async def abandon(self) -> None:
        """Close at once what is not closed, and the spools; what they hold stays."""
        await self.close(0)
        for entry in self._entries.values():
            if entry.letting_go is not None:
                entry.letting_go.cancel()
            entry.inlet.close()
            entry.inlet.source.close()
        self.posts.close()

    async def _start(self, settings: Received) -> None:
        intake = make(settings.kind, settings, self)
        key = settings.kind, settings.name
        where = label_of(*key)
        try:
            await intake.start()
        except OSError as error:
            self._leave(intake)
            what = f"{error.filename}: " if error.filename else ""
            problem = f"it cannot be begun: {what}{error.strerror or error}"
            remedy = "see that nothing else uses it, and that hostd's user may"
            by = "listen" if "listen" in type(settings).model_fields else "kind"
            raise SourceError(*key, by, problem, remedy) from error
        except HostdError:
            self._leave(intake)
            raise
        self._intakes[key] = settings, intake
        events.emit(events.INTAKE_STARTED, source=where, listening=intake.status()["listening"])

    async def _begin_again(self, ended: Iterable[Received]) -> list[str]:
        """Take in again what was ended; tell of each that cannot be begun why."""
        lost: list[str] = []
        for each in ended:
            try:
                await self._start(each)
            except HostdError as error:
                lost.append(f"{error.where}: {error.problem}")
        return lost

    async def _close(self, key: tuple[str, str], grace_s: float = GRACE_S) -> None:
        _, intake = self._intakes.pop(key)
        await intake.close(grace_s)
        self._leave(intake)
        events.emit(events.INTAKE_ENDED, source=label_of(*key))

    def _leave(self, intake: Intake) -> None:
        for entry in self._entries.values():
            entry.users.discard(intake)

    async def _recover(self) -> None:
        """Open what an earlier daemon has left, unless it is cut off."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*/*")):
            kind, name = path.parent.name, path.name
            try:
                if kind in ANSWERED:
                    label = label_of(kind, name)
                    row = self._rows.get(label)
                    spool = Spool(path, label)
                    spool.recover(row.checkpoint.offset if row is not None else 0, cut=True)
                    spool.close()
                elif any(each.name != HEAD for each in path.iterdir()):
                    await self._open(kind, name, None)
            except OSError as error:
                remedy = "see that its disk can be written, and that it is hostd's user's"
                raise StateError(str(path), f"it cannot be used: {error.strerror}", remedy) from error

    async def _open(self, kind: str, name: str, settings: Received | None) -> _Entry:
        label = label_of(kind, name)
        path = self._folder / kind / name
        row = self._rows.get(label)
        checkpoint = row.checkpoint if row is not None else NOTHING_READ
        spool = Spool(path, label)
        spool.recover(checkpoint.offset, cut=kind in ANSWERED)
        if kind in ANSWERED:
            await self.committer.write(self.ledger.received.recover, label, checkpoint.offset)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(fd)
        number = row.id if row is not None else self._new_id()
        source = FileSource(number, label, str(path), fd, status.st_dev, status.st_ino)
        source.receive_into(spool, Checkpoint(max(checkpoint.offset, spool.start)))
        limit = settings.spool_mib << 20 if settings is not None else 0
        entry = self._entries[label] = _Entry(Inlet(source, spool, limit, self._pump.wake), spool)
        events.emit(events.SOURCE_FOUND, source=label, size=source.size(), offset=source.offset)
        self._pump.wake(source)
        return entry

    def _let_go_of_unused(self) -> None:
        for entry in self._entries.values():
            if not entry.users and entry.letting_go is None:
                name = entry.inlet.source.name
                entry.letting_go = self.tasks.start(self._read_to_end(entry), f"let go of {name}")

    async def _read_to_end(self, entry: _Entry) -> None:
        """Have everything committed that a source holds, and then forget it. Its offsets go on if it comes again."""
        source = entry.inlet.source
        source.moved_away, entry.spool.is_open = True, False
        while source.committed.offset < source.size() or not self._pump.has_ended(source):
            self._pump.wake(source)
            await asyncio.sleep(ENDED_S / 8)
        await self._pump.forget(source)
        events.emit(
            events.SOURCE_ENDED,
            source=source.name,
            offset=source.committed.offset,
            reason="no source of the settings is it any more, and it is read to its end",
        )
        del self._entries[source.name]
        self._rows[source.name] = source.row()
        entry.inlet.close()
        try:
            entry.spool.committed(source.size(), also_last=True)
        except OSError as error:  # the next start removes it
            events.emit(events.SPOOL_KEPT, source=source.name, reason=explain(error))
        source.close()


def label_of(kind: str, name: str) -> str:
    """Return what a source is called in records and in the status."""
    return kind if kind == "stdin" else f"{kind}:{name}"
