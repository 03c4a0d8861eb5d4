"""A manifest's regular expression: RE2's, so that no input makes it take longer than its length allows.

The daemon matches it in its event loop, where Python's `re` would let one pattern such as `^(a+)+$` stop every
plugin. Bytes against bytes; `^` and `$` are a line's. Two patterns with the same text are equal.
"""

from dataclasses import dataclass, field
from typing import Any

MEMORY_BYTES = 1 << 20
"""What one pattern may keep. Past it RE2 forgets what it has learned and goes on, more slowly but still linear."""
MAX_STEPS = 500
"""How large a compiled pattern may be: the time for a byte grows with it, to about a microsecond at this size."""
REMEDY = (
    "manifest patterns are RE2: no look-around, no back references, no possessive quantifiers, no (?x); "
    "write it without, and leave the finer test to parse"
)


class PatternError(ValueError):
    """A text that is no pattern: what is wrong, and what to write instead."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. Raises PatternError when it cannot be one."""

    text: str
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", _compile(self.text))

    def match(self, line: bytes) -> bool:
        """Tell whether `line` begins with it."""
        return self._compiled.match(line) is not None

    def search(self, text: bytes) -> bool:
        """Tell whether it is found anywhere in `text`."""
        return self._compiled.search(text) is not None


def _compile(text: str) -> Any:
    import re2  # type: ignore[import-untyped] # 2.4 MiB that a daemon without patterns need not have

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # byte by byte: logs are not always UTF-8
    options.never_capture = True
    options.log_errors = False  # on standard error, past the log; we report them
    options.max_mem = MEMORY_BYTES
    try:
        compiled = re2.compile(b"(?m)" + text.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace").replace(": (?m)", ": ", 1)
        raise PatternError(f"is not a regular expression of RE2: {reason}", REMEDY) from error
    if compiled.programsize > MAX_STEPS:
        raise PatternError(
            f"is too large a regular expression: {compiled.programsize} steps, more than {MAX_STEPS}",
            "repeat less in it: a{100} is a hundred steps",
        )
    return compiled
