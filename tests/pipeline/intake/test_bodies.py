"""Bodies within limits, whatever their senders say of them."""

import asyncio
import gzip
import importlib
import sys
from collections.abc import AsyncIterator

import pytest

from hostd.pipeline.intake.bodies import BodyError, Held, receive

MIB = 1 << 20


async def _chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def received(body: bytes, coding: str = "", *, limit: int = MIB, size: int = 1000, held: Held | None = None) -> bytes:
    held = held or Held(4 * limit)
    before = held.size
    parts, taken = asyncio.run(receive(_chunks(body, size), coding, limit, held))
    assert held.size == before + taken
    held.give(taken)
    return b"".join(parts)


def zstd(body: bytes) -> bytes:
    module = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    packed: bytes = module.compress(body)
    return packed


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_was_packed_comes_out_as_it_was(size: int) -> None:
    body = b"".join(b"line %d\n" % number for number in range(2000))
    assert received(body, size=size) == body
    assert received(gzip.compress(body), "gzip", size=size) == body
    assert received(gzip.compress(body[:99]) + gzip.compress(body[99:]), "x-gzip", size=size) == body
    assert received(zstd(body), "zstd", size=size) == body
    assert received(b"", "gzip") == b""


@pytest.mark.parametrize(
    ("body", "coding", "status", "reason"),
    [
        (b"x" * (MIB + 1), "", 413, "the body has more than 1 MiB unpacked (max_body_mib); send it in parts"),
        (gzip.compress(bytes(50 * MIB)), "gzip", 413, "the body has more than 1 MiB unpacked"),
        (zstd(bytes(50 * MIB)), "zstd", 413, "the body has more than 1 MiB unpacked"),
        (gzip.compress(b"x" * 999, mtime=0)[:-9], "gzip", 400, "the body is no whole gzip: it ends in the middle"),
        (b"no archive", "gzip", 400, "the body is no whole gzip: Error -3 while decompressing"),
        (b"no archive", "zstd", 400, "the body is no whole zstd: "),
        (b"x", "br", 415, "Content-Encoding 'br' is not known here; known are gzip, x-gzip, zstd"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_nothing_of_it_is_held(
    body: bytes, coding: str, status: int, reason: str
) -> None:
    held = Held(4 * MIB)
    with pytest.raises(BodyError) as refused:
        received(body, coding, held=held, size=60_000)
    assert refused.value.status == status
    assert refused.value.reason.startswith(reason)
    assert held.size == 0


def test_too_many_bodies_at_once_are_refused_but_one_never_is() -> None:
    held = Held(10)
    held.take(100)
    with pytest.raises(BodyError, match="too many bodies") as refused:
        held.take(1)
    assert refused.value.status == 429
    held.give(100)
    held.take(1)


def test_an_answer_says_in_headers_what_is_to_be_done() -> None:
    """Whatever is refused, and in whichever encoding: when to come back, how to say who one is, what is taken."""
    assert BodyError(429, "").headers == BodyError(503, "").headers == {"Retry-After": "1"}
    assert BodyError(401, "").headers == {"WWW-Authenticate": "Bearer"}
    assert BodyError(405, "").headers == {"Allow": "POST"}
    assert BodyError(400, "").headers == {}
