"""What the daemon and a worker say to each other: whole, checked, and never trusted."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.workers import wire
from hostd.workers.box import KEPT_BYTES, Box
from hostd.workers.wire import Channel, WireError

text = st.text(max_size=20)
numbers = st.integers(0, 2**40)
json_values = st.none() | numbers | text | st.lists(text, max_size=2) | st.dictionaries(text, numbers, max_size=2)
messages = st.one_of(
    st.builds(
        wire.Load,
        *[text] * 8,
        st.none() | st.dictionaries(text, json_values, max_size=2),
        st.lists(json_values, max_size=3),
        st.lists(json_values, max_size=3),
        numbers,
        numbers,
        text,
    ),
    st.builds(wire.Loaded),
    st.builds(wire.Broken, text, text, text),
    st.builds(wire.Parse, text, numbers, numbers, st.floats(0, 1e6) | numbers, numbers, numbers),
    st.builds(wire.Parsed, numbers, st.lists(st.lists(json_values)), st.lists(st.lists(text)), numbers, numbers),
    st.builds(wire.Alive),
    st.builds(wire.Rejected, st.lists(st.lists(json_values))),
    st.builds(wire.Spent, text),
)


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[Channel, Channel, socket.socket]]:
    """Two ends with memory files in both directions, and the socket of the second."""
    one, two = socket.socketpair()
    there, back = ([Box.make(name) for _ in range(wire.DEPTH)] for name in ("there", "back"))
    fds = [box.fd for box in (*there, *back)]
    with one, two:
        yield Channel(one, [*fds[wire.DEPTH :], *fds[: wire.DEPTH]]), Channel(two, fds), two
    for box in (*there, *back):
        box.close()


@settings(max_examples=150, deadline=None)
@given(message=messages, body=st.lists(st.binary(max_size=50), max_size=3))
def test_what_is_packed_is_unpacked(message: wire.Message, body: list[bytes]) -> None:
    """Every message comes out as it went in, and its lengths are those of what follows."""
    frame, rest = wire.pack(message, body, Box(-1))
    kind, fields_length, body_length, in_file = wire.unpack_head(frame[: wire.HEAD.size])
    fields = frame[wire.HEAD.size :]
    assert len(fields) == fields_length
    assert b"".join(rest) == b"".join(body)
    assert (body_length, in_file) == (len(b"".join(body)), False)
    found = wire.unpack(kind, fields)
    assert type(found) is type(message)
    assert found == message


@pytest.mark.parametrize(
    "size", [0, 1, wire.LARGE_BYTES - 1, wire.LARGE_BYTES, wire.LARGE_BYTES + 1, KEPT_BYTES, KEPT_BYTES + 1]
)
def test_a_body_arrives_whatever_its_size(pair: tuple[Channel, Channel, socket.socket], size: int) -> None:
    """Through the socket or through the memory file; and a smaller one after a larger is not mixed with it."""
    one, two, _ = pair
    for body in (os.urandom(size), b"small", os.urandom(size)):
        one.send(wire.Spent("one"), [body])
        assert two.receive() == (wire.Spent("one"), body)
        two.send(wire.Spent("two"), [body])
        assert one.receive() == (wire.Spent("two"), body)


def test_lone_surrogates_do_not_break_a_frame() -> None:
    """A reason or a file name may hold what was no UTF-8."""
    frame, _ = wire.pack(wire.Broken("a\udcff", "", ""), [], Box(-1))
    found = wire.unpack(2, frame[wire.HEAD.size :])
    assert isinstance(found, wire.Broken)
    assert found.where == r"a\udcff" or found.where == "a\udcff"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((50, 0, 0), "a frame of kind 50 with 0 + 0 bytes"),
        ((255, 0, 0), "a frame of kind 127 with 0 + 0 bytes"),
        ((1, wire.MAX_FRAME_BYTES, 1), f"a frame of kind 1 with {wire.MAX_FRAME_BYTES} + 1 bytes"),
        ((1, 2**32 - 1, 2**32 - 1), "a frame of kind 1 with 4294967295 + 4294967295 bytes"),
    ],
)
def test_a_head_that_breaks_the_protocol_is_refused(head: tuple[int, int, int], message: str) -> None:
    """Unknown kinds, and more than anybody should send, before memory is taken for it."""
    with pytest.raises(WireError) as caught:
        wire.unpack_head(wire.HEAD.pack(*head))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (1, b"[1]", "a Loaded without its 0 fields"),
        (7, b"", "a Spent that is not JSON: "),
        (7, b"\xff", "a Spent that is not JSON: "),
        (7, b"[" * 100_000, "a Spent that is not JSON: "),
        (7, b"{}", "a Spent without its 1 fields"),
        (7, b"[1, 2]", "a Spent without its 1 fields"),
        (7, b"[1]", "a Spent whose reason is int"),
        (2, b'["a", "b", null]', "a Broken whose remedy is NoneType"),
        (4, b"[1.5, [], [], 0, 0]", "a Parsed whose records is float"),
        (4, b"[1, {}, [], 0, 0]", "a Parsed whose dead is dict"),
        (5, b"[1]", "a Alive without its 0 fields"),
    ],
)
def test_fields_of_another_type_are_refused(kind: int, fields: bytes, message: str) -> None:
    """Foreign code runs in a worker: what it sends is input like any other."""
    with pytest.raises(WireError) as caught:
        wire.unpack(kind, fields)
    assert str(caught.value).startswith(message)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.integers(0, 7), fields=st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())
)
def test_garbage_is_refused_or_a_message_of_its_kind(kind: int, fields: bytes) -> None:
    """Nothing but WireError is ever raised."""
    try:
        message = wire.unpack(kind, fields)
    except WireError:
        return
    assert type(message) is wire._KINDS[kind]


def test_dead_letters_inside_the_batch_are_taken() -> None:
    """Offsets are of the batch."""
    assert wire.check_dead([[0, 9, "why", "trace"], [9, 1, "", ""]], 10) == [(0, 9, "why", "trace"), (9, 1, "", "")]


@pytest.mark.parametrize(
    "entry",
    [
        [0, 11, "", ""],
        [-1, 1, "", ""],
        [5, -1, "", ""],
        [11, 1, "", ""],
        [1, 0, "", ""],
        ["0", 1, "", ""],
        [0, 1, None, ""],
        [0, 1],
        "x",
    ],
)
def test_dead_letters_outside_the_batch_are_refused(entry: Any) -> None:
    """A worker cannot make the daemon keep what is not in the source."""
    with pytest.raises(WireError, match=r"a dead letter .* outside its batch of 10 bytes"):
        wire.check_dead([entry], 10)


def test_no_byte_is_in_two_dead_letters() -> None:
    """Neither within a frame nor from one to the next: together they are no larger than the batch."""
    for dead, begin in (([[0, 5, "", ""], [4, 1, "", ""]], 0), ([[0, 1, "", ""]] * 2, 0), ([[4, 1, "", ""]], 5)):
        with pytest.raises(WireError, match="or twice in it"):
            wire.check_dead(dead, 10, begin)
    with pytest.raises(WireError, match=f"{wire.MAX_DEAD + 1} dead letters in one frame"):
        wire.check_dead([[at, 1, "", ""] for at in range(wire.MAX_DEAD + 1)], 1000)


def test_what_was_said_is_taken_and_spelled_out() -> None:
    """A lone surrogate, which JSON lets through, is nothing that a log could hold."""
    parsed = wire.Parsed(1, [], [["info", "said"], ["warning", "no \udcff"]], 0, 0)
    assert wire.check_said(parsed) == [("info", "said"), ("warning", "no \\udcff")]
    assert wire.check_dead([[0, 1, "no \udcff", "\ud800"]], 1) == [(0, 1, "no \\udcff", "\\ud800")]


@pytest.mark.parametrize(
    "parsed",
    [
        wire.Parsed(0, [], [[1, 2, 3]], 0, 0),  # type: ignore[list-item]
        wire.Parsed(0, [], [["info"]], 0, 0),
        wire.Parsed(0, [], [["info", None]], 0, 0),  # type: ignore[list-item]
        wire.Parsed(0, [], ["ab"], 0, 0),  # type: ignore[list-item]
        wire.Parsed(0, [], [["info", "x" * (2 * wire.MAX_SAID_CHARACTERS)]], 0, 0),
        wire.Parsed(0, [], [["info", "x"]] * (wire.MAX_SAID + 2), 0, 0),
        wire.Parsed(-1, [], [], 0, 0),
        wire.Parsed(wire.MAX_FRAME_BYTES + 1, [], [], 0, 0),
        wire.Parsed(0, [], [], -1, 0),
    ],
)
def test_what_nobody_can_have_said_or_counted_is_refused(parsed: wire.Parsed) -> None:
    """JSON of the right type at the top may be anything below."""
    with pytest.raises(WireError, match=r"^a line .* that nobody can have said$|^counts of "):
        wire.check_said(parsed)


def test_fields_longer_than_anybody_needs_are_refused() -> None:
    """They are parsed in one go: what bounds a body is too much for them."""
    with pytest.raises(WireError):
        wire.unpack_head(wire.HEAD.pack(4, wire.MAX_FIELDS_BYTES + 1, 0))
    for fields, body in ((11, 0), (0, 21)):
        with pytest.raises(WireError):
            wire.unpack_head(wire.HEAD.pack(4, fields, body), 10, 20)
    assert wire.unpack_head(wire.HEAD.pack(4, 10, 20), 10, 20) == (4, 10, 20, False)


@pytest.mark.parametrize("cut", [0, 5, wire.HEAD.size, wire.HEAD.size + 1, -1])
def test_an_end_that_hangs_up_in_a_frame_is_gone(pair: tuple[Channel, Channel, socket.socket], cut: int) -> None:
    """Half a frame is no message."""
    one, _, theirs = pair
    head, rest = wire.pack(wire.Alive(), [b"body"], Box(-1))
    theirs.sendall(b"".join((head, *rest))[:cut])
    theirs.close()
    assert one.receive() is None


def test_a_body_that_is_not_all_in_its_box_is_refused() -> None:
    """The other end may say what it likes: the answer is an error, not a crash."""
    box = Box.make("test")
    try:
        length = KEPT_BYTES + 1
        with pytest.raises(WireError, match=f"a body of {length} bytes of which {KEPT_BYTES} are there"):
            wire.take(box, length)
        with pytest.raises(WireError, match="a body of 3 bytes of which 0 are there"):
            wire.take(Box(-1), 3)
    finally:
        box.close()
