"""What the records of a plugin's samples look like, to be compared with a source's lines without running the plugin.

A *skeleton* is how a record begins: its numbers, words and signs, whatever they say. A *table* is a delimiter that is
found equally often in every line. What may be any text, such as words alone, has neither.
"""

import base64
import re
from functools import lru_cache

from msgspec import Struct

from contract.manifest import Manifest
from contract.pattern import Pattern
from hostd.pipeline.detection.head import Head

TOKENS = 10
"""How much of a record's start is compared: a time and what follows it."""
SKELETON_BYTES = 120
MIN_TOKENS, MIN_NUMBERS, MIN_SIGNS = 5, 1, 2
MIN_COLUMNS, MIN_ROWS = 3, 3
DELIMITERS = b",;\t|"

_TOKEN = re.compile(rb"([0-9]+)|([0-9A-Za-z_\x80-\xff]+)|([^\s])")
_QUOTED = re.compile(rb'"[^"]*"')
_TITLE = re.compile(rb"""["']?[A-Za-z_#][^0-9"']{0,60}[0-9]{0,3}["']?""")

Skeleton = tuple[bytes, ...]


class Shapes(Struct, frozen=True):
    """What one manifest's samples look like."""

    skeletons: frozenset[Skeleton] = frozenset()
    delimiters: bytes = b""
    titled: bool = False

    def share(self, head: Head) -> float:
        """Return the share of a head's lines, from 0 to 1, that look like a record of the samples."""
        if not head.lines or head.is_binary:
            return 0.0
        alike = sum(self._is_like(skeleton(line)) for line in head.lines) if self.skeletons else 0
        return max(alike / len(head.lines), self._table_share(head.lines))

    def _is_like(self, found: Skeleton) -> bool:
        return any(found[: len(known)] == known for known in self.skeletons)

    def _table_share(self, lines: tuple[bytes, ...]) -> float:
        if len(lines) < MIN_ROWS:
            return 0.0
        return max((_rows(lines, delimiter, titled=self.titled) for delimiter in self.delimiters), default=0.0)


def skeleton(line: bytes) -> Skeleton:
    """Return how a line begins: `0` for a number, `a` for a word, and signs as they are."""
    tokens = []
    for found in _TOKEN.finditer(line[:SKELETON_BYTES]):
        tokens.append(b"0" if found[1] else b"a" if found[2] else found[3])
        if len(tokens) == TOKENS:
            break
    return tuple(tokens)


def shapes_of(manifest: Manifest) -> Shapes:
    """Return what a manifest's samples look like, learned once for all manifests that have the same."""
    if not manifest.samples:
        return Shapes()
    samples = tuple((sample.header, sample.input, sample.encoding == "base64") for sample in manifest.samples)
    return _learn(samples, manifest.framing.start, manifest.header == 1)


@lru_cache(maxsize=4096)
def _learn(samples: tuple[tuple[str, str, bool], ...], start: str | None, titled: bool) -> Shapes:  # noqa: FBT001
    skeletons: set[Skeleton] = set()
    delimiters = set[int]()
    begins = Pattern(start) if start is not None else None
    for header, text, is_packed in samples:
        head = Head(header.encode() + (base64.b64decode(text) if is_packed else text.encode()))
        if head.is_binary:
            continue
        begun = [line for line in head.lines if begins is None or begins.match(line)]
        skeletons.update(found for line in begun if _tells(found := skeleton(line)))
        compared = head.lines[:1] if titled else head.lines  # rows may be wrong on purpose, titles are not
        if len(head.lines) > 1:
            delimiters.update(each for each in DELIMITERS if _rows(compared, each, titled=titled, columns=2) == 1)
    return Shapes(frozenset(skeletons), bytes(sorted(delimiters)), titled)


def _tells(found: Skeleton) -> bool:
    """Tell whether a skeleton is more than what any text may begin with."""
    words = found.count(b"0") + found.count(b"a")
    return len(found) >= MIN_TOKENS and found.count(b"0") >= MIN_NUMBERS and len(found) - words >= MIN_SIGNS


def _rows(lines: tuple[bytes, ...], delimiter: int, *, titled: bool, columns: int = MIN_COLUMNS) -> float:
    """Return the share of lines that have as many columns as the first; 0 where it has too few, or no titles."""
    sign = bytes([delimiter])
    first = _QUOTED.sub(b"", lines[0]).count(sign)
    if first < columns - 1 or (titled and not all(_TITLE.fullmatch(title.strip()) for title in lines[0].split(sign))):
        return 0.0
    return sum(_QUOTED.sub(b"", line).count(sign) == first for line in lines) / len(lines)
