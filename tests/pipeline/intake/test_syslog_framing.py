"""RFC 6587, message by message, however the bytes are cut on their way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostd.pipeline.intake.syslog_framing import Framing, line_of

TEXT = st.binary(max_size=40).map(lambda text: b"<13>" + text)
COUNTED = TEXT.map(lambda message: (b"%d %s" % (len(message), message), line_of(message)))
PLAIN = TEXT.map(lambda message: message.replace(b"\n", b"").rstrip(b"\0\r")).map(lambda m: (m + b"\n", m + b"\n"))


@given(st.lists(st.one_of(COUNTED, PLAIN), max_size=12), st.lists(st.integers(1, 60), max_size=30))
def test_messages_come_out_whole_wherever_they_are_cut(messages: list, cuts: list[int]) -> None:
    """Each in the framing that it is in, one after the other."""
    content, expected = b"".join(sent for sent, _ in messages), b"".join(line for _, line in messages)
    framing, came, position = Framing(1000), b"", 0
    for cut in [*cuts, len(content)]:
        came += framing.feed(content[position : position + cut])
        position += cut
    assert came + framing.end() == expected
    assert framing.cut == 0
    assert framing.messages == len(messages)


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"7 <1>a\nb\n", b"<1>a#012b\n"),
        (b"<1>one\n<2>two\n", b"<1>one\n<2>two\n"),
        (b"<1>one\n6 <2>a\nb<3>x\n", b"<1>one\n<2>a#012b\n<3>x\n"),
        (b"2024 was a year\n", b"2024 was a year\n"),
        (b"12", b""),
        (b"12 ", b""),
        (b"6 <1>abc6 <2>def", b"<1>abc\n<2>def\n"),
        (b"<1>no end", b""),
    ],
)
def test_framing_is_told_for_each_message(sent: bytes, lines: bytes) -> None:
    assert Framing(1000).feed(sent) == lines


@pytest.mark.parametrize(
    ("sent", "last"), [(b"<1>no end", b"<1>no end\n"), (b"99 <1>half", b"<1>half\n"), (b"12", b"12\n"), (b"", b"")]
)
def test_what_a_connection_leaves_unended_is_a_message(sent: bytes, last: bytes) -> None:
    framing = Framing(1000)
    assert framing.feed(sent) == b""
    assert framing.end() == last


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_a_message_over_the_limit_is_cut_and_the_next_one_is_whole(cuts: list[int]) -> None:
    long = b"<1>" + b"x" * 97
    content = b"100 " + long + long + b"\n" + b"6 <2>abc<3>d\n"
    framing, came, position = Framing(20), b"", 0
    for cut in [*cuts, len(content)]:
        came += framing.feed(content[position : position + cut])
        position += cut
    assert came == long[:20] + b"\n" + long[:20] + b"\n<2>abc\n<3>d\n"
    assert framing.cut == 2


@pytest.mark.parametrize("trailer", [b"\n", b"\r\n", b"\0", b"\n\0", b""])
def test_what_senders_put_behind_a_datagram_is_no_part_of_it(trailer: bytes) -> None:
    assert line_of(b"<1>a\nb" + trailer) == b"<1>a#012b\n"
