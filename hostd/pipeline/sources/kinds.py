"""What a file's first bytes say of the rest: as it is, packed, or UTF-16. And what unpacks it, a piece at a time.

No call makes more than it is asked for, whatever the ratio, and what a decoder itself may take is limited: a bomb
is just a long log.
"""

import bz2
import importlib
import lzma
import sys
import zlib
from enum import Enum
from typing import Any, Protocol

DECODER_BYTES = 128 << 20
"""How much memory one decoder may take: enough for all but the most extreme presets of xz and zstd."""

UTF8_BOM = b"\xef\xbb\xbf"


class Kind(Enum):
    """How a file holds its text. The values name it in events."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZIP = "zip"
    UTF16_LE = "utf-16-le"
    UTF16_BE = "utf-16-be"

    @property
    def is_packed(self) -> bool:
        """Tell whether it is an archive: written once, and then left alone."""
        return self in MAGIC


MAGIC: dict[Kind, tuple[bytes, ...]] = {
    Kind.GZIP: (b"\x1f\x8b\x08",),
    Kind.ZSTD: (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),
    Kind.BZIP2: tuple(b"BZh%d" % level + end for level in range(1, 10) for end in (b"1AY&SY", b"\x17rE8P\x90")),
    Kind.XZ: (b"\xfd7zXZ\0",),
    Kind.ZIP: (b"PK\3\4",),
}
"""How the members of archives begin. Those of zstd may be skippable frames, those of bzip2 empty."""

SUFFIXES = (".gz", ".zst", ".bz2", ".xz", ".zip")
_BOMS = {b"\xff\xfe": Kind.UTF16_LE, b"\xfe\xff": Kind.UTF16_BE}
_UTF32_BOM = b"\xff\xfe\0\0"
KIND_BYTES = 10
"""How many bytes it takes at most to tell."""


def kind_of(head: bytes, *, final: bool = False) -> Kind | None:
    """Tell what a file is by its first bytes; None while they are too few, unless nothing follows (`final`)."""
    for kind, magics in MAGIC.items():
        if head.startswith(magics):
            return kind
    bom = _BOMS.get(head[:2])
    if bom is not None and not head.startswith(_UTF32_BOM) and (final or not _UTF32_BOM.startswith(head)):
        return bom
    beginnings = (*(magic for magics in MAGIC.values() for magic in magics), *_BOMS, _UTF32_BOM)
    if not final and any(len(head) < len(beginning) and beginning.startswith(head) for beginning in beginnings):
        return None
    return Kind.PLAIN


class MissingLibraryError(Exception):
    """This Python cannot unpack that kind. The text says what to install."""


class DamagedError(Exception):
    """The bytes are no archive from here on. The text says what is wrong with them."""


class Decoder(Protocol):
    """What `bz2`, `lzma` and `compression.zstd` have in common."""

    @property
    def eof(self) -> bool:
        """Tell whether the member has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Tell whether it can make no more of what it was given."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Return what follows the member."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Take `data` and return at most `max_length` bytes."""
        ...


class _Gzip:
    """zlib's decoder with the manners of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._is_full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        # It may hold more than it was asked for when the last answer was as long as it could be.
        return not self._inner.unconsumed_tail and not self._is_full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        made = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._is_full = len(made) == max_length
        return made


def new_decoder(kind: Kind) -> Decoder:
    """Return what unpacks one member of an archive. Raises MissingLibraryError."""
    if kind is Kind.GZIP:
        return _Gzip()
    if kind is Kind.BZIP2:
        return bz2.BZ2Decompressor()
    if kind is Kind.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: DECODER_BYTES.bit_length() - 1}
    decoder: Decoder = zstd.ZstdDecompressor(options=options)
    return decoder


def unpacks(kind: Kind) -> None:
    """Do nothing if this Python can unpack that kind. Raises MissingLibraryError."""
    if kind is Kind.ZSTD:
        _zstd()


def decoder_errors() -> tuple[type[Exception], ...]:
    """Return what decoders raise about bytes that are no archive."""
    try:
        return zlib.error, lzma.LZMAError, OSError, EOFError, _zstd().ZstdError
    except MissingLibraryError:
        return zlib.error, lzma.LZMAError, OSError, EOFError


def _zstd() -> Any:
    try:
        return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as error:
        raise MissingLibraryError(
            "zstd needs the package backports.zstd on this Python; install hostd[zstd], and start hostd again"
        ) from error
