"""Standard input as a source. A pipe is read once: what was taken from it and not spooled is gone with the daemon."""

import asyncio
import contextlib
import sys
from typing import Any

from hostd.errors import ConfigError
from hostd.pipeline.intake.inlet import Inlet
from hostd.pipeline.intake.intake import Doors
from hostd.pipeline.intake.pipe import PipeReader
from hostd.receiving import StdinSource


class StdinIntake:
    """Reads standard input to its end."""

    def __init__(self, settings: StdinSource, doors: Doors) -> None:
        self.ended = asyncio.Event()
        self._settings = settings
        self._doors = doors
        self._reader: PipeReader | None = None
        self._inlet: Inlet | None = None

    async def start(self) -> None:
        """Begin to read. Raises ConfigError when there is no standard input, OSError when the spool cannot be used."""
        if sys.stdin is None or sys.stdin.closed:
            raise ConfigError("standard input", "it is closed", "redirect it, or remove the source of kind stdin")
        self._inlet = inlet = await self._doors.open("stdin", self._settings.name, self._settings, self)
        inlet.end_line()
        self._reader = PipeReader(sys.stdin.fileno(), inlet, self._end)
        self._reader.start()

    async def close(self, grace_s: float) -> None:  # noqa: ARG002 - nobody waits to be answered
        """Read no more. May be called twice."""
        if self._reader is not None:
            self._reader.close()

    def status(self) -> dict[str, Any]:
        """Return whether it is at its end."""
        return {"listening": ["standard input"] if not self.ended.is_set() else []}

    def _end(self) -> None:
        self._doors.tasks.start(self._end_line(), "the end of standard input")

    async def _end_line(self) -> None:
        assert self._reader is not None
        assert self._inlet is not None
        await self._reader.emptied()
        with contextlib.suppress(OSError):  # said by the inlet; the next start ends the line
            self._inlet.end_line()
        self.ended.set()
