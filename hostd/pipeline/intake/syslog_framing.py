"""Bytes of a TCP connection to messages, as RFC 6587 has them: counted, or ended by a line feed, told for each message.

What comes out are whole lines, one a message: a line feed within a counted message becomes `#012`, as rsyslog and
syslog-ng write it. Nothing is decoded.
"""

import re

_COUNTED = re.compile(rb"([1-9][0-9]{0,8}) <")
_MAYBE_COUNTED = re.compile(rb"[1-9][0-9]{0,8}( ?)\Z")
_ANY_COUNTED = re.compile(rb"\n[1-9][0-9]{0,8} <")
ESCAPED = b"#012"
TRAILERS = b"\r\n\0"
"""What senders put behind a message that is no part of it."""


class Framing:
    """The state of one connection. A message over `limit` bytes is cut there, and `cut` counts it."""

    def __init__(self, limit: int) -> None:
        self.cut = 0
        self.messages = 0
        self._limit = limit
        self._rest = b""
        self._skips = 0
        """How many bytes still to come belong to a counted message that was cut."""
        self._skips_line = False
        """Whether what comes belongs to a line that was cut."""

    def feed(self, data: bytes) -> bytes:
        """Take what came, and return the lines of the messages that are whole by now."""
        content = self._skip(self._rest + data if self._rest else data)
        lines: list[bytes] = []
        position = 0
        while position < len(content):
            position = self._take_many_counted(content, position, lines)
            counted = _COUNTED.match(content, position)
            if counted is not None:
                after = self._take_counted(content, counted, lines)
            elif _MAYBE_COUNTED.match(content, position):
                break  # it may become one
            else:
                after = self._take_lines(content, position, lines)
            if after == position:
                break
            position = after
        self._rest = content[position:]
        return b"".join(lines)

    def end(self) -> bytes:
        """Return the line of a message that had no end when the connection had its: nothing is thrown away."""
        rest, self._rest = self._rest, b""
        counted = _COUNTED.match(rest)
        if counted is not None:
            rest = rest[counted.end() - 1 :]
        return self._line(rest) if rest and not self._skips_line else b""

    def _skip(self, content: bytes) -> bytes:
        """Return what follows a message that was cut."""
        if self._skips:
            skipped = min(self._skips, len(content))
            self._skips -= skipped
            content = content[skipped:]
        if self._skips_line:
            end = content.find(b"\n") + 1
            self._skips_line = not end
            content = content[end:] if end else b""
        return content

    def _take_many_counted(self, content: bytes, position: int, lines: list[bytes]) -> int:
        """Take the counted messages that are whole and within the limit; return where the next one begins.

        There may be a hundred thousand a second of them, and nothing else.
        """
        match, size, limit, before = _COUNTED.match, len(content), self._limit, len(lines)
        while (counted := match(content, position)) is not None:
            begin = counted.end() - 1
            end = begin + int(counted[1])
            if end > size or end - begin > limit:
                break
            message = content[begin:end]
            lines.append(line_of(message) if b"\n" in message or message[-1] in TRAILERS else message + b"\n")
            position = end
        self.messages += len(lines) - before
        return position

    def _take_counted(self, content: bytes, counted: re.Match[bytes], lines: list[bytes]) -> int:
        begin = counted.end() - 1
        length = int(counted[1])
        kept = min(length, self._limit)
        if len(content) < begin + kept:
            return counted.start()
        lines.append(self._line(content[begin : begin + kept]))
        if kept < length:
            self.cut += 1
            self._skips = max(0, length - (len(content) - begin))
        return min(len(content), begin + length)

    def _take_lines(self, content: bytes, position: int, lines: list[bytes]) -> int:
        """Take all the lines up to a counted message, or to where the last line ends."""
        found = _ANY_COUNTED.search(content, position)
        end = found.start() + 1 if found is not None else content.rfind(b"\n") + 1
        if end <= position:
            if len(content) - position <= self._limit:
                return position
            lines.append(self._line(content[position : position + self._limit]))
            self.cut += 1
            self._skips_line = True
            return len(content)
        block = content[position:end] if position or end < len(content) else content
        if end - position > self._limit:
            block = self._within_limit(block)
        lines.append(block)
        self.messages += block.count(b"\n")
        return end

    def _within_limit(self, block: bytes) -> bytes:
        lines = block.split(b"\n")
        if all(len(line) <= self._limit for line in lines):
            return block
        self.cut += sum(len(line) > self._limit for line in lines)
        return b"\n".join(line[: self._limit] for line in lines)

    def _line(self, message: bytes) -> bytes:
        self.messages += 1
        return line_of(message)


def line_of(message: bytes) -> bytes:
    """Return one message, from a datagram or a counted one, as a line."""
    message = message.rstrip(TRAILERS)
    return (message.replace(b"\n", ESCAPED) if b"\n" in message else message) + b"\n"
