"""Sets of bytes as spans: what they say of each byte is what sets say."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hostd.pipeline.spans import Span, both, is_in, minus, size, split, union

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda each: (each[0], sum(each))), max_size=8)


def members(some: list[Span]) -> set[int]:
    return {number for start, end in some for number in range(start, end)}


@given(spans, spans)
def test_they_are_sets_of_bytes(some: list[Span], others: list[Span]) -> None:
    """Sorted, apart, and with the right members."""
    assert members(union(some)) == members(some)
    assert members(minus(some, others)) == members(some) - members(others)
    assert members(both(some, others)) == members(some) & members(others)
    for result in (union(some), minus(some, others), both(some, others)):
        assert all(start < end for start, end in result)
        assert all(before[1] < after[0] for before, after in pairwise(result))
        assert size(result) == len(members(result))


@given(spans)
def test_a_byte_is_in_them_or_not(some: list[Span]) -> None:
    """Also before the first, and after the last."""
    assert {number for number in range(-1, 60) if is_in(union(some), number)} == members(some)


@given(spans, st.lists(st.integers(0, 60), max_size=6))
def test_splitting_changes_no_member(some: list[Span], at: list[int]) -> None:
    """Every place is an edge afterwards, or in no span."""
    whole = union(some)
    result = split(whole, at)
    assert members(result) == members(whole)
    assert not any(start < cut < end for start, end in result for cut in at)
