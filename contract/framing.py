"""Where one record's bytes end and the next one's begin, declared by a manifest instead of by code.

The daemon cuts batches with it, a worker cuts a failing batch further, and tests cut samples: all three must
agree to the byte, so there is one implementation, and it is pure.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

FramingKind = Literal["lines", "multiline", "whole", "stream"]


class LinePattern(Protocol):
    """What tells whether a line begins with something; `contract.pattern.Pattern`, where nothing may stall."""

    def match(self, line: bytes, /) -> object:
        """Return something true when `line` does."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """How a plugin's input is cut.

    `lines`: a record ends at a line feed; with `quote`, not inside a pair of these bytes.
    `multiline`: a record starts at a line that `start` matches and ends before the next such line.
    `whole`: the source is one record.
    `stream`: only the plugin knows; the source is cut anywhere, and fed to it in order.
    `header_lines` leading records, or leading lines that `header_pattern` matches, are the source's header.
    """

    kind: FramingKind = "lines"
    start: LinePattern | None = None
    quote: bytes = b""
    header_lines: int = 0
    header_pattern: LinePattern | None = None

    def boundary(self, data: bytes, *, final: bool = False, start: int = 0, most: int | None = None) -> int:
        """Return the length of the leading part of `data[start:]`, of at most `most` bytes, that is whole records only.

        A record begins at `start`. `final` says that nothing follows. 0: no whole record yet.
        """
        if self.kind == "lines" and not self.quote and not final:  # which takes no copy
            end = data.rfind(b"\n", start, len(data) if most is None else start + most) + 1
            return end and end - start
        if start or most is not None:
            data = data[start : None if most is None else start + most]
        if final or self.kind == "stream":
            return len(data)
        if self.kind == "lines":
            end = data.rfind(b"\n") + 1
            return self._outside_quotes(data, end) if end else end
        if self.kind == "multiline":
            return self._last_start(data)
        return 0

    def first_boundary(self, data: bytes, *, final: bool = False) -> int:
        """Return the end of the first whole record in `data`, or 0 when it is not whole."""
        starts = self.starts(data, final=final)
        if len(starts) > 1:
            return starts[1]
        return self.boundary(data, final=final)

    def starts(self, data: bytes, *, final: bool = True) -> list[int]:
        """Return the offset of each record in `data`, the first of which is 0; empty for no data.

        With `final` False more may follow: a record counts only where its start can be told already.
        """
        if not data:
            return []
        if self.kind in {"whole", "stream"}:
            return [0]
        starts = [0]
        position = data.find(b"\n") + 1
        open_quotes = data.count(self.quote, 0, position) % 2 if self.quote else 0
        while 0 < position < len(data):
            line_end = data.find(b"\n", position) + 1
            if not line_end and not final:
                if not open_quotes and self.kind == "lines":
                    starts.append(position)
                return starts
            if not open_quotes and (self.kind == "lines" or self._is_start(data, position, line_end or len(data))):
                starts.append(position)
            if self.quote:
                open_quotes = (open_quotes + data.count(self.quote, position, line_end or len(data))) % 2
            position = line_end
        if open_quotes and final:
            # A quote that never closes would make one record of all that follows it: cut at lines instead.
            return Framing(kind="lines").starts(data, final=final)
        return starts

    def header_end(self, data: bytes, *, final: bool = False) -> int | None:
        """Return where the header of a source that begins with `data` ends, or None when more is needed."""
        if self.header_pattern is not None:
            return self._matching_lines_end(data, final=final)
        position = 0
        for _ in range(self.header_lines):
            length = self.first_boundary(data[position:], final=final)
            if not length:
                return len(data) if final else None
            position += length
        return position

    @property
    def has_header(self) -> bool:
        """Tell whether sources begin with a header at all."""
        return bool(self.header_lines) or self.header_pattern is not None

    def _matching_lines_end(self, data: bytes, *, final: bool) -> int | None:
        assert self.header_pattern is not None
        position = 0
        while True:
            line_end = data.find(b"\n", position) + 1
            if not line_end and not final:
                return None
            line = data[position : line_end or len(data)]
            if not line or not self.header_pattern.match(line):
                return position
            position += len(line)

    def _outside_quotes(self, data: bytes, end: int) -> int:
        open_quotes = data.count(self.quote, 0, end) % 2
        while open_quotes and end:
            previous = data.rfind(b"\n", 0, end - 1) + 1
            open_quotes = (open_quotes + data.count(self.quote, previous, end)) % 2
            end = previous
        return end

    def _last_start(self, data: bytes) -> int:
        # Not the line that is still being written: what it will be may not match, or not match any more.
        line_end = data.rfind(b"\n") + 1
        while line_end > 0:
            position = data.rfind(b"\n", 0, line_end - 1) + 1
            if position and self._is_start(data, position, line_end):
                return position
            line_end = position
        return 0

    def _is_start(self, data: bytes, position: int, line_end: int) -> bool:
        # The line as a copy of its own: an expression sees neither what follows it nor what is before.
        return self.start is None or bool(self.start.match(data[position:line_end]))
