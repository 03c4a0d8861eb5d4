"""OTLP's JSON: what has no record in it is not lost without a word."""

import pytest

from tests.processors.support import parse


@pytest.mark.parametrize(
    "request_", ['{"resourceLogs": [{"scowpeLogs": [{"logRecords": [{}]}]}]}', '{"resourceLogs": [], "more": 1}']
)
def test_a_request_in_which_no_record_is_found_is_rejected(request_: str) -> None:
    outcome = parse("otlp", request_.encode())
    assert outcome.records == []
    assert outcome.rejected == [
        (request_.encode(), "no log record in it: expected resourceLogs with scopeLogs with logRecords")
    ]


def test_a_request_that_asks_for_life_is_nothing() -> None:
    outcome = parse("otlp", b'{"resourceLogs": []}\n')
    assert (outcome.records, outcome.rejected) == ([], [])
