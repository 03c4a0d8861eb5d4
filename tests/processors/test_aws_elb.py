"""The processor `aws_elb`."""

from tests.processors.support import parse, record

APPLICATION = (
    "h2 2024-05-17T10:05:03.9Z app/shop/49 192.0.2.7:447 10.0.0.66:9000 0.1 0.2 0.3 200 404 5 257 "
    r'"GET https://example.com:443/?q=\x22 HTTP/2.0" "a \"b\"" - - - "Root=1" "-" "-" 1 2024-05-17T10:05:02Z "forward"'
)


def test_numbers_are_numbers_and_dashes_null() -> None:
    one = record("aws_elb", APPLICATION)
    assert (one["target_processing_time"], one["target_status_code"], one["sent_bytes"]) == (0.2, 404, 257)
    assert (one["ssl_cipher"], one["user_agent"], one["trace_id"]) == (None, r"a \"b\"", "Root=1")


def test_fields_that_were_added_since_have_names_too() -> None:
    one = record("aws_elb", APPLICATION + " - - - - - - TID x y")
    assert (one["conn_trace_id"], one["field_31"], one["field_32"]) == ("TID", "x", "y")


def test_a_line_that_is_torn_is_rejected_alone() -> None:
    outcome = parse("aws_elb", f"{APPLICATION[:60]}\n{APPLICATION}\n".encode())
    assert len(outcome.records) == 1
    torn = f"{APPLICATION[:60]}\n".encode()
    assert outcome.rejected == [(torn, "ValueError: expected at least 12 fields, found 5")]
