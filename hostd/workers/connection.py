"""The daemon's end of a worker's socket: frames out and in, in the event loop, with as few calls as that takes.

It reads all the time, so that nothing has to be set up for an answer. At most one frame is handed on in each turn of
the loop, and what is not handed on yet keeps it from reading more: a worker that floods it delays nobody.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence

from hostd.workers import wire

OnFrame = Callable[[int, bytes, int, bytes | None], None]
"""Gets a frame's kind, its fields, the length of its body, and the body, or None where that is in a box."""


class Connection:
    """Frames on one socket.

    `most_bytes()` is what a body may have now. `on_end(problem)` is called once, when the other end has gone, with an
    empty problem, or has sent what is no frame; nothing is read after that, and nothing after `close`.
    """

    def __init__(
        self, sock: socket.socket, most_bytes: Callable[[], int], on_frame: OnFrame, on_end: Callable[[str], None]
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._most_bytes = most_bytes
        self._on_frame = on_frame
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[memoryview] = deque()
        self._came = bytearray()
        self._wanted = wire.HEAD.size
        """How many bytes there must be before there is something to look at."""
        self._is_open = True
        sock.settimeout(0)
        self._loop.add_reader(self._fd, self._read)

    def send(self, head: bytes, body: Sequence[bytes]) -> None:
        """Send a frame, after those before it. Returns at once; that the other end has gone is told by `on_end`."""
        parts = [head, *body] if body else [head]
        if not self._unsent:
            try:
                sent = self._sock.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError:
                return
            if sent == sum(map(len, parts)):
                return
            self._loop.add_writer(self._fd, self._write)
        else:
            sent = 0
        for part in parts:
            if sent < len(part):
                self._unsent.append(memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._stop()
        self._sock.close()

    def _stop(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._unsent.clear()
            self._came.clear()

    def _end(self, problem: str) -> None:
        self._stop()
        self._on_end(problem)

    def _write(self) -> None:
        try:
            while self._unsent:
                part = self._unsent[0]
                sent = self._sock.send(part)
                if sent < len(part):
                    self._unsent[0] = part[sent:]
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        if len(self._came) >= self._wanted:
            return  # there is enough for this turn
        try:
            data = self._sock.recv(max(wire.READ_BYTES, self._wanted - len(self._came)))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end("")
            return
        self._came += data
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on a frame, if there is one, and come back for the next in another turn."""
        if not self._is_open or len(self._came) < self._wanted:
            return
        came, body_begin = self._came, wire.HEAD.size
        try:
            kind, fields_length, body_length, in_box = wire.unpack_head(
                came[:body_begin], wire.MAX_ANSWER_FIELDS_BYTES, self._most_bytes()
            )
        except wire.WireError as error:
            self._end(f"broke the protocol: {error}")
            return
        body_begin += fields_length
        end = body_begin + (0 if in_box else body_length)
        if len(came) < end:
            self._wanted = end
            return
        fields = bytes(came[wire.HEAD.size : body_begin])
        body = None if in_box else bytes(came[body_begin:end])
        del came[:end]
        self._wanted = wire.HEAD.size
        self._on_frame(kind, fields, body_length, body)
        if len(came) >= self._wanted:
            self._loop.call_soon(self._hand_on)
