"""The processor `postgres_csv`."""

import pytest

from tests.processors.support import parse, record, records

ROW = (
    '2024-05-17 12:05:03.1 CEST,"dana","shop",7,"::1:5",60.5c,3,"SELECT",2024-05-17 CEST,1/2,0,'
    'ERROR,42P01,{},,,,,,,,,"psql"'
)


@pytest.mark.parametrize("columns", ["", ',"client backend"', ',"client backend",,0', ',"client backend",,0,new'])
def test_the_columns_of_every_version_have_their_names(columns: str) -> None:
    one = record("postgres_csv", ROW.format('"no"') + columns)
    assert (one["timestamp"], one["severity_text"], one["severity_number"]) == ("2024-05-17T10:05:03.1Z", "ERROR", 17)
    assert (one["body"], one["user_name"], one["application_name"], one["sql_state_code"]) == (
        "no",
        "dana",
        "psql",
        "42P01",
    )
    assert one.get("column_27") == ("new" if columns.endswith("new") else None)


def test_a_message_may_hold_lines_and_quotes() -> None:
    found = records("postgres_csv", ROW.format('"a ""b""\n2024-05-17 c"'), ROW.format("d"))
    assert [one["body"] for one in found] == ['a "b"\n2024-05-17 c', "d"]


def test_a_row_that_is_torn_is_rejected_alone() -> None:
    outcome = parse("postgres_csv", f"{ROW[:50]}\n{ROW.format('b')}\n".encode())
    assert [one["body"] for one in outcome.records] == ["b"]
    assert outcome.rejected[0][1] == "ValueError: expected one row of at least 22 columns, found [5]"
