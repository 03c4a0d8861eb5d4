"""Bytes to batches: the longest run of whole records that is there, up to the plugin's batch size."""

import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contract.framing import Framing
from hostd.pipeline.sources.file import FileSource

if TYPE_CHECKING:
    from contract.manifest import Manifest  # not for those who only look into a ledger: it takes long to load

SCAN_BYTES = 1 << 20
SCANS_A_TURN = 16
KEPT_BYTES = 64 << 10
"""How much is kept of a record over the limit."""
PEEK_BYTES = 4 << 10
"""How much of a batch is looked at first, for the end of its last line: to read more and cut it off costs a copy."""


class Cut(Struct, frozen=True):
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


def declared(manifest: "Manifest") -> Declared:
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
    if source.scanned:
        return _end_of_record(source, framing, final=final)
    if framing.kind == "whole":
        return _whole(source, record_bytes) if quiet or final else None
    length = min(batch_bytes, record_bytes)
    if framing.kind == "lines" and not framing.quote and (end := _last_line_end(source, start, length)):
        length = end - start
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


def has_parts(framing: Framing) -> bool:
    """Tell whether a worker may cut a batch into parts: it finds the ends of lines as the daemon does.

    Where a record begins an expression tells, and a worker's may be another one than the daemon's in odd cases.
    """
    return framing.kind == "lines"


def next_piece(source: FileSource, batch_bytes: int, *, final: bool, ended: bool) -> Cut | None:
    """Cut the next piece of a stream, anywhere; None when there is none.

    `final` says that nothing follows, `ended` that the stream knows that already.
    """
    start = source.offset
    data = source.read(start, batch_bytes)
    at_end = final and len(data) < batch_bytes
    return Cut(start, start + len(data), data, final=at_end) if data or (at_end and not ended) else None


def _last_line_end(source: FileSource, start: int, length: int) -> int:
    """Return where the last whole line ends of `length` bytes, 0 where that is not to be told by looking at the last.

    What is read next may be other bytes, of a file that is written over: it is cut as if nobody had looked.
    """
    if length <= 2 * PEEK_BYTES or not source.is_read_in_place:
        return 0
    begin = start + length - PEEK_BYTES
    found = source.read(begin, PEEK_BYTES).rfind(b"\n") + 1
    return begin + found if found else 0


def _whole(source: FileSource, record_bytes: int) -> Cut | None:
    start = source.offset
    left = source.size() - start
    if left <= 0:
        return None
    # What an archive holds is known only when all of it was unpacked: it is asked for more than may be there.
    data = source.read(start, record_bytes + 1 if source.unpacked is not None else min(left, record_bytes + 1))
    if len(data) <= record_bytes:
        return Cut(start, start + len(data), data)
    source.scan(data[: min(KEPT_BYTES, record_bytes)], start + len(data))
    return _end_of_record(source, Framing(kind="whole"), final=True)


def _over_limit(source: FileSource, framing: Framing, data: bytes, *, final: bool) -> Cut | None:
    """Cut where one record is longer than the limit."""
    start = source.offset
    if framing.kind != "lines" or framing.quote:
        # Most likely a quote that never closes, or a start that never matches: fall back to lines.
        end = replace(framing, kind="lines", quote=b"", start=None).boundary(data)
        if end:
            return Cut(start, start + end, data[:end])
    source.scan(data[:KEPT_BYTES], start + len(data))
    return _end_of_record(source, framing, final=final)


def _end_of_record(source: FileSource, framing: Framing, *, final: bool) -> Cut | None:
    """Look on for the end of a record over the limit: that of its line, or of the whole document."""
    final = final or framing.kind == "whole"
    start, data = source.offset, source.too_long
    for _ in range(SCANS_A_TURN):
        position = source.scanned
        more = source.read(position, SCAN_BYTES)
        found = more.find(b"\n") + 1 if framing.kind != "whole" else 0
        if found:
            return Cut(start, position + found, data, too_long=True)
        source.scan(data, position + len(more))
        if len(more) < SCAN_BYTES:
            return Cut(start, source.scanned, data, too_long=True) if final else None
    return NOT_YET


NOT_YET = Cut(0, 0, b"", too_long=True)
"""The end of a record over the limit was not found within this turn's share: look further in another one."""
