"""The processor `csv`."""

import csv as stdlib_csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.testing import Outcome
from tests.processors.support import MODULES, parse


def test_csv_rejects_a_row_of_another_width_and_counts() -> None:
    outcome = parse("csv", b'1,2\n1\n1,2,"3\n4"\n3,4\n', header=b"a,b\n")
    assert outcome.records == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert outcome.rejected == [
        (b"1\n", "expected 2 fields, found 1"),
        (b'1,2,"3\n4"\n', "expected 2 fields, found 3"),
    ]


def test_csv_loses_one_line_to_a_quote_that_never_closes() -> None:
    outcome = parse("csv", b'1,2\n3,"4\n5,6\n7,8\n', header=b"a,b\n")
    assert [record["a"] for record in outcome.records] == ["1", "5", "7"]
    assert outcome.rejected == [(b'3,"4\n', "not CSV: unexpected end of data")]


def test_csv_names_every_column_so_that_none_hides_another() -> None:
    outcome = parse("csv", b"1,2,3,4,5\n", header=b"id,id,,id_2,\xff\n")
    assert outcome.records == [{"id": "1", "id_3": "2", "column_3": "3", "id_2": "4", "\\xff": "5"}]


def test_csv_reads_a_byte_order_mark_and_crlf() -> None:
    outcome = parse("csv", b'1,"x\r\ny"\r\n\r\n', header=b'\xef\xbb\xbf"a",b\r\n')
    assert outcome == Outcome([{"a": "1", "b": "x\r\ny"}])


def test_csv_takes_another_delimiter_from_its_options() -> None:
    module = MODULES["csv"][1]
    options = module.Options(delimiter=";", skip_initial_space=True)
    assert parse("csv", b"1; 2,5\n", header=b"a; b\n", options=options) == Outcome([{"a": "1", "b": "2,5"}])
    for delimiter in ("", ";;", '"', "\n"):
        with pytest.raises(ValueError, match="should match pattern"):
            module.Options(delimiter=delimiter)


@pytest.mark.parametrize(
    ("header", "reason"),
    [(b"", "there is no header row to name the fields"), (b'"a\n', "the header row is not CSV")],
)
def test_csv_fails_a_batch_that_it_cannot_name_the_fields_of(header: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("csv", b"1\n", header=header)


CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.text('",\n\r; a', max_size=6)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8))


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.data())
def test_csv_yields_the_rows_that_were_written_wherever_it_is_cut(
    table: list[list[str]], line_end: str, choice: st.DataObject
) -> None:
    names = [f"column {number}" for number in range(len(table[0]) if table else 1)]
    text = io.StringIO(newline="")
    stdlib_csv.writer(text, lineterminator=line_end, quoting=stdlib_csv.QUOTE_ALL).writerows([names, *table])
    data = text.getvalue().encode()
    framing = MODULES["csv"][0].compiled_framing()
    header_end = framing.header_end(data)
    assert header_end is not None
    header, rest = data[:header_end], data[header_end:]
    starts = framing.starts(rest)
    assert len(starts) == len(table)
    cut = choice.draw(st.sampled_from([*starts, len(rest)]))
    outcomes = [parse("csv", part, header=header) for part in (rest[:cut], rest[cut:])]
    assert [record for outcome in outcomes for record in outcome.records] == [
        dict(zip(names, row, strict=True)) for row in table
    ]
    assert [outcome.rejected for outcome in outcomes] == [[], []]
