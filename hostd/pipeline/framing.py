"""Bytes to batches: the longest run of whole records that is there, up to the plugin's batch size."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from contract.framing import Framing
from contract.manifest import Manifest
from hostd.pipeline.sources.file import FileSource

SCAN_BYTES = 1 << 20
SCANS_A_TURN = 16


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a source. One that is `too_long` is a single record over the limit, of which `data` is the start.

    The `final` one of a stream ends its source, and may be empty.
    """

    start: int
    end: int
    data: bytes
    too_long: bool = False
    final: bool = False


class Declared(NamedTuple):
    """What a manifest declares of its framing, as values: how input was cut, for who meets a piece of it later."""

    kind: str
    start: str | None
    quote: str | None
    header: int | str | None

    def as_text(self) -> str:
        """Return it as text; `declared_in` reads that."""
        return json.dumps(self, ensure_ascii=False)


def declared(manifest: Manifest) -> Declared:
    """Return what a manifest declares."""
    framing = manifest.framing
    return Declared(framing.kind, framing.start, framing.quote, manifest.header)


@lru_cache(maxsize=256)
def declared_in(text: str) -> Declared | None:
    """Return what `as_text` has written, None for nothing."""
    return Declared(*json.loads(text)) if text else None


def next_cut(
    source: FileSource, framing: Framing, batch_bytes: int, record_bytes: int, *, quiet: bool, final: bool
) -> Cut | None:
    """Cut the next piece at the source's offset, or return None when no whole record is there.

    `quiet` says that nothing was written for a while: what could still go on, but has not, is whole then.
    `final` says that nothing follows: a last line without an end is one.
    """
    start = source.offset
    if framing.kind == "whole":
        return _whole(source, record_bytes) if quiet or final else None
    length = min(batch_bytes, record_bytes)
    while True:
        data = source.read(start, length)
        at_end = len(data) < length
        end = framing.boundary(data, final=final and at_end)
        if not end and at_end and quiet and framing.kind == "multiline":
            end = data.rfind(b"\n") + 1
        if end:
            return Cut(start, start + end, data[:end] if end < len(data) else data)
        if at_end:
            return None
        if length >= record_bytes:
            return _over_limit(source, framing, data, final=final)
        length = min(length * 4, record_bytes)


def next_piece(source: FileSource, batch_bytes: int, *, final: bool, ended: bool) -> Cut | None:
    """Cut the next piece of a stream, anywhere; None when there is none.

    `final` says that nothing follows, `ended` that the stream knows that already.
    """
    start = source.offset
    data = source.read(start, batch_bytes)
    at_end = final and len(data) < batch_bytes
    return Cut(start, start + len(data), data, final=at_end) if data or (at_end and not ended) else None


def _whole(source: FileSource, record_bytes: int) -> Cut | None:
    start, size = source.offset, source.size()
    if size <= start:
        return None
    data = source.read(start, min(size - start, record_bytes))
    return Cut(start, size, data, too_long=size - start > record_bytes)


def _over_limit(source: FileSource, framing: Framing, data: bytes, *, final: bool) -> Cut | None:
    """Cut where one record is longer than the limit."""
    start = source.offset
    if framing.kind != "lines" or framing.quote:
        # Most likely a quote that never closes, or a start that never matches: fall back to lines.
        end = replace(framing, kind="lines", quote=b"", start=None).boundary(data)
        if end:
            return Cut(start, start + end, data[:end])
    position = max(start + len(data), source.scanned)
    for _ in range(SCANS_A_TURN):
        more = source.read(position, SCAN_BYTES)
        found = more.find(b"\n") + 1
        if found:
            return Cut(start, position + found, data, too_long=True)
        position += len(more)
        source.scanned = position
        if len(more) < SCAN_BYTES:
            return Cut(start, position, data, too_long=True) if final else None
    return NOT_YET


NOT_YET = Cut(0, 0, b"", too_long=True)
"""The end of a record over the limit was not found within this turn's share: look further in another one."""
