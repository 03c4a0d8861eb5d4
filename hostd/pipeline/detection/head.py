"""The first bytes of a source, and what can be said of them whatever the plugins are. Pure.

Whatever bytes they are, nothing here raises, and nothing takes longer than their length allows.
"""

import re
from functools import cached_property

MOST_LINES = 50
"""How many lines are compared: enough to tell the rule from the exception, and few enough for a millisecond."""
LINE_BYTES = 4096

_BOM = b"\xef\xbb\xbf"
_HOLE = re.compile(rb"\0{64,}")
_TEXT = bytes(set(range(0x20, 0x100)) | set(b"\a\b\t\n\v\f\r\x1b")).replace(b"\x7f", b"")
_BINARY_SHARE = 0.1


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are no text of any encoding that has no NULs; a hole in a file is no sign of it."""
    data = _HOLE.sub(b"", data)
    return len(data.translate(None, _TEXT)) > len(data) * _BINARY_SHARE


class Head:
    """What a source begins with. `data` begins after a byte order mark, or after a hole before text.

    The rest is found out when it is asked for: most sources are known by their names.
    """

    def __init__(self, data: bytes) -> None:
        text = data.lstrip(b"\0")
        if len(text) < len(data) and text and not is_binary(text):
            data = text
        self.data = data.removeprefix(_BOM)

    @cached_property
    def lines(self) -> tuple[bytes, ...]:
        """The lines that may begin a record: not blank, not indented unless all are, and whole if there is another."""
        return _lines(self.data)

    @cached_property
    def is_binary(self) -> bool:
        """Whether it is no text."""
        return is_binary(self.data)

    @cached_property
    def is_one_line(self) -> bool:
        """Whether its lines end in carriage returns alone, so that for who cuts at line feeds it is one."""
        return b"\n" not in self.data and self.data.count(b"\r") > 1


def _lines(data: bytes) -> tuple[bytes, ...]:
    begun = [line for line in data.split(b"\n", 4 * MOST_LINES)[: 4 * MOST_LINES] if line.strip()]
    if len(begun) > 1 and not data.endswith(b"\n"):
        del begun[-1]  # it may be half of one
    lines = [line for line in begun if line[:1] not in b" \t"] or begun
    return tuple(line[:LINE_BYTES].removesuffix(b"\r") for line in lines[:MOST_LINES])
