"""Inside a worker process: load one generation, then parse and encode batches until the daemon hangs up.

The only module that imports a plugin. Whatever the plugin's code raises becomes a message; only its death
reaches the daemon otherwise.
"""

import ctypes
import errno
import gc
import json
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from contract.context import Context
from contract.framing import Framing
from contract.processor import Processor
from hostd.workers import limits, wire
from hostd.workers.attempt import Attempt, SpentError
from hostd.workers.encode import Encoder
from hostd.workers.loading import (
    BrokenPluginError,
    blame,
    import_artifact,
    make_default_options,
    make_options,
    make_processor,
    make_stream_processor,
    short,
)
from hostd.workers.parts import CrowdedError
from hostd.workers.streams import Streams

_PR_SET_NAME = 15
_libc = ctypes.PyDLL(None)

LOAD_TIME_S = 30.0


class _Said:
    """What a plugin says, through its log or its standard output; bounded, so that it cannot flood."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.mute = 0
        self._partial = ""

    def say(self, level: str, message: str) -> None:
        if len(self.lines) < wire.MAX_SAID:
            self.lines.append([level, str(message)[: wire.MAX_SAID_CHARACTERS]])
        else:
            self.mute += 1

    def write(self, text: str) -> int:
        *lines, rest = text.split("\n")
        for line in lines:
            self.say("info", self._partial + line)
            self._partial = ""
        self._partial = (self._partial + rest)[: wire.MAX_SAID_CHARACTERS]
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

    def __init__(self, load: wire.Load, said: _Said, used: limits.DataSize, cpu: limits.CpuAllowance) -> None:
        self.load = load
        self.said = said
        self.used = used
        self.cpu = cpu
        self.framing = framing_from(load)
        self.encoder = Encoder(load.source_field)
        self.spent_bytes = used.bytes() + (load.memory_mib << 19)
        module = import_artifact(load)
        self.options = make_options(module, load)
        # The samples are the author's, and know nothing of what an operator sets.
        self.default_options = make_default_options(module, self.options)
        self.processor: Processor | None = None
        self.streams: Streams | None = None
        if self.framing.kind == "stream":
            self.streams = Streams(make_stream_processor(module, load), load, self.encoder, self._stream_context)
        else:
            self.processor = make_processor(module, load)

    def check_samples(self) -> None:
        """Parse each sample of the manifest. Raises BrokenPluginError for the first that differs."""
        if self.processor is not None:
            for number in range(len(self.load.samples)):
                at_fault = "the format" if self.load.kind == "toml" else "parse"
                self._check_sample(number, self.processor.parse, f"mend {at_fault}, or the sample")
        if self.streams is not None:
            self.streams.check(self.context("sample", 0, b"", 60.0, lambda _raw, _reason: None))
            for number in range(len(self.load.samples)):
                self._check_sample(number, self.streams.parse_whole, "mend feed, or the sample")
                remedy = "mend snapshot and open: they must carry all that feed keeps"
                self._check_sample(number, self.streams.parse_halves, remedy, " fed in two halves")

    def _check_sample(
        self,
        number: int,
        parse: Callable[[bytes, Context], Iterable[Any]],
        remedy: str,
        how: str = "",
    ) -> None:
        header, data, name, expected, rejected_count = self.load.samples[number]
        rejected: list[str] = []
        ctx = self.context(name, 0, bytes.fromhex(header), 60.0, lambda _raw, reason: rejected.append(reason))
        ctx.options = self.default_options
        where = f"{self.load.display}: sample {number}{how}"
        try:
            _, lines = Encoder("").encode(parse(bytes.fromhex(data), ctx), name, self.load.output_mib << 20)
        except BaseException as error:
            line, text = blame(error, self.load)
            raise BrokenPluginError(line, f"sample {number}{how} raises {text}", remedy) from error
        records = [json.loads(line) for line in b"".join(lines).splitlines()]
        if records != expected:
            raise BrokenPluginError(where, f"expected {short(expected)}, got {short(records)}", remedy)
        if len(rejected) != rejected_count:
            problem = f"rejected {len(rejected)} times, expected {rejected_count}: {short(rejected)}"
            raise BrokenPluginError(where, problem, remedy)

    def parse(self, request: wire.Parse, header: bytes, data: bytes, channel: wire.Channel) -> None:
        """Parse a batch and answer; what fails is cut down to the records that fail, and those are dead."""
        attempt = Attempt(self, request, header, data, channel)
        try:
            attempt.run_all()
        except SpentError as error:
            channel.send(wire.Spent(str(error)))
            return
        except CrowdedError:
            self.said.take()  # it is said again, by the short batches that come of it
            channel.send(wire.Crowded(request.token))
            return
        said, mute = self.said.take()
        channel.send(wire.Parsed(attempt.records, attempt.dead, said, mute, request.token), attempt.lines)

    def feed(self, request: wire.Feed, body: bytes, channel: wire.Channel) -> None:
        """Feed a stream and answer."""
        if self.streams is None:
            raise wire.WireError("a Feed for a plugin without streams")
        answer: wire.Message
        lines: list[bytes] = []
        try:
            answer, lines = self.streams.feed(request, body, channel)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a parser fails its input, not the worker
            answer = self.streams.explain(error, request.token)
            if isinstance(error.__cause__ or error, MemoryError):
                self.streams.forget()
                traceback.clear_frames((error.__cause__ or error).__traceback__)
                try:
                    self.check_memory()
                except SpentError as spent:
                    answer = wire.Spent(str(spent))
        said, mute = self.said.take()
        if isinstance(answer, wire.Fed):
            answer = answer._replace(said=said, mute=mute)
        channel.send(answer, lines)

    def check_memory(self) -> None:
        """Tell a process that is full from one that was asked for too much at once. Raises SpentError."""
        gc.collect()
        if self.used.bytes() > self.spent_bytes:
            raise SpentError(f"out of memory, which it does not give back (limits.memory_mib = {self.load.memory_mib})")

    def _stream_context(self, source: str, offset: int, time_s: float, reject: Any) -> Context:
        return self.context(source, offset, b"", time_s, reject)

    def context(self, source: str, offset: int, header: bytes, time_s: float, reject: Any) -> Context:
        return Context(
            source=source,
            offset=offset,
            header=header,
            options=self.options,
            deadline=time.monotonic() + time_s,
            framing=self.framing,
            reject=reject,
            say=self.said.say,
        )


def main(channel: wire.Channel, used: limits.DataSize, seal: Callable[[wire.Load], wire.Load]) -> None:
    """Serve one generation on `channel` until the daemon closes it; `seal` is called before anything of it runs."""
    said = _Said()
    sys.stdout = sys.stderr = said
    sys.dont_write_bytecode = True
    gc.set_threshold(50_000, 20, 50)
    generation = _load(channel, said, used, seal)
    while generation is not None and (frame := channel.receive()) is not None:
        request, body = frame
        if not isinstance(request, wire.Parse | wire.Feed):
            raise wire.WireError(f"expected Parse or Feed, got {type(request).__name__}")
        generation.cpu.allow(request.time_s)
        if isinstance(request, wire.Feed):
            generation.feed(request, body, channel)
            continue
        generation.parse(request, body[: request.header_length], body[request.header_length :], channel)


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


def _load(
    channel: wire.Channel, said: _Said, used: limits.DataSize, seal: Callable[[wire.Load], wire.Load]
) -> Generation | None:
    frame = channel.receive()
    if frame is None:
        return None
    load = frame[0]
    if not isinstance(load, wire.Load):
        raise wire.WireError(f"expected Load, got {type(load).__name__}")
    show_as(f"hostd:{load.name}")
    cpu = limits.CpuAllowance()
    try:
        limits.set_limits(load.memory_mib, used)
        cpu.allow(LOAD_TIME_S)
        try:
            load = seal(load)
        except OSError as error:
            problem = f"its worker cannot be confined: {error}"
            remedy = "make room for it, then: hostd rescan"
            if error.errno == errno.ENOENT:  # the folder that this place shows is not the one that is there now
                remedy = "the folder of private copies, artifacts in the state folder, was removed: restart hostd"
            raise BrokenPluginError(load.display, problem, remedy) from error
        generation = Generation(load, said, used, cpu)
        generation.check_samples()
    except BrokenPluginError as error:
        channel.send(wire.Broken(error.where, error.problem, error.remedy))
        channel.receive()  # end when the daemon hangs up, not before: it would look like a death
        return None
    said.take()
    channel.send(wire.Loaded())
    return generation


def show_as(name: str) -> None:
    """Name this process for ps and top; the kernel keeps 15 bytes of it."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
