"""Cutting input into records: the daemon, a worker and a test must agree to the byte."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.framing import Framing
from contract.pattern import Pattern

LINES = Framing()
QUOTED = Framing(quote=b'"')
MULTILINE = Framing(kind="multiline", start=Pattern(r"^([^C\s]|C([^a]|a[^u]))"))
NUMBERED = Framing(kind="multiline", start=Pattern(r"\d+$"))
WHOLE = Framing(kind="whole")
CUTTING = pytest.mark.parametrize(
    "framing",
    [LINES, QUOTED, MULTILINE, NUMBERED, WHOLE],
    ids=["lines", "quoted", "multiline", "numbered", "whole"],
)

pieces = st.sampled_from([b"\n", b"\n\n", b"\r\n", b'"', b"a", b" ", b"7", b"Caused", b"\x00", b"\xff", b"2024 x\n"])
inputs = st.lists(pieces, max_size=30).map(b"".join)
chunked = st.lists(inputs, max_size=8)


def cut_as_it_arrives(framing: Framing, chunks: list[bytes]) -> list[bytes]:
    """Cut what is there whenever a chunk arrives, as a reader of a growing file does."""
    cuts, held = [], b""
    for chunk in chunks:
        held += chunk
        end = framing.boundary(held)
        assert 0 <= end <= len(held)
        cuts.append(held[:end])
        held = held[end:]
    end = framing.boundary(held, final=True)
    assert end == len(held), "nothing follows, and something is left"
    return [cut for cut in [*cuts, held] if cut]


@CUTTING
@settings(max_examples=60, deadline=None)
@given(chunks=chunked)
@example(chunks=[b"one\nCau", b"sed by two\n", b"three\n"])
@example(chunks=[b"x\n1", b"a\n2\n"])
@example(chunks=[b'a,"b\n', b'c"\nd\n'])
def test_cutting_by_boundary_neither_loses_nor_doubles_a_byte(framing: Framing, chunks: list[bytes]) -> None:
    """However the input arrives, the cuts are the input, and each begins where a record of the whole begins."""
    data = b"".join(chunks)
    cuts = cut_as_it_arrives(framing, chunks)
    assert b"".join(cuts) == data
    places, position = [], 0
    for cut in cuts:
        places.append(position)
        position += len(cut)
    lines = set(LINES.starts(data))
    assert set(places) <= lines, "a cut is inside a line"
    if framing.quote and data.count(framing.quote) % 2:
        return  # records are lines then, and the cuts are at lines
    assert set(places) <= set(framing.starts(data)), "a cut is inside a record"


@CUTTING
@settings(max_examples=60, deadline=None)
@given(data=inputs)
def test_starts_partition_the_input(framing: Framing, data: bytes) -> None:
    """The starts rise from 0, each inside the input; so the records between them are the input."""
    starts = framing.starts(data)
    assert starts[:1] == ([0] if data else [])
    assert all(before < after for before, after in pairwise(starts))
    assert all(start < len(data) for start in starts)
    assert b"".join(data[a:b] for a, b in pairwise([*starts, len(data)])) == data


@CUTTING
@settings(max_examples=60, deadline=None)
@given(data=inputs, rest=inputs)
def test_boundary_falls_on_a_start_whatever_follows(framing: Framing, data: bytes, rest: bytes) -> None:
    """What `boundary` calls whole stays whole when more arrives, and holds the same records as before."""
    end = framing.boundary(data)
    everything = data + rest
    if framing.quote and everything.count(framing.quote) % 2:
        assert end in {0, len(data), *LINES.starts(data)}
        return
    if end and end < len(everything):
        assert end in framing.starts(everything)
    assert framing.starts(everything[:end]) == [start for start in framing.starts(everything) if start < end]


@settings(max_examples=60, deadline=None)
@given(whole=inputs, partial=st.binary(min_size=1, max_size=20).filter(lambda raw: b"\n" not in raw))
def test_a_last_line_without_an_end_is_never_cut(whole: bytes, partial: bytes) -> None:
    """A line that is still being written is not whole, under any framing, until the source is final."""
    for framing in (LINES, QUOTED, MULTILINE, NUMBERED, WHOLE):
        data = whole + partial
        assert framing.boundary(data) <= data.rfind(b"\n") + 1
        assert framing.boundary(data, final=True) == len(data)


def test_multiline_does_not_judge_a_line_by_its_beginning() -> None:
    """`Cau` is not a start of its own just because `Caused by` has not been written to its end."""
    assert MULTILINE.boundary(b"one\nCau") == 0
    assert MULTILINE.boundary(b"one\nCaused by two\nthree\n") == len(b"one\nCaused by two\n")
    assert MULTILINE.starts(b"one\nCau", final=False) == [0]
    assert NUMBERED.boundary(b"one\n1") == 0


def test_multiline_start_looks_at_its_line_alone() -> None:
    """An expression that would match across lines does not depend on how much was read."""
    framing = Framing(kind="multiline", start=Pattern(r"a\nb"))
    assert framing.starts(b"x\na\nb\n") == [0]
    assert framing.boundary(b"x\na\nb\n") == 0


def test_a_quoted_line_feed_ends_no_record() -> None:
    """Between two quotes a line feed is content."""
    data = b'1,"two\nlines"\n2,x\n'
    assert QUOTED.starts(data) == [0, 14]
    assert QUOTED.boundary(data[:8]) == 0
    assert QUOTED.boundary(data[:14]) == 14


def test_unbalanced_quotes_fall_back_to_lines() -> None:
    """A quote that never closes costs its own line, not all that follows it."""
    assert QUOTED.starts(b'a "b\nc\nd\n') == [0, 5, 7]
    assert QUOTED.boundary(b'x\na "b\nc\nd\n') == 2, "until then it may still close"


def test_whole_is_one_record_once_it_is_final() -> None:
    """A document is never cut, and is whole only when nothing follows."""
    assert WHOLE.starts(b"a\nb\n") == [0]
    assert WHOLE.boundary(b"a\nb\n") == 0
    assert WHOLE.boundary(b"a\nb\n", final=True) == 4


def test_no_data_has_no_records() -> None:
    """Nothing starts in nothing."""
    for framing in (LINES, QUOTED, MULTILINE, WHOLE):
        assert framing.starts(b"") == []
        assert framing.boundary(b"") == 0
        assert framing.first_boundary(b"") == 0


@pytest.mark.parametrize(
    ("framing", "data", "first"),
    [
        (LINES, b"a\nb", 2),
        (LINES, b"a", 0),
        (QUOTED, b'"a\nb', 0),
        (QUOTED, b'"a\nb"\nc', 6),
        (MULTILINE, b"a\n b\nc\n", 5),
        (MULTILINE, b"a\n b\n", 0),
        (WHOLE, b"a\n", 0),
    ],
)
def test_first_boundary_is_the_end_of_a_first_record_that_is_whole(framing: Framing, data: bytes, first: int) -> None:
    """0 says that it is not there to its end."""
    assert framing.first_boundary(data) == first


@settings(max_examples=50, deadline=None)
@given(data=inputs, count=st.integers(1, 4), cut=st.integers(0, 60))
def test_header_is_the_same_however_much_of_the_source_is_there(data: bytes, count: int, cut: int) -> None:
    """A header of records that was found early is the header that is found with everything there."""
    framing = Framing(quote=b'"', header_lines=count)
    early = framing.header_end(data[:cut])
    if data.count(b'"') % 2 == 0 and early is not None:
        assert framing.header_end(data) == early
        assert data[:early].count(b"\n") >= count


def test_header_by_count_counts_records() -> None:
    """A header cell may hold a line feed, and the header waits for the quote to close."""
    framing = Framing(quote=b'"', header_lines=1)
    assert framing.header_end(b'"a\nb') is None
    assert framing.header_end(b'"a\nb",c\n1,2\n') == 8
    assert framing.header_end(b"a,b", final=True) == 3
    assert framing.header_end(b'"a\nb\nc\n', final=True) == 3, "a quote that never closes costs one line"


def test_header_by_pattern_takes_the_leading_lines_that_match() -> None:
    """It is known once the first line that does not match is there to its end."""
    framing = Framing(header_pattern=Pattern("#"))
    assert framing.header_end(b"#a\n#b\nx\n#c\n") == 6
    assert framing.header_end(b"#a\n#b\n") is None
    assert framing.header_end(b"#a\n#b\nx") is None
    assert framing.header_end(b"#a\n#b", final=True) == 5
    assert framing.header_end(b"x\n") == 0


def test_has_header_tells_whether_one_is_declared() -> None:
    """Neither a count of none nor no pattern is a header."""
    assert not LINES.has_header
    assert LINES.header_end(b"a\n") == 0
    assert Framing(header_lines=1).has_header
    assert Framing(header_pattern=Pattern("#")).has_header
