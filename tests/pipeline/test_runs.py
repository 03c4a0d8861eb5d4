"""Dead letters side by side are parsed as one batch, which comes to the same as parsing each alone."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hostd.pipeline.framing import Declared
from hostd.pipeline.ledger import Letter
from hostd.pipeline.runs import RUN_BYTES, RUN_LETTERS, fitted, joined, side_by_side
from hostd.workers.batch import DeadLetter

LINES = Declared("lines", None, None, None).as_text()


def letter(offset: int, raw: bytes, framing: str = LINES) -> Letter:
    return Letter(offset + 1, 1, "a.log", offset, len(raw), raw, "demo", 1, "", "", "", b"", b"", framing, 0, "")


pieces = st.lists(st.tuples(st.sampled_from([b"one", b"two\n", b"three\r\n"]), st.integers(0, 3)), max_size=12)


@given(pieces=pieces)
def test_every_letter_is_in_one_run_at_its_place(pieces: list[tuple[bytes, int]]) -> None:
    """And on lines of its own there."""
    letters, offset = [], 0
    for raw, gap in pieces:
        letters.append(letter(offset, raw))
        offset += len(raw) + gap
    runs = list(side_by_side(letters))
    assert [each for run in runs for each in run] == letters
    for run in runs:
        data = joined(run)
        for each in run:
            start = each.offset - run[0].offset
            assert data[start : start + each.length] == each.raw
            assert start == 0 or data[:start].endswith(b"\n")
        assert list(data.splitlines()) == [line for each in run for line in each.raw.splitlines()]
    for before, after in itertools.pairwise(runs):
        gap = after[0].offset - before[-1].end
        ends = before[-1].raw.endswith(b"\n")
        assert gap > 0 if ends else gap not in (1, 2), "they could be one run"


def test_runs_are_bounded() -> None:
    """In letters and in bytes."""
    runs = list(side_by_side(letter(2 * number, b"x\n") for number in range(RUN_LETTERS + 1)))
    assert [len(run) for run in runs] == [RUN_LETTERS, 1]
    size = RUN_BYTES // 4
    runs = list(side_by_side(letter(size * number, b"x" * (size - 1) + b"\n") for number in range(5)))
    assert [len(run) for run in runs] == [4, 1]


def test_what_is_not_alike_is_not_one_run() -> None:
    """Another source, header or framing; what is kept in part; records that are not lines."""
    first, second = letter(0, b"a\n"), letter(2, b"b\n")
    assert list(side_by_side([first, second])) == [[first, second]]
    for other in (
        replace(second, source=2),
        replace(second, header=b"h\n"),
        replace(second, framing=""),
        replace(second, length=9),
    ):
        assert list(side_by_side([first, other])) == [[first], [other]]
    for framing in ("", Declared("whole", None, None, None).as_text()):
        alike = [replace(first, framing=framing), replace(second, framing=framing)]
        assert list(side_by_side(alike)) == [alike[:1], alike[1:]]
    quoted = Declared("lines", None, '"', 1).as_text()
    assert len(list(side_by_side([letter(0, b"a", quoted), letter(2, b"b", quoted)]))) == 2
    assert len(list(side_by_side([letter(0, b"a\n", quoted), letter(2, b"b\n", quoted)]))) == 1


def test_what_is_rejected_again_is_the_same_letter_whatever_its_line_end() -> None:
    """A part of one, or several at once, stay what they are."""
    run = [letter(10, b"one"), letter(14, b"two\n"), letter(18, b"six")]
    data = joined(run)
    assert data == b"one\ntwo\nsix"
    dead = [DeadLetter(10, b"one\n", "", ""), DeadLetter(14, b"two", "", ""), DeadLetter(18, b"si", "", "")]
    assert [each.raw for each in fitted(dead, run, data)] == [b"one", b"two\n", b"si"]
    both = DeadLetter(10, b"one\ntwo\n", "", "")
    assert fitted([both], run, data) == (both,)
