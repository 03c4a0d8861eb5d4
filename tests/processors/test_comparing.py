"""The comparison with a truth: what it counts as found and as right, and that what is wrong is neither."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.processors import comparing, corpus
from tests.processors.comparing import Score, compare
from tests.processors.corpus import Entry

Records = list[dict[str, Any]]


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a file with a truth, and compares."""

    def against(
        told: dict[str, Any], records: Records, rejected: list[bytes] | None = None, data: bytes = b""
    ) -> Score:
        monkeypatch.setattr(corpus, "CORPUS", tmp_path)
        (tmp_path / "a.log").write_bytes(data)
        (tmp_path / "a.log.truth.json.gz").write_bytes(gzip.compress(json.dumps(told).encode()))
        return compare(Entry("a.log", "a"), records, rejected or [])

    return against


FIELDS = {"records": 2, "items": [{"i": 0, "fields": {"a": "x", "b": 1}}, {"i": 1, "fields": {"a": "y", "b": 2}}]}


@pytest.mark.parametrize(
    ("records", "found", "right"),
    [
        ([{"n": "x", "m": "1"}, {"n": "y", "m": 2.0}], 2, 4),
        ([{"n": "x", "m": "1"}, {"n": "y", "m": 3}], 2, 3),
        ([{"n": "x"}, {"m": 1}, {"n": "y", "m": 2}], 1, 3),
        ([{"n": "x", "m": 2}, {"n": "y", "m": 1}], 2, 2),
        ([{"head": "z"}, {"n": "x", "m": 1}, {"n": "y", "m": 2}, {"t": 0}], 0, 4),
        ([], 0, 0),
    ],
)
def test_values_count_in_the_record_that_has_most_of_them(truth: Any, records: Records, found: int, right: int) -> None:
    """Values of one record that are spread over two, or swapped, are not all right; a record too many is one short."""
    score = truth(FIELDS, records)
    assert (score.records, score.expected_records, score.right, score.expected) == (found, 2, right, 4)
    assert len(score.missing) == 4 - right


def test_a_time_without_a_year_is_compared_without_one(truth: Any) -> None:
    told = {"records": 1, "items": [{"i": 0, "fields": {"t": "0000-01-02T07:52:33"}}]}
    assert truth(told, [{"time": "Jan  2 07:52:33.5"}]).right == 1
    assert truth(told, [{"time": "Jan  3 07:52:33"}]).right == 0


def test_a_line_that_must_be_reported_is_found_when_it_is_rejected(truth: Any) -> None:
    told = {"records": 2, "items": [{"i": 0, "fields": {"a": "x"}}, {"i": 1, "unparsable": True, "raw": "?"}]}
    assert truth(told, [{"a": "x"}], [b"?"]).records == 2
    assert truth(told, [{"a": "x"}]).records == 1


def test_raw_lines_are_those_whose_body_comes_out_once_or_that_are_rejected(truth: Any) -> None:
    told = {"records": 3, "items": [{"raw": "a: one"}, {"raw": "b: one"}, {"raw": " two"}]}
    assert truth(told, [{"body": "one"}, {"body": "one"}], [b" two"]).right == 3
    assert truth(told, [{"body": "one"}], [b" two"]).right == 2
    assert truth(told, [{"body": "one\n two"}], []).right == 0


def test_json_is_compared_with_the_line_itself(truth: Any) -> None:
    told = {"records": 2, "items": [{"line": 1, "json_ok": True, "canon_sha1": ""}, {"line": 2, "json_ok": False}]}
    data = b'{"a": 1, "b": {"c": "\\ud83d x"}}\n{bad\n'
    score = truth(told, [{"a": 1, "c": "\ufffd x"}], [b"{bad"], data)
    assert (score.records, score.right, score.expected) == (2, 2, 2)
    assert truth(told, [{"a": 1}], [], data).right == 1


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert comparing._replaced({"a": "\ud83d"}) == {"a": "\ufffd"}
