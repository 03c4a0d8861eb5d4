"""Bodies of requests: received within limits, and unpacked within limits."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from hostd.pipeline.sources.kinds import Kind, MissingLibraryError, decoder_errors, new_decoder

PIECE_BYTES = 1 << 20
RETRY_LATER = {"Retry-After": "1"}
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": "POST"}, 429: RETRY_LATER, 503: RETRY_LATER}
"""What an answer says beside its status, for whoever is to act on that without reading the reason."""
CODINGS = {"gzip": Kind.GZIP, "x-gzip": Kind.GZIP, "zstd": Kind.ZSTD}


class BodyError(Exception):
    """A body that is not taken: with which status of HTTP, and why."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        return HEADERS.get(self.status, {})


class Held:
    """How many bytes of bodies are in memory, of all requests at once, and how many may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0

    def take(self, size: int) -> None:
        """Count more bytes. Raises BodyError when there are too many, unless these are the only ones."""
        if self.size and self.size + size > self.limit:
            raise BodyError(429, "too many bodies are being received at once; send it again later")
        self.size += size

    def give(self, size: int) -> None:
        """Count fewer bytes."""
        self.size -= size


async def receive(chunks: AsyncIterator[bytes], coding: str, limit: int, held: Held) -> tuple[list[bytes], int]:
    """Return a body, unpacked, in parts, and how many bytes of `held` it takes. Raises BodyError; none then."""
    kind = CODINGS.get(coding)
    if kind is None and coding not in ("", "identity"):
        raise BodyError(415, f"Content-Encoding {coding!r} is not known here; known are {', '.join(CODINGS)}")
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            held.take(len(chunk))
            size += len(chunk)
            parts.append(chunk)
            if size > limit:
                raise BodyError(413, _too_large(limit))
        if kind is not None and parts:
            unpacked = await asyncio.to_thread(unpack, kind, parts, limit)
            length = sum(map(len, unpacked))
            held.give(size)
            size = 0
            held.take(length)
            parts, size = unpacked, length
    except BaseException:
        held.give(size)
        raise
    return parts, size


def unpack(kind: Kind, parts: Iterable[bytes], limit: int) -> list[bytes]:
    """Return what an archive holds, in pieces; it may have several members. Raises BodyError."""
    try:
        return _unpack(kind, parts, limit)
    except MissingLibraryError as error:
        raise BodyError(415, str(error)) from error
    except decoder_errors() as error:
        raise BodyError(400, f"the body is no whole {kind.value}: {error}") from error


def _unpack(kind: Kind, parts: Iterable[bytes], limit: int) -> list[bytes]:
    decoder = new_decoder(kind)
    made: list[bytes] = []
    size = 0
    is_begun = False
    for part in parts:
        data = part
        while data or not decoder.needs_input:
            if decoder.eof:
                decoder, is_begun = new_decoder(kind), False
            is_begun = True
            piece = decoder.decompress(data, PIECE_BYTES)
            size += len(piece)
            if size > limit:
                raise BodyError(413, _too_large(limit))
            if piece:
                made.append(piece)
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof and not data:
                break
    if is_begun and not decoder.eof:
        raise EOFError("it ends in the middle")
    return made


def _too_large(limit: int) -> str:
    return f"the body has more than {limit >> 20} MiB unpacked (max_body_mib); send it in parts"
