"""The plain bytes of a packed or UTF-16 file, one piece after another from its start.

All calls block, and belong in a thread. What was made depends on the file's bytes alone: made again from the start,
it is the same, so an offset in it is as good as one in a plain file.
"""

import codecs
import os
from collections.abc import Callable

from hostd.pipeline.sources.kinds import MAGIC, DamagedError, Decoder, Kind, decoder_errors, kind_of, new_decoder
from hostd.pipeline.sources.zipped import Zipped

FEED_BYTES = 64 << 10
_MAGIC_BYTES = 10
_BOM_BYTES = 2


class Unpacking:
    """One pass over the file open at `fd`. `consumed` counts its bytes, `made` the plain ones.

    A file that ends inside a member is `cut_short` so far: `read` goes on when there is more of it.
    """

    def __init__(self, fd: int, kind: Kind) -> None:
        self.made = 0
        self._fd = fd
        self._fed = 0
        self._members: _Members | Zipped | None = None
        if kind.is_packed:
            self._members = Zipped(fd) if kind is Kind.ZIP else _Members(self._feed, kind)
        self._text = _Text()

    @property
    def consumed(self) -> int:
        """Return how many of the file's bytes were taken."""
        return self._members.consumed if isinstance(self._members, Zipped) else self._fed

    @property
    def cut_short(self) -> bool:
        """Tell whether the last `read` ended inside a member of an archive."""
        return self._members is not None and self._members.cut_short

    @property
    def is_inside_a_member(self) -> bool:
        """Tell whether there is a decoder in the middle of something."""
        return self._members is not None and self._members.is_inside

    def read(self, length: int) -> bytes:
        """Return about `length` more plain bytes at most; none at the file's present end.

        Raises DamagedError, MissingLibraryError, OSError.
        """
        while True:
            raw = self._members.read(length) if self._members is not None else self._feed(length)
            if not raw:
                return b""
            plain = self._text.take(raw)
            if plain:
                self.made += len(plain)
                return plain

    def _feed(self, length: int) -> bytes:
        content = os.pread(self._fd, length, self._fed)
        self._fed += len(content)
        return content


class _Members:
    """The members of an archive, one after another; NULs between and after them are padding."""

    def __init__(self, feed: Callable[[int], bytes], kind: Kind) -> None:
        self._feed = feed
        self._kind = kind
        self._decoder: Decoder | None = None
        self._fed = b""
        self._errors = decoder_errors()
        self.cut_short = False

    @property
    def is_inside(self) -> bool:
        return self._decoder is not None

    def read(self, length: int) -> bytes:
        while True:
            if self._decoder is None and not self._begin_member():
                return b""
            assert self._decoder is not None
            made = self._decode(self._decoder, length)
            if made is None:
                self.cut_short = True
                return b""
            self.cut_short = False
            if self._decoder.eof:
                self._fed = self._decoder.unused_data
                self._decoder = None
            if made:
                return made

    def _begin_member(self) -> bool:
        """Find the next member; False when there is none (yet). Raises DamagedError when something else follows."""
        self.cut_short = False
        while True:
            self._fed = self._fed.lstrip(b"\0")
            if self._fed.startswith(MAGIC[self._kind]):
                self._decoder = new_decoder(self._kind)
                return True
            if len(self._fed) >= _MAGIC_BYTES:
                raise DamagedError(f"what follows its last member is no {self._kind.value}")
            more = self._feed(FEED_BYTES)
            if not more:
                self.cut_short = bool(self._fed)
                return False
            self._fed += more

    def _decode(self, decoder: Decoder, length: int) -> bytes | None:
        """Return what the member goes on with, None when the file ends here."""
        feed = b""
        if decoder.needs_input:
            feed = self._fed or self._feed(FEED_BYTES)
            self._fed = b""
            if not feed:
                return None
        try:
            return decoder.decompress(feed, length)
        except self._errors as error:
            raise DamagedError(str(error) or type(error).__name__) from error


class _Text:
    """Makes UTF-8 of what begins with the mark of UTF-16, and leaves anything else as it is.

    Half a pair of surrogates has no UTF-8; it becomes the three bytes that it would have, which are no text to a
    plugin either.
    """

    def __init__(self) -> None:
        self._start: bytes | None = b""
        self._utf16: codecs.IncrementalDecoder | None = None

    def take(self, raw: bytes) -> bytes:
        if self._start is not None:
            raw = self._start + raw
            kind = kind_of(raw) if raw[:1] in (b"\xff", b"\xfe") else Kind.PLAIN
            if kind is None:
                self._start = raw
                return b""
            self._start = None
            if kind in (Kind.UTF16_LE, Kind.UTF16_BE):
                self._utf16 = codecs.getincrementaldecoder(kind.value)("surrogatepass")
                raw = raw[_BOM_BYTES:]
        if self._utf16 is None:
            return raw
        text: str = self._utf16.decode(raw)
        return text.encode("utf-8", "surrogatepass")
