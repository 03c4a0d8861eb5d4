"""The one file that a ZIP archive holds, a piece at a time; what holds several is refused.

A ZIP archive is read from its end, where its table of contents is. Without it the archive is taken as cut short:
whoever copies it may not be done.
"""

import io
import os
import struct
import zipfile
import zlib
from typing import IO

from hostd.pipeline.sources.kinds import DamagedError

MOST_CONTENTS_BYTES = 1 << 20
"""Of a table of contents; one file's is some hundred bytes."""
_NAMED = 3
_END_MARK = b"PK\5\6"
_END = struct.Struct("<4s4xHHIIH")
_METHODS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
_ENCRYPTED = 0x1


class UnsuitableError(DamagedError):
    """The archive is whole, and no log. The text says what to do."""


class Zipped:
    """One pass over the file open at `fd`. `consumed` counts its bytes once its table of contents is there."""

    def __init__(self, fd: int) -> None:
        self.consumed = 0
        self.cut_short = False
        self._fd = fd
        self._member: IO[bytes] | None = None
        self._has_ended = False

    @property
    def is_inside(self) -> bool:
        """Tell whether there is a decoder in the middle of something."""
        return self._member is not None

    def read(self, length: int) -> bytes:
        """Return about `length` more plain bytes at most. Raises DamagedError, OSError."""
        if self._has_ended:
            return b""
        try:
            if self._member is None and not self._open():
                return b""
            assert self._member is not None
            made = self._member.read(length)
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError) as error:
            raise DamagedError(str(error) or type(error).__name__) from error
        if not made:
            self._member, self._has_ended = None, True
        return made

    def _open(self) -> bool:
        size = os.fstat(self._fd).st_size
        contents_bytes = self._contents_bytes(size)
        self.cut_short = contents_bytes is None
        if contents_bytes is None:
            return False
        if contents_bytes > MOST_CONTENTS_BYTES:
            raise UnsuitableError("it holds too many files; unpack it, and have the globs find what is in it")
        archive = zipfile.ZipFile(io.BufferedReader(_Positioned(self._fd)))
        self._member = archive.open(_only(archive))
        self.consumed = size
        return True

    def _contents_bytes(self, size: int) -> int | None:
        """Return how long the table of contents is, None when it is not there.

        Raises UnsuitableError for one whose comment looks like an archive's end: readers differ in what it holds.
        """
        tail = os.pread(self._fd, _END.size + 0xFFFF, max(0, size - _END.size - 0xFFFF))
        last = at = tail.rfind(_END_MARK)
        while at >= 0:
            if len(tail) - at >= _END.size:
                _, _, _, contents_bytes, _, comment_bytes = _END.unpack_from(tail, at)
                end = at + _END.size + comment_bytes
                if at == last and end <= len(tail):
                    return int(contents_bytes)
                if end == len(tail):
                    raise UnsuitableError("its comment looks like the end of an archive; pack it without a comment")
            at = tail.rfind(_END_MARK, 0, at)
        return None


def _only(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file in it. Raises UnsuitableError."""
    # macOS puts what it knows of a file beside it. No `is_dir()`: it stumbles over a name that is empty.
    files = [
        each
        for each in archive.infolist()
        if not each.filename.endswith("/") and not each.filename.startswith("__MACOSX/")
    ]
    if len(files) != 1:
        names = ", ".join(each.filename for each in files[:_NAMED]) + (", …" if len(files) > _NAMED else "")
        raise UnsuitableError(
            f"it holds {len(files)} files ({names}), and is read with one alone; unpack it, and have the globs find"
            " them"
            if files
            else "it holds no file"
        )
    (only,) = files
    if only.flag_bits & _ENCRYPTED:
        raise UnsuitableError(f"{only.filename} in it is encrypted; unpack it, and have the globs find what is in it")
    if only.compress_type not in _METHODS:
        raise UnsuitableError(f"{only.filename} in it is packed by method {only.compress_type}; pack it with deflate")
    return only


class _Positioned(io.RawIOBase):
    """A file of its own position over a descriptor that others read too, and close."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begun = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = max(0, (os.fstat(self._fd).st_size if begun is None else begun) + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = os.pread(self._fd, len(buffer), self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
