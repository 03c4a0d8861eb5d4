"""JSON lines on standard output. What was printed cannot be taken back: a restart may repeat the last ones."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hostd.pipeline.ledger import SinkMark


class StdoutSink:
    """Writes to a file descriptor, 1 by default."""

    name = "stdout"

    def __init__(self, processors: tuple[str, ...] = ("*",), fd: int = 1) -> None:
        self._processors = processors
        self._fd = fd

    def recover(self) -> None:
        """What was printed stays printed."""

    def takes(self, processor: str) -> bool:
        return any(fnmatchcase(processor, glob) for glob in self._processors)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:  # noqa: ARG002
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]

    def place(self, processor: str) -> None:
        """What was printed is nowhere to be found."""

    def sync(self) -> list[SinkMark]:
        return []

    def accept(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Standard output is not ours to close."""
