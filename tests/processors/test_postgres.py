"""The processor `postgres`."""

import pytest

from tests.processors.support import parse, record, records


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("2024-05-17 10:05:03.1 UTC [7]", {"pid": "7"}),
        ("2024-05-17 10:05:03 UTC [7-1] dana@shop", {"pid": "7", "user": "dana", "database": "shop"}),
        ("2024-05-17 10:05:03 UTC:10.0.0.1(54):dana@shop:[7]:", {"pid": "7", "user": "dana", "database": "shop"}),
        (
            "2024-05-17 10:05:03 UTC [7]: [1-1] user=dana,db=shop,app=psql,client=::1",
            {"user": "dana", "application": "psql", "client": "::1"},
        ),
        ("2024-05-17 12:05:03+02 [7]", {"pid": "7"}),
    ],
)
def test_whatever_the_prefix_is_what_can_be_told_is(prefix: str, expected: dict[str, str]) -> None:
    one = record("postgres", f"{prefix} LOG:  statement: SELECT 1")
    assert one["timestamp"].startswith("2024-05-17T10:05:03")
    assert expected.items() <= one.items()
    assert (one["severity_text"], one["severity_number"], one["body"]) == ("LOG", 9, "statement: SELECT 1")


def test_an_indented_line_belongs_to_its_statement_and_a_detail_is_a_record() -> None:
    found = records(
        *(
            "postgres",
            "2024-05-17 10:05:03 UTC [7] ERROR:  no",
            "\tSELECT 1",
            "2024-05-17 10:05:03 UTC [7] DETAIL:  why",
        ),
    )
    assert [(one["severity_text"], one.get("severity_number"), one["body"]) for one in found] == [
        ("ERROR", 17, "no\n\tSELECT 1"),
        ("DETAIL", None, "why"),
    ]


def test_pgbouncer_is_read_too() -> None:
    one = record("postgres", "2024-05-17 10:05:03.775 UTC [3392] WARNING C-0x1: shop/dana@::1:5 no: such")
    assert (one["pid"], one["severity_number"], one["body"]) == ("3392", 13, "C-0x1: shop/dana@::1:5 no: such")


def test_an_unknown_zone_is_rejected_until_the_operator_names_it() -> None:
    line = b"2024-05-17 10:05:03 XYZ [7] LOG:  a"
    assert parse("postgres", line).rejected == [
        (line, "ValueError: the zone 'XYZ' is not known; set the option time_zone")
    ]
    assert parse("postgres", line, options={"time_zone": "+01:00"}).records[0]["timestamp"] == "2024-05-17T09:05:03Z"
