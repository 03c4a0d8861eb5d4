"""The processor `cri`."""

from tests.processors.support import parse, records


def test_the_pieces_of_a_line_are_joined_for_each_stream_apart() -> None:
    lines = [
        "2024-05-17T12:05:03.5+02:00 stdout P a ",
        "2024-05-17T10:05:04Z stderr P x",
        "2024-05-17T10:05:05Z stdout F b",
        "2024-05-17T10:05:06Z stderr F",
    ]
    assert records("cri", *lines) == [
        {"timestamp": "2024-05-17T10:05:03.5Z", "stream": "stdout", "body": "a b"},
        {"timestamp": "2024-05-17T10:05:04Z", "stream": "stderr", "body": "x"},
    ]


def test_an_endless_line_is_several_records() -> None:
    found = records("cri", *["2024-05-17T10:05:04Z stderr P " + "x" * 16384] * 20)
    assert [one.get("partial") for one in found] == [True, None]
    assert sum(len(one["body"]) for one in found) == 20 * 16384


def test_what_is_no_line_of_a_runtime_is_rejected_alone() -> None:
    outcome = parse("cri", b"2024-05-17T10:05:04Z stderr F a\nplain\n2024-05-17T25:05:04Z stdout F b\n")
    assert [one["body"] for one in outcome.records] == ["a"]
    assert outcome.rejected == [
        (b"plain", "ValueError: not TIME stdout|stderr F|P TEXT"),
        (b"2024-05-17T25:05:04Z stdout F b", "ValueError: hour must be in 0..23"),
    ]
