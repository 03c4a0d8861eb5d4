"""The processor `aws_vpc_flow`."""

from tests.processors.support import parse, records


def test_the_fields_are_those_that_the_first_line_names() -> None:
    head = "srcaddr dstaddr start end action log-status"
    assert records(
        "aws_vpc_flow", head, "::1 ::2 1715940303 1715940304 ACCEPT OK", "- - 1715940303 1715940304 - NODATA"
    ) == [
        {
            "timestamp": "2024-05-17T10:05:03Z",
            "srcaddr": "::1",
            "dstaddr": "::2",
            "start": 1715940303,
            "end": 1715940304,
            "action": "ACCEPT",
            "log_status": "OK",
        },
        {
            "timestamp": "2024-05-17T10:05:03Z",
            "srcaddr": None,
            "dstaddr": None,
            "start": 1715940303,
            "end": 1715940304,
            "action": None,
            "log_status": "NODATA",
        },
    ]


def test_without_a_first_line_it_is_the_default_format() -> None:
    outcome = parse(
        "aws_vpc_flow", b"2 123456789010 eni-1 ::1 ::2 1 22 6 20 4249 1715940303 1715940363 REJECT OK\n2 1\n"
    )
    assert [(one["dstport"], one["bytes"], one["action"]) for one in outcome.records] == [(22, 4249, "REJECT")]
    assert outcome.rejected == [(b"2 1\n", "ValueError: expected 14 fields, found 2")]
