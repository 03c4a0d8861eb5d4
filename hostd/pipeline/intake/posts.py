"""Bodies into a source, once each: committed when this returns, and once more only without a key.

What came under an idempotency key is remembered with the commit itself. After a crash what was not committed is cut
off. So a body that is sent again is taken in from where its commit had come to, which is nearly always its end, or its
start.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from urllib.parse import quote

from msgspec import Struct

from hostd.pipeline.commit import Committer
from hostd.pipeline.intake.inlet import Inlet
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.received import Received, find

DIGEST_BYTES = 16
KEPT = 1000


class OtherBodyError(Exception):
    """A key that another body has come under."""


class _Live(Struct, frozen=True):
    digest: bytes
    end: int


class Posts:
    """Takes in bodies for all sources of a daemon. `is_known` tells whether any plugin accepts a media type."""

    def __init__(self, committer: Committer, ledger: Ledger, is_known: Callable[[str], bool]) -> None:
        self._committer = committer
        self._received = ledger.received
        self._is_known = is_known
        self._path = ledger.path
        self._db: sqlite3.Connection | None = None
        self._live: dict[str, dict[bytes, _Live]] = {}
        self._looking = asyncio.Lock()

    async def take(self, inlet: Inlet, parts: Sequence[bytes], key: str, media_type: str = "") -> bool:
        """Take in a body of whole lines, and wait until it is committed; tell whether it had come before.

        Raises OSError when it cannot be spooled, OtherBodyError, and MixedError.
        """
        if not key:
            inlet.declare(media_type, self._is_known)
            await inlet.committed(inlet.append(*parts))
            return False
        name, digest = _digest([key.encode()]), _digest(parts)
        source = inlet.source.name
        live = self._live_of(inlet)
        known = live.get(name)
        before = await self._find(source, name) if known is None else None
        known = live.get(name, known)  # the same may have come a second time meanwhile
        if known is not None:
            _compare(known.digest, digest)
            await inlet.committed(known.end)
            return True
        done = 0
        if before is not None:
            _compare(before.digest, digest)
            if before.end >= 0:
                await inlet.committed(before.end)
                return True
            done = before.done
        inlet.declare(media_type, self._is_known)
        start = inlet.received
        end = inlet.append(*_after(parts, done))
        live[name] = _Live(digest, end)
        # Before anything else happens: what the ledger is told of these bytes must not come before this.
        written = self._committer.queue(self._received.put, source, name, Received(digest, done, start, end))
        await inlet.committed(end)
        await written
        return False

    def close(self) -> None:
        """Close what was opened."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _live_of(self, inlet: Inlet) -> dict[bytes, _Live]:
        """Return the last keys of a source, those that are not committed among them; of the others the ledger tells."""
        live = self._live.setdefault(inlet.source.name, {})
        committed = inlet.source.committed.offset
        # Some that are committed stay, for those who have asked the ledger just before it knew.
        while len(live) > KEPT and live[oldest := next(iter(live))].end <= committed:
            del live[oldest]
        return live

    async def _find(self, source: str, name: bytes) -> Received | None:
        async with self._looking:
            return await asyncio.to_thread(self._look_up, source, name)

    def _look_up(self, source: str, name: bytes) -> Received | None:
        if self._db is None:
            uri = f"file:{quote(str(self._path))}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        return find(self._db, source, name)


def _digest(parts: Sequence[bytes]) -> bytes:
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def _compare(known: bytes, digest: bytes) -> None:
    if known != digest:
        raise OtherBodyError


def _after(parts: Sequence[bytes], done: int) -> list[bytes]:
    """Return what is left of a body after its first `done` bytes."""
    left = []
    for part in parts:
        if done < len(part):
            left.append(part[done:] if done else part)
        done = max(0, done - len(part))
    return left
