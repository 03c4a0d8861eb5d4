"""What a processor is handed beside the bytes: where they come from, and ways to answer.

A context belongs to one call of `parse` and is not kept beyond it; that of a stream belongs to the stream.
"""

import time
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing the contract must cost little, and few need it
    from contract.framing import Framing


class PluginLog:
    """Say something to the operator: each line becomes one `plugin.logged` event of the daemon."""

    __slots__ = ("_say",)

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say

    def debug(self, message: str) -> None:
        """Log at level debug."""
        self._say("debug", message)

    def info(self, message: str) -> None:
        """Log at level info."""
        self._say("info", message)

    def warning(self, message: str) -> None:
        """Log at level warning."""
        self._say("warning", message)

    def error(self, message: str) -> None:
        """Log at level error."""
        self._say("error", message)


class Context:
    """The circumstances of one batch, or of one stream: then `offset` and `deadline` are those of each `feed`.

    `source` is the name of the source, as records carry it. `offset` is the position of the batch's first
    byte in that source, in bytes. `header` holds the leading lines that the manifest's `header` asks for,
    as bytes with their line ends, the same for every batch of a source. `options` is the plugin's `Options`
    model, validated, or None when the plugin defines none. `deadline` is the `time.monotonic()` at which
    the worker is killed. `rejections` counts what was rejected so far.
    """

    __slots__ = ("_framing", "_reject", "deadline", "header", "log", "offset", "options", "rejections", "source")

    def __init__(
        self,
        *,
        source: str,
        reject: Callable[[bytes, str], None],
        say: Callable[[str, str], None],
        offset: int = 0,
        header: bytes = b"",
        options: Any = None,
        deadline: float = float("inf"),
        framing: "Framing | None" = None,
    ) -> None:
        self.source = source
        self.offset = offset
        self.header = header
        self.options = options
        self.deadline = deadline
        self.log = PluginLog(say)
        self.rejections = 0
        self._reject = reject
        self._framing = framing

    def split(self, data: bytes) -> list[bytes]:
        """Return the records of a batch, each with its line ends, cut as the manifest's `framing` says."""
        if self._framing is None or (self._framing.kind == "lines" and not self._framing.quote):
            return BytesIO(data).readlines()
        return [data[start:end] for start, end in pairwise([*self._framing.starts(data), len(data)])]

    def cancelled(self) -> bool:
        """Tell whether the time for this batch has run out: stop early instead of being killed."""
        return time.monotonic() >= self.deadline

    def reject(self, raw: bytes | str, reason: str) -> None:
        """Set one bad record aside among good ones; it is kept as a dead letter with `reason`.

        `raw` is the record's input, as found in the batch: all of it, for the next version of the plugin is handed
        it alone. Of a stream it is as found in what that was fed lately: its part before this `feed` may be as long as
        the last snapshot, and 64 KiB. May be called any number of times.
        """
        self.rejections += 1
        self._reject(raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw, reason)
