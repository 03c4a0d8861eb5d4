"""One batch being parsed inside a worker: a long one in parts, what fails in ever smaller ones, down to single records.

What is left then is dead. Nothing that the plugin raises gets out.
"""

import math
import time
import traceback
from typing import TYPE_CHECKING, Any

from hostd.workers import wire
from hostd.workers.encode import TooMuchError
from hostd.workers.loading import blame
from hostd.workers.parts import CrowdedError, parts_of
from hostd.workers.rejected import MAX_LONG_REASONS, SHORT_REASON_CHARACTERS, NotInInputError, find

if TYPE_CHECKING:
    from hostd.workers.worker import Generation

LEAST_OUTPUT_BYTES = 1 << 20
"""What a part of a failing batch may yield at least; a part gets its share of what the batch may."""

PART_SHARE, CUT_SHARE = 0.01, 0.25
"""How much of the time limit may go by without a sign of life, before a part and before a half of what fails."""

MAX_TRACES = 20
"""Of a batch's dead letters the first have a traceback: thousands are alike."""


class SpentError(Exception):
    """This process is of no more use."""


class Attempt:
    """One batch being parsed: `run_all`, and then `records`, `lines` and `dead` are what came of it."""

    def __init__(
        self, generation: "Generation", request: wire.Parse, header: bytes, data: bytes, channel: wire.Channel
    ) -> None:
        self.generation = generation
        self.request = request
        self.header = header
        self.data = data
        self.channel = channel
        self.last_sign = time.monotonic()
        self.records = 0
        self.lines: list[bytes] = []
        self.dead: list[list[Any]] = []
        self.dead_before = 0
        self.words = 0
        self.most_words: float = math.inf

    def run_all(self) -> None:
        """Parse the batch; a long one in its parts.

        Raises CrowdedError when these yield more than one answer may, or than is to be held; SpentError.
        """
        part_bytes, most_bytes = self.request.part_bytes, self.request.most_bytes
        parts = list(parts_of(self.data, part_bytes, self.generation.framing)) if part_bytes else []
        if len(parts) < 2:
            self.run(0, len(self.data), most_bytes, None)
            if sum(map(len, self.lines)) > most_bytes:  # the halves of what failed may yield more than their share
                raise SpentError(f"records over the limit (limits.output_mib), {most_bytes} bytes")
            return
        self.most_words = most_bytes
        try:
            for start, end in parts:
                if start:  # each has the time of a batch, but for this share
                    self._sign_of_life(PART_SHARE)
                self.run(start, end, wire.most_output(self.generation.load.output_mib, end - start), None)
                if sum(map(len, self.lines)) > most_bytes:
                    raise CrowdedError
        except (SpentError, MemoryError) as error:
            self.lines.clear()
            raise CrowdedError from error

    def run(self, start: int, end: int, most_bytes: int, starts: list[int] | None) -> None:
        """Parse data[start:end]; `starts` are the offsets of the records in it, if already known."""
        generation, request = self.generation, self.request
        whole = start == 0 and end == len(self.data)
        part = self.data if whole else self.data[start:end]
        rejected: list[tuple[bytes, str]] = []

        def reject(raw: bytes, reason: str) -> None:
            if len(rejected) > end - start:
                raise TooMuchError("it rejects more often than its input has bytes")
            rejected.append((bytes(memoryview(raw)), str(reason)[: wire.MAX_REASON_CHARACTERS]))

        ctx = generation.context(request.source, request.offset + start, self.header, request.time_s, reject)
        assert generation.processor is not None  # the daemon sends what goes with the framing
        try:
            parsed = generation.processor.parse(part, ctx)
            count, lines = generation.encoder.encode(parsed, request.source, most_bytes, blocks=request.blocks)
            dead = find(self.data, rejected, start, end)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a parser fails its input, not the worker
            rejected.clear()
            self._fail(start, end, most_bytes, starts, error)
            return
        self.records += count
        self.lines += lines
        for at, length, reason in dead:
            self._set_aside(at, length, reason, "")

    def _fail(self, start: int, end: int, most_bytes: int, starts: list[int] | None, error: BaseException) -> None:
        if starts is None:
            starts = [start + at for at in self.generation.framing.starts(self.data[start:end])]
        if len(starts) <= 1:
            self._set_aside(start, end - start, *self._explain(error))
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)
            self.generation.check_memory()
        if len(starts) <= 1:
            return
        self._sign_of_life(CUT_SHARE)
        middle = len(starts) // 2
        for begin, until, half in (
            (start, starts[middle], starts[:middle]),
            (starts[middle], end, starts[middle:]),
        ):
            self.run(begin, until, max(LEAST_OUTPUT_BYTES, most_bytes * (until - begin) // (end - start)), half)

    def _sign_of_life(self, share: float) -> None:
        """Say that it is alive, when that share of the time limit has gone by since it did."""
        now = time.monotonic()
        if now - self.last_sign > self.request.time_s * share:
            self.last_sign = now
            self.generation.cpu.allow(self.request.time_s)
            self.channel.send(wire.Alive())

    def _explain(self, error: BaseException) -> tuple[str, str]:
        """Return the reason and the traceback of a dead letter."""
        if isinstance(error, NotInInputError):
            return str(error), ""
        where, text = blame(error, self.generation.load)
        if self.dead_before + len(self.dead) >= MAX_TRACES:
            return f"{text} ({where})", ""
        trace = "".join(traceback.format_exception(error))
        return f"{text} ({where})", trace[-wire.MAX_TRACE_CHARACTERS :]

    def _set_aside(self, start: int, length: int, reason: str, trace: str) -> None:
        """Note a dead letter; those of a part come after those of the parts before it. Raises CrowdedError."""
        if len(self.dead) == wire.MAX_DEAD:
            self.channel.send(wire.Rejected(self.dead))
            self.dead_before += len(self.dead)
            self.dead = []
        most = wire.MAX_REASON_CHARACTERS if self.dead_before < MAX_LONG_REASONS else SHORT_REASON_CHARACTERS
        reason = reason[:most]
        self.words += len(reason) + len(trace)
        if self.words > self.most_words:
            raise CrowdedError
        self.dead.append([start, length, reason, trace])
