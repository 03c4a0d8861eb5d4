"""Memory that two processes share: it cannot be cut short, and what a large body took is given back."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.workers.box import KEPT_BYTES, Box

sizes = st.integers(0, 100) | st.integers(KEPT_BYTES - 2, KEPT_BYTES + 2) | st.just(3 * KEPT_BYTES)


@pytest.fixture(name="box")
def _box() -> Iterator[Box]:
    box = Box.make("test")
    yield box
    box.close()


def held(box: Box) -> int:
    """Return how many bytes of memory a box takes."""
    return os.fstat(box.fd).st_blocks * 512


@settings(max_examples=12, deadline=None)
@given(bodies=st.lists(st.lists(sizes, min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_put_in_is_taken_out_at_the_other_end(bodies: list[list[int]]) -> None:
    """Whatever the sizes of a body's parts, and of the bodies before it."""
    box = Box.make("test")
    theirs = Box(os.dup(box.fd))
    try:
        for turn, parts in enumerate(bodies):
            for one, other in ((box, theirs), (theirs, box)):
                body = [bytes([65 + (turn + number) % 26]) * size for number, size in enumerate(parts)]
                one.put(body, sum(parts))
                assert other.take(sum(parts)) == b"".join(body)
    finally:
        box.close()
        theirs.close()


def test_what_a_large_body_took_is_given_back(box: Box) -> None:
    """One large document does not hold memory for ever, whichever end has put it in."""
    theirs = Box(os.dup(box.fd))
    large = [b"x" * (3 * KEPT_BYTES)]
    box.put(large, 3 * KEPT_BYTES)
    assert held(box) == 3 * KEPT_BYTES
    box.put([b"small"], 5)
    assert held(box) == KEPT_BYTES
    theirs.put(large, 3 * KEPT_BYTES)
    assert box.take(3 * KEPT_BYTES) == large[0]
    assert held(box) == KEPT_BYTES
    theirs.close()


def test_it_cannot_be_cut_short(box: Box) -> None:
    """That would kill the process at the other end when it looks."""
    for size in (0, 10, KEPT_BYTES - 1):
        with pytest.raises(PermissionError):
            os.ftruncate(box.fd, size)
    assert box.take(KEPT_BYTES) == bytes(KEPT_BYTES)


def test_where_there_are_no_memory_files_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies travel through the socket then."""
    monkeypatch.delattr(os, "memfd_create")
    box = Box.make("test")
    assert not box.is_there
    assert box.take(3) == b""
    box.close()
