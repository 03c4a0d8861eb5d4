"""The recent real input of each plugin, bounded: what a new version is tried with before it goes live.

Pieces are whole records' bytes as they were handed to a worker, small enough to be parsed again in no time. Those of a
stream have the snapshot with them that they go on from, and one whose snapshot is larger than that is not kept.
"""

import base64
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from contract.framing import Framing
from hostd import clock
from hostd.workers.batch import Batch, Piece

PIECE_BYTES = 8 << 10
MAX_PIECES = 64
EVERY_S = 0.25
"""A plugin under load has a piece taken this often: what is recent, not what is all."""


class Recent:
    """Up to `keep_bytes()` of input for each plugin."""

    def __init__(self, keep_bytes: Callable[[], int]) -> None:
        self._keep_bytes = keep_bytes
        self._pieces: dict[str, deque[Batch]] = {}
        self._sizes: Counter[str] = Counter()
        self._taken_at: dict[str, float] = {}
        self._changed: set[str] = set()

    def note(self, plugin: str, framing: Framing, batch: Batch) -> None:
        """Take note of a batch that was parsed."""
        keep_bytes = self._keep_bytes()
        # A few pieces at least, however little is kept: a new one takes the oldest one's place.
        piece_bytes = min(PIECE_BYTES, keep_bytes // 4)
        if isinstance(batch, Piece):
            batch = replace(batch, final=False)
            if len(batch.state or b"") + len(batch.before) > piece_bytes:
                return
        now = clock.monotonic()
        if len(batch.data) > piece_bytes:
            if framing.kind == "whole" and len(batch.data) > keep_bytes:
                return
            if now - self._taken_at.get(plugin, 0.0) < EVERY_S:
                return
            self._taken_at[plugin] = now
            if framing.kind != "whole":
                batch = replace(batch, data=batch.data[: framing.boundary(batch.data[:piece_bytes])])
        if not batch.data:
            return
        if batch.blocks:
            batch = replace(batch, blocks=False)  # what it yields is compared as JSON
        pieces = self._pieces.setdefault(plugin, deque())
        last = pieces[-1] if pieces and framing.kind != "whole" else None
        if last is not None and _goes_on(last, batch, piece_bytes):
            pieces[-1] = replace(last, data=last.data + batch.data)
            self._sizes[plugin] += len(batch.data)
        else:
            pieces.append(batch)
            self._sizes[plugin] += _size(batch)
        self._trim(plugin)
        self._changed.add(plugin)

    def pieces(self, plugin: str) -> list[Batch]:
        """Return what is kept of a plugin's input, oldest first."""
        self._trim(plugin)
        return list(self._pieces.get(plugin, ()))

    def forget(self, plugin: str) -> None:
        """Drop what is kept of a plugin's input."""
        if self._pieces.pop(plugin, None) is not None:
            del self._sizes[plugin]
            self._changed.add(plugin)

    def take_changed(self) -> dict[str, str]:
        """Return what changed since the last call, by plugin, as text that `restore` takes."""
        changed, self._changed = self._changed, set()
        return {plugin: _as_text(self._pieces.get(plugin, ())) for plugin in changed}

    def restore(self, saved: dict[str, str]) -> None:
        """Take over what an earlier daemon kept."""
        for plugin, text in saved.items():
            self._pieces[plugin] = deque(_from_fields(fields) for fields in json.loads(text))
            self._sizes[plugin] = sum(map(_size, self._pieces[plugin]))

    def _trim(self, plugin: str) -> None:
        pieces, keep_bytes = self._pieces.get(plugin, deque()), self._keep_bytes()
        while len(pieces) > MAX_PIECES or self._sizes[plugin] > keep_bytes:
            self._sizes[plugin] -= _size(pieces.popleft())


def _goes_on(last: Batch, batch: Batch, piece_bytes: int) -> bool:
    return (
        type(last) is type(batch)
        and last.source == batch.source
        and last.header == batch.header
        and last.offset + len(last.data) == batch.offset
        and len(last.data) + len(batch.data) <= piece_bytes
    )


def _as_text(pieces: Iterable[Batch]) -> str:
    return json.dumps([_as_fields(piece) for piece in pieces])


def _as_fields(piece: Batch) -> list[Any]:
    fields = [piece.source, piece.offset, _encoded(piece.header), _encoded(piece.data)]
    if isinstance(piece, Piece):
        fields += [piece.stream, None if piece.state is None else _encoded(piece.state), _encoded(piece.before)]
    return fields


def _from_fields(fields: list[Any]) -> Batch:
    source, offset, header, data, *stream = fields
    if not stream:
        return Batch(source, offset, base64.b64decode(header), base64.b64decode(data))
    number, state, before = stream
    state = None if state is None else base64.b64decode(state)
    return Piece(source, offset, b"", base64.b64decode(data), number, state, base64.b64decode(before))


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _size(piece: Batch) -> int:
    return len(piece.data) + (len(piece.state or b"") + len(piece.before) if isinstance(piece, Piece) else 0)
