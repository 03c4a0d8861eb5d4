"""The processor `msgpack`."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processors.support import parse


def pack(*values: Any) -> bytes:
    return b"".join(msgspec.msgpack.encode(value) for value in values)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=20,
)


@settings(max_examples=25)
@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=8), max_size=4), st.lists(st.integers(1, 400), max_size=4))
def test_what_was_written_is_read_wherever_it_is_cut(values: list[dict[str, Any]], cuts: list[int]) -> None:
    data = pack(*values)
    outcome = parse("msgpack", data, cuts=tuple(cut for cut in cuts if cut < len(data)))
    assert outcome.records == values
    assert outcome.rejected == []


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_rejected_or_end_the_stream(data: bytes) -> None:
    try:
        outcome = parse("msgpack", data)
    except ValueError as error:
        assert "MessagePack" in str(error) or "nested" in str(error)  # noqa: PT017 - either is an answer
        return
    assert bool(outcome.records or outcome.rejected) == bool(data)


def test_events_of_fluentd_and_fluent_bit_have_a_timestamp() -> None:
    event_time = b"\xd7\x00" + struct.pack(">II", 1715940303, 143)
    data = b"\x92" + event_time + pack({"log": "a"}) + b"\x92\x92" + event_time + b"\x80" + pack({"log": "b"})
    assert parse("msgpack", data + pack([1715940303, {"log": "c"}], ["x", 1])).records == [
        {"timestamp": "2024-05-17T10:05:03.000000143Z", "log": "a"},
        {"timestamp": "2024-05-17T10:05:03.000000143Z", "log": "b"},
        {"timestamp": "2024-05-17T10:05:03Z", "log": "c"},
        {"value": ["x", 1]},
    ]


def test_what_is_nested_without_end_ends_the_stream() -> None:
    with pytest.raises(ValueError, match="nested over 100 deep at 0"):
        parse("msgpack", b"\x91" * 200)


def test_a_torn_value_is_rejected_at_the_end() -> None:
    assert parse("msgpack", pack({"a": 1}) + b"\xda\x10").rejected == [
        (b"\xda\x10", "the source ends inside this record, after 2 bytes of it")
    ]


def test_keys_that_are_not_text_become_text_in_maps_below_too() -> None:
    data = b"\x82\x01\xa1x\xa1m\x81\x93\x00\xc0\xc3\x91\x81\x02\xa1y"  # {1: "x", "m": {(0, None, True): [{2: "y"}]}}
    assert parse("msgpack", data).records == [{"1": "x", "m": {"(0, None, True)": [{"2": "y"}]}}]
