"""Inside a worker process: load one generation, then parse and encode batches until the daemon hangs up.

The only module that imports a plugin. Whatever the plugin's code raises becomes a message; only its death
reaches the daemon otherwise.
"""

import contextlib
import gc
import json
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.context import Context
from contract.framing import Framing
from contract.processor import Processor
from hostd.workers import limits, wire
from hostd.workers.encode import Encoder
from hostd.workers.loading import (
    BrokenPluginError,
    blame,
    import_artifact,
    make_default_options,
    make_options,
    make_processor,
    short,
)

LOAD_TIME_S = 30.0
MAX_SAID = 20
MAX_SAID_CHARACTERS = 500


class _Said:
    """What a plugin says, through its log or its standard output; bounded, so that it cannot flood."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.mute = 0
        self._partial = ""

    def say(self, level: str, message: str) -> None:
        if len(self.lines) < MAX_SAID:
            self.lines.append([level, str(message)[:MAX_SAID_CHARACTERS]])
        else:
            self.mute += 1

    def write(self, text: str) -> int:
        *lines, rest = text.split("\n")
        for line in lines:
            self.say("info", self._partial + line)
            self._partial = ""
        self._partial = (self._partial + rest)[:MAX_SAID_CHARACTERS]
        return len(text)

    def flush(self) -> None:
        """Nothing is held back that a reader waits for."""

    def take(self) -> tuple[list[list[str]], int]:
        if self._partial:
            self.say("info", self._partial)
        taken = self.lines, self.mute
        self.lines, self.mute, self._partial = [], 0, ""
        return taken


class Generation:
    """One generation, loaded: its processor and what is needed to run it."""

    def __init__(self, load: wire.Load, said: _Said) -> None:
        self.load = load
        self.said = said
        self.framing = framing_from(load)
        self.encoder = Encoder(load.source_field)
        module = import_artifact(load)
        self.options = make_options(module, load)
        # The samples are the author's, and know nothing of what an operator sets.
        self.default_options = make_default_options(module, self.options)
        self.processor: Processor = make_processor(module, load)

    def check_samples(self) -> None:
        """Parse each sample of the manifest. Raises BrokenPluginError for the first that differs."""
        plain = Encoder("")
        for number, (header, data, name, expected, rejected_count) in enumerate(self.load.samples):
            head, body = bytes.fromhex(header), bytes.fromhex(data)
            rejected: list[str] = []
            ctx = self._context(name, 0, head, 60.0, lambda _raw, reason: rejected.append(reason))  # noqa: B023
            ctx.options = self.default_options
            where = f"{self.load.display}: sample {number}"
            try:
                _, lines = plain.encode(self.processor.parse(body, ctx), name)
            except BaseException as error:
                line, text = blame(error, self.load)
                raise BrokenPluginError(
                    line, f"sample {number} raises {text}", "mend parse, or the sample", error
                ) from error
            records = [json.loads(line) for line in lines.splitlines()]
            if records != expected:
                raise BrokenPluginError(
                    where, f"expected {short(expected)}, got {short(records)}", "mend parse, or the sample"
                )
            if len(rejected) != rejected_count:
                raise BrokenPluginError(
                    where,
                    f"rejected {len(rejected)} times, expected {rejected_count}: {short(rejected)}",
                    "mend parse, or the sample",
                )

    def parse(self, request: wire.Parse, header: bytes, data: bytes, still_alive: Any) -> tuple[wire.Parsed, bytes]:
        """Parse a batch; what fails is cut down to the records that fail, and those are dead."""
        attempt = _Attempt(self, request, header, data, still_alive)
        attempt.run(0, len(data), None)
        said, mute = self.said.take()
        return wire.Parsed(attempt.records, attempt.dead, said, mute), b"".join(attempt.lines)

    def _context(self, source: str, offset: int, header: bytes, time_s: float, reject: Any) -> Context:
        return Context(
            source=source,
            offset=offset,
            header=header,
            options=self.options,
            deadline=time.monotonic() + time_s,
            reject=reject,
            say=self.said.say,
        )


class _Attempt:
    """One batch being parsed, whole at first and in ever smaller parts where it fails."""

    def __init__(
        self, generation: Generation, request: wire.Parse, header: bytes, data: bytes, still_alive: Any
    ) -> None:
        self.generation = generation
        self.request = request
        self.header = header
        self.data = data
        self.still_alive = still_alive
        self.records = 0
        self.lines: list[bytes] = []
        self.dead: list[list[Any]] = []

    def run(self, start: int, end: int, starts: list[int] | None) -> None:
        """Parse data[start:end]; `starts` are the offsets of the records in it, if already known."""
        generation, request = self.generation, self.request
        whole = start == 0 and end == len(self.data)
        part = self.data if whole else self.data[start:end]
        rejected: list[tuple[bytes, str]] = []
        ctx = generation._context(  # noqa: SLF001
            request.source,
            request.offset + start,
            self.header,
            request.time_s,
            lambda raw, reason: rejected.append((raw, reason)),
        )
        try:
            count, lines = generation.encoder.encode(generation.processor.parse(part, ctx), request.source)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a parser fails its input, not the worker
            self._fail(start, end, starts, error)
            return
        self.records += count
        self.lines.append(lines)
        position = start
        for raw, reason in rejected:
            position = self._set_aside(raw, str(reason), start, end, position)

    def _fail(self, start: int, end: int, starts: list[int] | None, error: BaseException) -> None:
        if starts is None:
            starts = [start + at for at in self.generation.framing.starts(self.data[start:end])]
        if len(starts) <= 1:
            where, text = blame(error, self.generation.load)
            trace = "".join(traceback.format_exception(error))[-4000:]
            self.dead.append([start, end - start, f"{text} ({where})", trace])
            return
        self.still_alive()
        middle = len(starts) // 2
        self.run(start, starts[middle], starts[:middle])
        self.run(starts[middle], end, starts[middle:])

    def _set_aside(self, raw: bytes, reason: str, start: int, end: int, position: int) -> int:
        """Note a rejected record with its place; return where to look for the next one."""
        at = self.data.find(raw, position, end)
        if at < 0:
            at = self.data.find(raw, start, end)
        if at < 0:
            # Not a piece of the batch: keep the batch's part that it was rejected from.
            self.dead.append([start, end - start, reason, ""])
            return position
        self.dead.append([at, len(raw), reason, ""])
        return at + len(raw)


def main(channel: wire.Channel, seal: Callable[[wire.Load], wire.Load]) -> None:
    """Serve one generation on `channel` until the daemon closes it; `seal` is called before anything of it runs."""
    said = _Said()
    sys.stdout = sys.stderr = said
    sys.dont_write_bytecode = True
    gc.set_threshold(50_000, 20, 50)
    generation = _load(channel, said, seal)
    while generation is not None and (frame := channel.receive()) is not None:
        request, body = frame
        if not isinstance(request, wire.Parse):
            raise wire.WireError(f"expected Parse, got {type(request).__name__}")
        data = bytes(body[request.header_length :])
        last = time.monotonic()
        limits.allow_cpu(request.time_s)

        def still_alive(time_s: float = request.time_s) -> None:
            nonlocal last
            if time.monotonic() - last > time_s / 4:
                last = time.monotonic()
                limits.allow_cpu(time_s)
                channel.send(wire.Alive(1))

        channel.send(*generation.parse(request, bytes(body[: request.header_length]), data, still_alive))


def framing_from(load: wire.Load) -> Framing:
    """Return the framing that a Load carries, without the header, which the daemon cuts. Raises BrokenPluginError."""
    kind, start, quote = load.framing
    try:
        return Framing(kind=kind, start=start_pattern(start) if start is not None else None, quote=quote.encode())
    except (re.error, Warning) as error:
        raise BrokenPluginError(
            load.display,
            f"field 'framing.start' = {start!r}: is a regular expression of RE2 alone: {error}",
            "write what Python's re reads too, [a-z] for [[:lower:]]",
        ) from error


def start_pattern(text: str) -> re.Pattern[bytes]:
    """Return a manifest's regular expression as Python's. Raises re.error, or a Warning where that means another thing.

    Not RE2 like the daemon's: an environment of a plugin's own need not have it, and what stalls here stalls its own
    plugin, until the deadline. The two agree (a property test) but for \\v in \\s, {,n}, and (?i) beyond ASCII; these
    move where a batch that fails anyway is cut, and no more.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return re.compile(text.encode(), re.MULTILINE)


def _load(channel: wire.Channel, said: _Said, seal: Callable[[wire.Load], wire.Load]) -> Generation | None:
    frame = channel.receive()
    if frame is None:
        return None
    load = frame[0]
    if not isinstance(load, wire.Load):
        raise wire.WireError(f"expected Load, got {type(load).__name__}")
    began = time.monotonic()
    show_as(f"hostd:{load.name}")
    try:
        limits.set_limits(load.memory_mib)
        limits.allow_cpu(LOAD_TIME_S)
        try:
            load = seal(load)
        except OSError as error:
            problem = f"its worker cannot be confined: {error}"
            raise BrokenPluginError(load.display, problem, "make room for it, then: hostd rescan", error) from error
        generation = Generation(load, said)
        generation.check_samples()
    except BrokenPluginError as error:
        channel.send(wire.Broken(error.where, error.problem, error.remedy, error.trace))
        channel.receive()  # end when the daemon hangs up, not before: it would look like a death
        return None
    said.take()
    channel.send(wire.Loaded(round((time.monotonic() - began) * 1000, 2)))
    return generation


def show_as(name: str) -> None:
    """Name this process for ps and top; the kernel keeps 15 bytes of it."""
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/comm").write_text(name[:15])
