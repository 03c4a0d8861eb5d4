"""What became of each file that `hostd parse` was given: one JSON object a line, for machines."""

import json
import os
from collections.abc import Iterable
from typing import Any

from hostd import clock
from hostd.pipeline.routing import Route
from hostd.pipeline.serving import Generation
from hostd.pipeline.sources.file import FileSource
from hostd.workers.batch import DeadLetter


class Outcomes:
    """Writes to the file open at `fd`; to none where that is None."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._generations: Iterable[Generation] = ()
        self._before = (0, 0)
        self._began = 0.0

    def begin(self, generations: Iterable[Generation]) -> None:
        """Take note of what is before a file is parsed."""
        self._generations = generations
        self._before = tally(generations)
        self._began = clock.monotonic()

    def end(self, source: FileSource, route: Route, letters: list[DeadLetter]) -> None:
        """Write what became of it. `read` of its `bytes` were; an archive's are those that it unpacks to."""
        if self._fd is None:
            return
        records, rejected = tally(self._generations)
        became: dict[str, Any] = {
            "file": source.name,
            "processor": route.plugin,
            "why": route.why,
            "bytes": source.size(),
            "read": source.offset,
            "records": records - self._before[0],
            "rejected": rejected - self._before[1],
            "rejections": [{"offset": letter.offset, "reason": letter.reason} for letter in letters],
            "trouble": source.trouble or None,
            "seconds": round(clock.monotonic() - self._began, 4),
        }
        write_all(self._fd, json.dumps(became).encode() + b"\n")


def tally(generations: Iterable[Generation]) -> tuple[int, int]:
    """Return how many records generations have made, and rejected."""
    found = list(generations)
    return sum(each.records for each in found), sum(each.rejected for each in found)


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content`. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
