"""The floor of the corpus: whatever comes out worse than its row is told, and nothing else is."""

from dataclasses import replace
from typing import Any

import pytest

from tests.processors.comparing import Score
from tests.processors.corpus import Entry
from tests.processors.floor import COLUMNS, Became, is_short, raised, worse

ROW = dict(zip(COLUMNS, ("a.log", "text", "general", "5", "1", "7", "8", "one value is a guess"), strict=True))
REPORT = {"processor": "text", "bytes": 9, "read": 9, "rejected": 1, "trouble": None}
SCORE = Score(records=5, expected_records=5, right=7, in_part=0, expected=8, missing=("x",))


def became(score: Score = SCORE, **report: Any) -> Became:
    """Return what became of a file."""
    return Became(Entry("a.log", "text"), {**REPORT, **report}, score)


@pytest.mark.parametrize(
    ("now", "problems"),
    [
        (became(), []),
        (became(replace(SCORE, records=6, right=8)), []),
        (became(replace(SCORE, records=4)), ["records 4, were 5"]),
        (became(replace(SCORE, right=6)), ["right 6, were 7"]),
        (became(rejected=2), ["rejected 2, were 1"]),
        (became(processor="csv"), ["went to csv, not to text"]),
        (became(read=8, trouble="it ends too early"), ["8 of 9 bytes were read: it ends too early"]),
        (Became(Entry("a.log", "text"), None, SCORE), ["hostd parse crashed or hung", "went to none, not to text"]),
    ],
)
def test_what_is_worse_than_the_floor_is_told(now: Became, problems: list[str]) -> None:
    assert worse(now, ROW) == problems


def test_a_file_without_a_row_is_told_and_raising_gives_it_one() -> None:
    assert worse(became(), None) == ["has no row; add it with --raise"]
    floor = raised([became()], {})
    assert floor["a.log"] == {**ROW, "fits": "format", "why": ""}
    assert worse(became(), floor["a.log"]) == []


def test_raising_keeps_reasons_and_asks_again_what_fits_where_another_processor_takes_the_file() -> None:
    better = became(replace(SCORE, right=8), processor="csv")
    assert raised([better], {"a.log": ROW})["a.log"] == {**ROW, "processor": "csv", "fits": "format", "right": "8"}
    assert raised([became()], {"a.log": ROW})["a.log"] == ROW


def test_what_has_not_all_that_the_truth_says_is_short() -> None:
    assert is_short(became())
    assert not is_short(became(replace(SCORE, right=8)))
    assert is_short(became(replace(SCORE, right=8, records=4)))
    assert is_short(became(replace(SCORE, right=8), processor=None))
