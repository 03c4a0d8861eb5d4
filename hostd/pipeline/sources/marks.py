"""How content is known again: a fingerprint of its first bytes, a marker of those just before the last place read."""

import hashlib
from collections.abc import Callable

from hostd.pipeline.ledger import Checkpoint

FINGERPRINT_BYTES = 256
MARKER_BYTES = 64

Read = Callable[[int, int], bytes]
"""Returns up to so many bytes (second) from an offset (first)."""


def digest(content: bytes) -> bytes:
    """Return the hash that fingerprints and markers are made of."""
    return hashlib.blake2b(content, digest_size=16).digest()


def is_continued(checkpoint: Checkpoint, read: Read, size: int) -> bool:
    """Tell whether content holds what was read up to `checkpoint`, and maybe more."""
    if not checkpoint.offset or size < checkpoint.offset:
        return False
    return begins_alike(checkpoint, read) and ends_alike(checkpoint, read)


def begins_alike(checkpoint: Checkpoint, read: Read) -> bool:
    """Tell whether content has the fingerprint of `checkpoint`."""
    first = read(0, checkpoint.fingerprint_length)
    return len(first) == checkpoint.fingerprint_length and digest(first) == checkpoint.fingerprint


def ends_alike(checkpoint: Checkpoint, read: Read) -> bool:
    """Tell whether content has the marker of `checkpoint` where that has it."""
    before = read(checkpoint.offset - checkpoint.marker_length, checkpoint.marker_length)
    return digest(before) == checkpoint.marker
