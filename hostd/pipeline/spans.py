"""Sets of bytes as sorted spans that do not touch. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""From the first byte to the one after the last."""


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the bytes that are in any of the spans."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        elif start < end:
            result.append((start, end))
    return result


def minus(spans: Iterable[Span], without: Iterable[Span]) -> list[Span]:
    """Return the bytes that are in `spans` and not in `without`."""
    result: list[Span] = []
    holes = union(without)
    for start, end in union(spans):
        position = start
        for hole_start, hole_end in holes[_first_touching(holes, start) :]:
            if hole_start >= end:
                break
            if hole_start > position:
                result.append((position, hole_start))
            position = max(position, hole_end)
        if position < end:
            result.append((position, end))
    return result


def both(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return the bytes that are in both."""
    some = union(spans)
    return minus(some, minus(some, others))


def is_in(joined: Sequence[Span], position: int) -> bool:
    """Tell whether a byte is in any of the spans that `union` has returned."""
    return any(start <= position < end for start, end in joined[_first_touching(joined, position + 1) :][:1])


def split(spans: Iterable[Span], at: Iterable[int]) -> list[Span]:
    """Return the spans, cut at the given places."""
    cuts = sorted(set(at))
    result: list[Span] = []
    for start, end in spans:
        position = start
        for cut in cuts[bisect_right(cuts, start) :]:
            if cut >= end:
                break
            result.append((position, cut))
            position = cut
        result.append((position, end))
    return result


def size(spans: Iterable[Span]) -> int:
    """Return how many bytes there are."""
    return sum(end - start for start, end in spans)


def _first_touching(spans: Sequence[Span], position: int) -> int:
    return max(0, bisect_right(spans, (position, 0)) - 1)
