"""A progress bar and a summary on standard error, when that is a terminal."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from hostd.cli.printing import printable
from hostd.pipeline.sources.file import FileSource

EVERY_S = 0.1
WIDTH = 30


class Progress:
    """Follows the files of one command."""

    def __init__(self, files: list[str]) -> None:
        self._shown = sys.stderr.isatty()
        self._total = sum(path.stat().st_size for path in map(Path, files) if path.is_file())
        self._done = 0

    @contextlib.contextmanager
    def following(self, source: FileSource) -> Iterator[None]:
        """Show how far `source` is while the block runs."""
        if not self._shown:
            yield
            self._done += source.offset
            return
        timer = asyncio.get_running_loop().create_task(self._show(source))
        try:
            yield
        finally:
            timer.cancel()
            self._done += source.offset
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def summarise(self, records: int, rejected: int, seconds: float) -> None:
        """Say what was done."""
        if self._shown:
            speed = self._done / 2**20 / seconds if seconds else 0.0
            sys.stderr.write(f"{records} records, {rejected} rejected, {speed:.1f} MiB/s\n")

    async def _show(self, source: FileSource) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            done, total = self._done + source.offset, max(self._total, self._done + source.size())
            share = done / total if total else 1.0
            bar = "#" * round(share * WIDTH)
            sys.stderr.write(f"\r{bar:<{WIDTH}} {share:4.0%} {printable(source.name)}\x1b[K")
            sys.stderr.flush()
