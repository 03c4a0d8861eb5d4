"""Forgets in the ledger what is too old, now and then, so that it does not grow for ever."""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from hostd import clock, events
from hostd.pipeline.commit import Committer
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.places import reaches_back_to
from hostd.pipeline.ledger.reader import Reader, reading
from hostd.pipeline.sources.listing import Identity
from hostd.pipeline.sources.memory import list_files

EVERY_S = 3600.0


class Keeper:
    """Forgets places by age, then sources of which nothing was read for as long, and whose files are gone.

    A file that lies in its folder, under whatever name, or that is open, is not gone: it would be read anew.
    """

    def __init__(self, ledger: Ledger, committer: Committer, open_files: Callable[[], Collection[Identity]]) -> None:
        self._ledger = ledger
        self._committer = committer
        self._open_files = open_files

    async def run(self) -> None:
        """Forget at once, and then every hour, until cancelled."""
        while True:
            await self._committer.until_done(self.forget)
            await asyncio.sleep(EVERY_S)

    def forget(self) -> None:
        """Forget what is too old, in the committer's thread."""
        dropped = self._ledger.expiry.drop_places()
        if dropped:
            with reading(self._ledger.path) as reader:
                since = _since(reader)
            events.emit(events.PROVENANCE_DROPPED, rows=dropped, reaches_back_to=since)
        there: dict[Path, Collection[Identity]] = {}
        gone = []
        for row in self._ledger.expiry.candidates():
            folder, identity = Path(row[2]).parent, (row[3], row[4])
            if folder not in there:
                there[folder] = list_files(folder)
            if identity not in there[folder] and identity not in self._open_files():
                gone.append(row)
        if not gone:
            return
        self._ledger.expiry.forget([row[0] for row in gone])
        for _, name, path, _, _ in gone:
            events.emit(events.SOURCE_FORGOTTEN, source=name, path=path)


def _since(reader: Reader) -> str | None:
    since = reaches_back_to(reader.db)
    return None if since is None else clock.timestamp_of(since)
