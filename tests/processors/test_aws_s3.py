"""The processor `aws_s3`."""

from tests.processors.support import parse, record

OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
LINE = (
    f"{OWNER} shop [17/May/2024:12:05:03 +0200] 192.0.2.3 - 3E57427F3E REST.GET.OBJECT a%20b "
    '"GET /a HTTP/1.1" 404 NoSuchKey 113 - 7 - "-" "curl/8 (x)" -'
)


def test_quoted_and_bracketed_fields_are_one_each() -> None:
    one = record("aws_s3", LINE)
    assert (one["timestamp"], one["key"], one["request_uri"]) == ("2024-05-17T10:05:03Z", "a%20b", "GET /a HTTP/1.1")
    assert (one["http_status"], one["object_size"], one["user_agent"], one["referer"]) == (
        404,
        None,
        "curl/8 (x)",
        None,
    )


def test_a_line_that_is_torn_is_rejected_alone() -> None:
    outcome = parse("aws_s3", f"{LINE[:100]}\n{LINE}\n".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected[0][1] == "ValueError: expected at least 17 fields, found 4"
