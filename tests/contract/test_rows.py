"""Rows are the records that they stand for."""

import pytest

from contract import Context, LineStream, Record, Rows, each_record, each_stream
from contract.testing import as_json, run, run_stream

NAMES = ("time", "line")


def test_iterating_yields_records_in_their_order() -> None:
    rows = Rows(NAMES, [("1", "a"), ["2", "b"]])
    assert list(rows) == [{"time": "1", "line": "a"}, {"time": "2", "line": "b"}]
    assert [list(record) for record in rows] == [["time", "line"]] * 2


def test_an_optional_name_without_a_value_is_left_out_and_another_is_null() -> None:
    rows = Rows(NAMES, [(None, None), ("2", "b")], optional=["time"])
    assert list(rows) == [{"line": None}, {"time": "2", "line": "b"}]


@pytest.mark.parametrize("row", [("1",), ("1", "a", "more"), ()])
def test_a_row_of_another_width_raises(row: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=rf"^row 1: {len(row)} values for 2 names$"):
        list(Rows(NAMES, [("1", "a"), row]))


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match=r"^field 'line': a name comes twice$"):
        list(Rows(["line", "line"], [("a", "b")]))


def test_what_is_optional_must_be_a_name() -> None:
    with pytest.raises(ValueError, match=r"^field 'lime': is optional, and none of the names$"):
        list(Rows(NAMES, [("1", "a")], optional=["lime"]))


def test_a_test_compares_the_records_that_rows_stand_for() -> None:
    found = [{"line": "first"}, Rows(NAMES, [("1", "a")]), "text"]
    assert as_json(found) == [{"line": "first"}, {"time": "1", "line": "a"}, {"message": "text"}]


def take(text: str, ctx: Context) -> Rows | None:
    if "bad" in text:
        return None
    return Rows(["line"], ([line] for line in text.split("\n")))


def test_what_takes_many_records_at_once_may_return_rows() -> None:
    def parse(text: str, ctx: Context) -> Record:
        if text == "bad":
            raise ValueError("it is bad")
        return {"line": text}

    outcome = run(each_record(parse, at_once=take), b"a\nb\n")
    assert outcome.records == [{"line": "a"}, {"line": "b"}]
    outcome = run(each_record(parse, at_once=take), b"a\nbad\nb\n" + b"c\n" * 64)
    assert outcome.records == [{"line": "a"}, {"line": "b"}, *[{"line": "c"}] * 64]
    assert outcome.rejected == [(b"bad\n", "ValueError: it is bad")]
    assert outcome.said == []


def test_rows_that_raise_when_they_are_come_to_are_taken_one_by_one() -> None:
    def broken(text: str, ctx: Context) -> Rows:
        return Rows(["line"], ([line.upper(), 1 / len(line.strip("b"))][:1] for line in text.split("\n")))

    outcome = run(each_record(lambda text, _: {"line": text}, at_once=broken), b"a\nb\n")
    assert outcome.records == [{"line": "a"}, {"line": "b"}]
    assert outcome.said[0][1].startswith("at_once raises ZeroDivisionError: ")


def test_a_stream_of_lines_may_return_rows() -> None:
    class Lines(LineStream):
        def parse_line(self, line: str) -> list[Record]:
            return [{"line": line}]

        def at_once(self, text: str, ctx: Context) -> Rows | None:
            return take(text, ctx)

        def finish(self) -> list[Record]:
            return [{"end": True}]

    outcome = run_stream(each_stream(Lines), b"a\nb\nbad\n", cuts=(2,))
    assert outcome.records == [{"line": "a"}, {"line": "b"}, {"line": "bad"}, {"end": True}]
