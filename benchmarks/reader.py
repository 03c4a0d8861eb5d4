"""Follows an output file as a consumer would: pread every 0.1 ms, or less often, and the time right after each look."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

LOOK_EVERY_S = 0.0001


class Row(msgspec.Struct):
    """One record of the numbered plugin: line number, ns at which it was written, version."""

    n: int
    at: int
    v: int


class Reader:
    """Reads whole lines as they appear. While `delays_ms` is a list, each row's age at its look goes there."""

    def __init__(self, path: Path, look_every_s: float = LOOK_EVERY_S) -> None:
        self.delays_ms: list[float] | None = None
        self._path = path
        self._look_every_s = look_every_s
        self._fd = -1
        self._position = 0
        self._rest = b""
        self._decoder = msgspec.json.Decoder(Row)

    def follow_until(self, wanted: Callable[[Row], bool], timeout_s: float) -> float | None:
        """Return the monotonic time of the look that showed a row that is `wanted`; None: not within `timeout_s`."""
        ends = time.monotonic() + timeout_s
        while True:
            rows, looked_at = self._look()
            if any(map(wanted, rows)):
                return looked_at
            if looked_at > ends:
                return None
            time.sleep(self._look_every_s)

    def follow_for(self, seconds: float) -> None:
        """Read on for a while."""
        self.follow_until(lambda _row: False, seconds)

    def _look(self) -> tuple[list[Row], float]:
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return [], time.monotonic()
        data = os.pread(self._fd, 1 << 20, self._position)
        looked_at = time.monotonic()
        if not data:
            return [], looked_at
        self._position += len(data)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        rows = self._decoder.decode_lines(whole + newline)
        if self.delays_ms is not None:
            self.delays_ms += [looked_at * 1e3 - row.at / 1e6 for row in rows]
        return rows, looked_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
