"""The processor `otlp`: every kind of value, and what is no OTLP."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.testing import load, make_processor, run

MANIFEST, MODULE = load(Path(__file__).parent.parent / "plugins.d" / "otlp.py")


def parsed(*records: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    request = {"resourceLogs": [{**more, "scopeLogs": [{"logRecords": list(records)}]}]}
    outcome = run(make_processor(MANIFEST, MODULE.new_processor), json.dumps(request).encode() + b"\n")
    assert not outcome.rejected
    return [dict(record) for record in outcome.records]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"stringValue": "a"}, "a"),
        ({"stringValue": ""}, ""),
        ({"intValue": "-9223372036854775808"}, -9223372036854775808),
        ({"intValue": 7}, 7),
        ({"doubleValue": 0.5}, 0.5),
        ({"boolValue": False}, False),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"arrayValue": {}}]}}, [1, []]),
        (
            {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}, {"key": "c"}]}},
            {"a": "b", "c": None},
        ),
        ({}, None),
    ],
)
def test_every_kind_of_value_is_the_one_of_json(given: dict[str, Any], value: Any) -> None:
    assert parsed({"body": given}) == [{"body": value}]
    assert parsed({"attributes": [{"key": "x", "value": given}]}) == [{"attributes": {"x": value}}]


def test_each_record_has_its_resource_and_times_to_the_nanosecond() -> None:
    resource = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}}
    assert parsed(
        {"timeUnixNano": "1715940303000000001", "observedTimeUnixNano": "1715940303000000000"}, {}, **resource
    ) == [
        {
            "timestamp": "2024-05-17T10:05:03.000000001Z",
            "observed_timestamp": "2024-05-17T10:05:03Z",
            "resource": {"service.name": "shop"},
        },
        {"resource": {"service.name": "shop"}},
    ]


@pytest.mark.parametrize("line", [b"no JSON", b"[]", b"{}", b'{"resourceLogs": 1}', b'{"resourceLogs": [[]]}'])
def test_what_is_no_otlp_is_rejected_alone(line: bytes) -> None:
    good = b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "INFO"}]}]}]}'
    outcome = run(make_processor(MANIFEST, MODULE.new_processor), line + b"\n" + good + b"\n")
    assert [dict(record) for record in outcome.records] == [{"severity_text": "INFO"}]
    assert len(outcome.rejected) == 1
