"""The processor `text`."""

from tests.processors.support import parse


def test_text_makes_a_message_of_each_line_that_is_not_empty() -> None:
    outcome = parse("text", b"\xef\xbb\xbfone\r\n\n\r\n two\x0c\xe2\x80\xa8still two\ncaf\xe9")
    assert [record["body"] for record in outcome.records] == ["one", " two\x0c\u2028still two", "caf\\xe9"]
    assert outcome.rejected == []
