"""The two beginnings of a stream, and `each_record`."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import ByteStream, Context, LineStream, Record, each_record, each_stream
from contract.framing import Framing
from contract.pattern import Pattern
from contract.testing import Outcome, run, run_stream


class Pairs(ByteStream):
    """Two bytes make a record."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        while self.used + 2 <= len(data):
            pair = data[self.used : self.used + 2]
            self.used += 2
            self.kept["seen"] = self.kept.get("seen", 0) + 1
            yield {"pair": pair.decode("latin-1"), "number": self.kept["seen"]}


class Sums(LineStream):
    """A line is added to the sum of those before it."""

    def parse_line(self, line: str) -> Iterator[Record]:
        self.kept["sum"] = self.kept.get("sum", 0) + int(line)
        yield {"sum": self.kept["sum"]}

    def finish(self) -> Iterator[Record]:
        yield {"total": self.kept.get("sum", 0)}


CUTS = st.lists(st.integers(1, 40), max_size=8)


@given(CUTS, st.booleans())
def test_a_byte_stream_is_the_same_wherever_it_is_cut(cuts: list[int], reopen: bool) -> None:
    data = b"aabbccddeeffgghhiijjkk\x00\nllx"
    inside = [cut for cut in cuts if cut < len(data)]
    whole = run_stream(each_stream(Pairs), data)
    assert run_stream(each_stream(Pairs), data, cuts=inside, reopen=reopen) == whole
    assert [record["number"] for record in whole.records] == list(range(1, 14))
    assert whole.rejected == [(b"x", "the source ends inside this record, after 1 bytes of it")]


@given(CUTS, st.booleans())
def test_a_line_stream_is_the_same_wherever_it_is_cut(cuts: list[int], reopen: bool) -> None:
    data = b"1\n2\r\n\nno\n3\n\xff\n4"
    inside = [cut for cut in cuts if cut < len(data)]
    assert run_stream(each_stream(Sums), data, cuts=inside, reopen=reopen) == Outcome(
        [{"sum": 1}, {"sum": 3}, {"sum": 6}, {"sum": 10}, {"total": 10}],
        [
            (b"no", "ValueError: invalid literal for int() with base 10: 'no'"),
            (b"\xff", r"ValueError: invalid literal for int() with base 10: '\\xff'"),
        ],
    )


def test_a_stream_refuses_a_snapshot_of_another_layout() -> None:
    ctx = Context(source="a", reject=lambda *_: None, say=lambda *_: None)
    with pytest.raises(ValueError, match="a snapshot of layout 7b; this version reads layout 01"):
        Sums(ctx, b"{}")


def test_each_record_is_handed_what_the_framing_cuts() -> None:
    def parse(text: str, ctx: Context) -> Record | None:
        if text == "2 none":
            return None
        if text.startswith("3"):
            raise ValueError("no three")
        return {"text": text, "source": ctx.source}

    framing = Framing(kind="multiline", start=Pattern(r"\d "))
    data = b"1 one\r\n  more \xff\n\n2 none\n3 three\n  more\n4 four"
    outcome = run(each_record(parse), data, framing=framing)
    assert [record["text"] for record in outcome.records] == ["1 one\n  more \\xff", "4 four"]
    assert outcome.rejected == [(b"3 three\n  more\n", "ValueError: no three")]


@given(st.lists(st.sampled_from([b"a\n", b'"b\n', b"\n", b"1 c\n", b"d"]), max_size=12))
def test_a_context_splits_as_its_framing_does_and_loses_no_byte(lines: list[bytes]) -> None:
    data = b"".join(lines)
    for framing in (
        Framing(),
        Framing(quote=b'"'),
        Framing(kind="multiline", start=Pattern(r"\d ")),
        Framing(kind="whole"),
    ):
        ctx = Context(source="a", reject=lambda *_: None, say=lambda *_: None, framing=framing)
        parts = ctx.split(data)
        assert b"".join(parts) == data
        starts = framing.starts(data)
        assert [len(b"".join(parts[:number])) for number in range(len(parts))] == starts
