"""What a plugin's factory returns to a processor of today's contract, whichever contract it was written for.

A worker and the conformance suite make processors here, so that nothing else knows of older contracts.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from contract.context import Context
from contract.processor import Processor, Stream, StreamProcessor
from contract.record import Record


class ProcessorZero(Protocol):
    """A processor of contract 0, the smallest useful contract: a plugin of it has nothing to import.

    `name` is the manifest's.
    """

    name: str

    def parse(self, data: bytes) -> list[str]:
        """Return the messages in `data`, in order; each becomes the record ``{"message": …}``."""
        ...


class MisfitError(TypeError):
    """A factory returned what is no processor of the plugin's contract: what it does, and what it should."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")


class _FromZero:
    """A processor of contract 0 as one of contract 1. It has no way to reject: what it cannot parse, it raises."""

    __slots__ = ("_made", "_plugin")

    def __init__(self, made: ProcessorZero, plugin: str) -> None:
        self._made = made
        self._plugin = plugin

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:  # noqa: ARG002
        messages = self._made.parse(data)
        if not isinstance(messages, list):
            raise TypeError(f"{self._rule()} {type(messages).__name__}")
        for number, message in enumerate(messages):
            if not isinstance(message, str):
                raise TypeError(f"{self._rule()} a list whose item {number} is {type(message).__name__}")
        return [{"message": message} for message in messages]

    def _rule(self) -> str:
        return f"plugin {self._plugin!r} speaks contract 0, where parse(data) returns a list of str; it returned"


def as_processor(made: Any, version: str, plugin: str) -> Processor:
    """Return what the factory of `plugin` made as a processor; `version` is the contract's, as negotiated.

    Raises MisfitError.
    """
    zero = version.startswith("0.")
    if not zero and callable(getattr(made, "open", None)) and not callable(getattr(made, "parse", None)):
        raise MisfitError(
            f"returns {type(made).__name__} with open(ctx, state) and without parse(data, ctx), and its framing is"
            " not 'stream'",
            'write framing = "stream" in the manifest',
        )
    if not callable(getattr(made, "parse", None)):
        raise MisfitError(
            f"returns {type(made).__name__} without a method parse({'data' if zero else 'data, ctx'})",
            "return an object that has one" + ("" if zero else ", or contract.each_line(function)"),
        )
    if not zero:
        processor: Processor = made
        return processor
    name = getattr(made, "name", None)
    if not isinstance(name, str) or name != plugin:
        raise MisfitError(
            f"returns a processor whose name is {name!r:.100}, and its manifest says {plugin!r}", "make them agree"
        )
    return _FromZero(made, plugin)


def as_stream_processor(made: Any) -> StreamProcessor:
    """Return what the factory of a plugin with stream framing made as a stream processor. Raises MisfitError."""
    if not callable(getattr(made, "open", None)):
        raise MisfitError(
            f"returns {type(made).__name__} without a method open(ctx, state), and its framing is 'stream'",
            "return an object that has one, or write the framing that its parse(data, ctx) is for",
        )
    processor: StreamProcessor = made
    return processor


def as_stream(opened: Any) -> Stream:
    """Return what a stream processor's `open` made as a stream. Raises MisfitError."""
    missing = [name for name in ("feed", "snapshot") if not callable(getattr(opened, name, None))]
    if missing:
        raise MisfitError(
            f"open() returns {type(opened).__name__} without {' and '.join(missing)}",
            "return an object with feed(data, final) and snapshot()",
        )
    stream: Stream = opened
    return stream


def snapshot_of(stream: Stream, most_bytes: int) -> bytes:
    """Return a stream's snapshot. Raises MisfitError for what is none, or is too large."""
    state: Any = stream.snapshot()
    if not isinstance(state, bytes):
        raise MisfitError(f"snapshot() returns {type(state).__name__}", "return bytes")
    if len(state) > most_bytes:
        raise MisfitError(
            f"its snapshot of {len(state)} bytes is over the limit (limits.snapshot_kib = {most_bytes >> 10})",
            "keep less, or raise that limit",
        )
    return state
