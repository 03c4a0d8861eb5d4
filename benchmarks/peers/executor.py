"""The bare loop on `concurrent.futures`: `python -m benchmarks.peers.executor LOG OUT`, in order, two workers."""

import sys
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from benchmarks.bare import CHUNK_BYTES, by_regex, chunks

WORKERS = 2
AHEAD = 4
"""Chunks under way: enough that no worker waits, and memory is bounded."""

_loop = by_regex()


def convert(data: bytes) -> bytes:
    """Return the records of whole lines as JSON lines."""
    return _loop(data)[1]


def main(source: Path, output: Path) -> None:
    """Parse a file into another."""
    waiting: deque[Future[bytes]] = deque()
    with (
        source.open("rb", buffering=CHUNK_BYTES) as log,
        output.open("wb", buffering=0) as out,
        ProcessPoolExecutor(WORKERS) as pool,
    ):
        for data in chunks(log, 0, source.stat().st_size):
            waiting.append(pool.submit(convert, data))
            if len(waiting) > AHEAD:
                out.write(waiting.popleft().result())
        for future in waiting:
            out.write(future.result())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
