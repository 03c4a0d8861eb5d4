"""Records that are lines of JSON already: stored as they are written, without a dict for each."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from contract.record import JsonValue
from contract.strict_json import checked_object

_BETWEEN = re.compile(rb'\}\n\{"')
"""What is between two objects, and within none, since no string holds a line feed. `re` splits faster than `bytes`."""


class JsonLines(Iterable[dict[str, JsonValue]]):
    """Many records as lines of JSON (RFC 8259, UTF-8): `text` has an object a line, and each line is a record as it is.

    `parse` and `feed` may return one, or yield it among records, where the input is the records already: to look
    whether it is takes half of the time that it takes to decode and encode it. Spaces, escapes, and the digits of
    numbers stay as they are written, also of such as no float holds; of a key that comes twice both are stored.
    Iterated over, it yields the records as dicts.

    Raises ValueError, before anything comes of it, for text with a line that is not just one object with at least one
    key, from `{"` to `}`: no spaces around it or after the brace, no carriage return. The last line feed may be left
    out.
    """

    __slots__ = ("_parts", "text")

    def __init__(self, text: bytes) -> None:
        lines = len(text) - len(text.replace(b"\n", b"")) + (not text.endswith(b"\n"))
        parts = _BETWEEN.split(text)
        # As many objects as lines and as ends of such: so that no line has two, and none goes on in the next.
        if not text.startswith(b'{"') or not text.endswith((b"}", b"}\n")) or len(parts) != lines:
            raise ValueError('a line does not begin with {" or end with }')
        if not text.isascii():
            str(text, "utf-8")
        try:
            found = _count_objects()(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if found != lines:
            raise ValueError("a line is not one JSON object")
        self.text = text
        self._parts = parts

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._parts)

    def __iter__(self) -> Iterator[dict[str, JsonValue]]:
        """Yield the records. A number that no float holds is infinite."""
        return map(json.loads, self.text.removesuffix(b"\n").split(b"\n"))

    def with_last(self, member: bytes) -> bytes:
        """Return whole lines, each object with another member after its own: `"key":value`, or nothing."""
        end = b"," * bool(member) + member + b"}\n"
        last = self._parts[-1].removesuffix(b"\n")[:-1]
        return (end + b'{"').join((*self._parts[:-1], last)) + end


@functools.cache
def _count_objects() -> Callable[[bytes], int]:
    """Return what counts the objects that follow each other in UTF-8, and raises ValueError for anything else."""
    try:
        import msgspec
    except ImportError:  # a plugin's own environment need not have it
        return _count_objects_in_python
    # A struct without fields: what is in an object is looked at, and nothing is made of it.
    decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(msgspec.defstruct("Object", [], gc=False)).decode_lines
    return lambda text: len(decode(text))


def _count_objects_in_python(text: bytes) -> int:
    return sum(1 for line in text.removesuffix(b"\n").split(b"\n") if checked_object(line.decode()))
