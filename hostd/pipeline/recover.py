"""A dead letter to a batch: its bytes and its header, from the ledger, and from its source where that has to help.

A letter that cannot be given to a generation as one record, whole and unchanged, is not given to it at all.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable

from hostd.pipeline.framing import declared, declared_in
from hostd.pipeline.ledger import Letter, SourceRow
from hostd.pipeline.ledger.dead import digest_of
from hostd.pipeline.serving import Generation
from hostd.pipeline.sources.file import MAX_HEADER_BYTES, FileSource
from hostd.pipeline.sources.kinds import MissingLibraryError
from hostd.pipeline.sources.original import find_original, holding
from hostd.pipeline.sources.spool import NOT_KEPT, is_spooled
from hostd.workers.batch import Batch

FindRow = Callable[[int], Awaitable[SourceRow | None]]
FindLive = Callable[[int], FileSource | None]


class StaysError(Exception):
    """A letter that a generation cannot take: why, and what can be done."""


async def batch_of(letter: Letter, generation: Generation, find_row: FindRow, find_live: FindLive) -> Batch:
    """Return the batch that a letter is for a generation. Raises StaysError."""
    needs_header = _check_framing(letter, generation)
    raw, header = letter.raw, (letter.header or b"") if generation.framing.has_header else b""
    if letter.is_cut or needs_header:
        limit = generation.manifest.limits.record_mib
        if letter.length > limit << 20:
            raise StaysError(f"it has {letter.length} bytes, over the limit (limits.record_mib = {limit})")
        row = await find_row(letter.source)
        if row is None:
            raise StaysError(f"{_what(letter)}, and nothing is known of its source any more")
        if is_spooled(row):
            raise StaysError(f"{_what(letter)}, and {NOT_KEPT}")
        live = find_live(letter.source)
        # A descriptor of our own: the source may be closed while the thread reads.
        fd = os.dup(live.fd) if live is not None and live.fd >= 0 else -1
        raw, header = await asyncio.to_thread(_read, letter, generation, row, fd)
        header = header if needs_header else letter.header or b""
    return Batch(letter.name, letter.offset, header, raw)


def _check_framing(letter: Letter, generation: Generation) -> bool:
    """Tell whether a header must be found that the letter does not have. Raises StaysError."""
    cut_by, now = declared_in(letter.framing), declared(generation.manifest)
    if "stream" in (now.kind, cut_by.kind if cut_by else ""):
        raise StaysError(
            "it is a piece of a stream, which means nothing without what was before it; hostd parse reads its source"
            " from its start, apart"
        )
    if cut_by is not None and cut_by[:3] != now[:3]:
        raise StaysError(
            f"it was cut by framing {_framing(cut_by.kind, cut_by.start, cut_by.quote)}, and generation"
            f" {generation.number} declares {_framing(*now[:3])}: alone it is another record; reparse its source"
        )
    knows_header = letter.header is not None if cut_by is None else cut_by.header == now.header
    return generation.framing.has_header and not knows_header


def _framing(kind: str, start: str | None, quote: str | None) -> str:
    return kind + (f" ({start})" if start else "") + (f" (quote {quote})" if quote else "")


def _what(letter: Letter) -> str:
    if letter.is_cut:
        return f"only {len(letter.raw)} of its {letter.length} bytes are kept"
    return "its header is not known"


def _read(letter: Letter, generation: Generation, row: SourceRow, fd: int) -> tuple[bytes, bytes]:
    """Return a letter's bytes and its header as its source holds them; closes `fd`. Raises StaysError."""
    try:
        content = holding(fd, row.checkpoint) if fd >= 0 else None
        if fd < 0 and not isinstance(found := find_original(row), str):
            content, fd = found.content, found.fd
        if content is None:
            raise StaysError(f"{_what(letter)}, and {row.name} does not hold it any more")
        leading = content.read(0, MAX_HEADER_BYTES) if generation.framing.has_header else b""
        raw = content.read(letter.offset, letter.length)
        if len(raw) < letter.length or not raw.startswith(letter.raw) or _differs(raw, letter):
            raise StaysError(f"{_what(letter)}, and {row.name} has other bytes in its place")
    except (OSError, MissingLibraryError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StaysError(f"{_what(letter)}, and {row.name} cannot be read: {why}") from error
    finally:
        if fd >= 0:
            os.close(fd)
    end = generation.framing.header_end(leading, final=True) or 0
    if end > letter.offset:
        raise StaysError(f"it is in the header that generation {generation.number} declares")
    return raw, leading[:end]


def _differs(raw: bytes, letter: Letter) -> bool:
    return bool(letter.digest) and digest_of(raw) != letter.digest
