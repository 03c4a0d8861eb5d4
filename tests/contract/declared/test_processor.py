"""What becomes of captured texts, and of lines that do not match."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.declared.processor import MOST_EXPLAINED, module_of
from contract.declared.recipe import WAYS
from contract.framing import Framing
from contract.options import LocalTime, LocalYear
from contract.pattern import Pattern
from contract.testing import run
from tests.contract.declared.support import outcome, records


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        ("int", "12", 12),
        ("int", "-007", -7),
        ("float", "1e3", 1000.0),
        ("float", "nan", None),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("json", ' {"a": [1, null]} ', {"a": [1, None]}),
        ("string", "x", "x"),
        ({"type": "int", "null": "-"}, "-", None),
        ({"null": ["-", "?"]}, "?", None),
        ({"null": ["-", "?"]}, "a", "a"),
    ],
)
def test_a_type_makes_a_value_of_a_text(rule: Any, text: str, value: Any) -> None:
    assert records(f"<{text}>", regex="<(?P<a>.*)>", fields={"a": rule}) == [{"a": value}]


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        ("int", "1.5", "field 'a': invalid literal for int() with base 10: '1.5'"),
        ("int", "1_0", "field 'a': '1_0' is no int"),
        ("float", "x", "field 'a': could not convert string to float: 'x'"),
        ("bool", "maybe", "field 'a': 'maybe' is no bool"),
        ("json", "{", "field 'a': Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("json", "1 2", "field 'a': more than JSON: ' 2'"),
        (
            {"type": "timestamp", "format": "%Y-%m-%d %H:%M:%S", "name": "a"},
            "yesterday",
            "field 'a': 'yesterday' is not a time like %Y-%m-%d %H:%M:%S",
        ),
    ],
)
def test_a_text_that_is_not_of_its_type_rejects_its_line_alone(rule: Any, text: str, reason: str) -> None:
    found = outcome(f"<{text}>\n<->\n", regex=["<(?P<a>[^-]*)>", "<(?P<b>-)>"], fields={"a": rule})
    assert found.rejected == [(f"<{text}>".encode(), reason)]
    assert found.records == [{"b": "-"}]


@pytest.mark.parametrize(
    ("written", "text", "utc"),
    [
        ("rfc3339", "2024-05-17T10:05:03.5+02:00", "2024-05-17T08:05:03.5Z"),
        ("rfc3339", "2024-05-17 10:05:03,120", "2024-05-17T10:05:03.120Z"),
        ("epoch", "1715940303.25", "2024-05-17T10:05:03.25Z"),
        ("epoch_ms", "1715940303586", "2024-05-17T10:05:03.586Z"),
        ("epoch_us", "1715940303586000", "2024-05-17T10:05:03.586000Z"),
        ("epoch_ns", "1715940303586000000", "2024-05-17T10:05:03.586000000Z"),
        ("%d/%b/%Y:%H:%M:%S %z", "17/May/2024:10:05:03 +0000", "2024-05-17T10:05:03Z"),
        (["%d.%m.%Y %H:%M:%S", "rfc3339"], "2024-05-17T10:05:03Z", "2024-05-17T10:05:03Z"),
    ],
)
def test_a_time_becomes_the_timestamp(written: Any, text: str, utc: str) -> None:
    fields = {"t": {"type": "timestamp", "format": written}}
    assert records(text, regex="(?P<t>.*)", fields=fields) == [{"timestamp": utc}]


def test_the_zone_is_the_fields_or_the_operators_or_utc() -> None:
    fields: dict[str, Any] = {"t": {"type": "timestamp", "format": "%Y-%m-%d %H:%M:%S"}}
    text, table = "2024-05-17 10:05:03", {"regex": "(?P<t>.*)", "fields": fields}
    assert records(text, **table) == [{"timestamp": "2024-05-17T10:05:03Z"}]
    assert module_of(table, "x").Options is LocalTime
    options = LocalTime(time_zone="+02:00")
    assert outcome(text, options, **table).records == [{"timestamp": "2024-05-17T08:05:03Z"}]
    fields["t"]["zone"] = "America/New_York"
    assert outcome(text, options, **table).records == [{"timestamp": "2024-05-17T14:05:03Z"}]
    assert not hasattr(module_of(table, "x"), "Options")


def test_a_time_without_a_year_stays_as_it_is_written_until_the_operator_says_which() -> None:
    table = {"regex": "(?P<t>.*)", "fields": {"t": {"type": "timestamp", "format": "%b %d %H:%M:%S"}}}
    assert records("May 17 10:05:03", **table) == [{"t": "May 17 10:05:03"}]
    assert module_of(table, "x").Options is LocalYear
    assert outcome("May 17 10:05:03", LocalYear(year=2024), **table).records == [{"timestamp": "2024-05-17T10:05:03Z"}]


def test_a_severity_also_has_its_number() -> None:
    fields = {"level": "severity", "was": {"type": "severity", "name": "before"}}
    assert records("WARN err", grok="%{WORD:level} %{WORD:was}", fields=fields) == [
        {"severity_text": "WARN", "before": "err", "severity_number": 13, "before_number": 17}
    ]


def test_fields_are_renamed_nested_and_joined_by_constants() -> None:
    found = records(
        "a 1 2",
        dissect="%{one} %{[x][two]} %{three}",
        fields={"one": {"name": "first"}, "three": {"name": "[x][third]", "type": "int"}},
        constants={"site": "north", "[x][fixed]": True},
    )
    assert found == [{"first": "a", "x": {"two": "1", "third": 2, "fixed": True}, "site": "north"}]


def test_a_group_that_took_no_part_is_left_out() -> None:
    assert records("a\na 1\n", regex=r"(?P<w>\w)(?: (?P<n>\d))?") == [{"w": "a"}, {"w": "a", "n": "1"}]


def test_the_first_expression_that_matches_counts() -> None:
    found = outcome("a=1\nb:2\nc\n", regex=[r"(?P<k>\w)=(?P<v>\d)", r"(?P<key>\w):(?P<value>\d)"])
    assert found.records == [{"k": "a", "v": "1"}, {"key": "b", "value": "2"}]
    assert found.rejected == [(b"c", "matches no regex of its list")]


def test_with_several_lines_a_record_the_dot_takes_line_feeds() -> None:
    framing = {"kind": "multiline", "start": r"\d"}
    cut = Framing(kind="multiline", start=Pattern(r"\d"))
    table = {"regex": r"(?P<n>\d) (?P<text>.*)", "framing": framing, "fields": {"n": "int"}}
    processor = module_of(table, "x").new_processor()
    found = run(processor, b"1 one\r\n  more\r\n2 two\n\n", framing=cut)
    assert found.records == [{"n": 1, "text": "one\n  more"}, {"n": 2, "text": "two"}]


@pytest.mark.parametrize(
    ("expression", "line", "reason"),
    [
        (r"(?P<a>\d+) (?P<b>[a-z]{2,3})", "12 7", ": after '12 ' comes '7'"),
        (r"(?P<a>\d+) (?P<b>[a-z]{2,3})", "12 ab!", ": after '12 ab' comes '!'"),
        (r"(?P<a>\d+) (?P<b>[a-z]{2,3})", "12", ": it ends too early, after '12'"),
        (r"(?P<a>\d+) (?P<b>[a-z]{2,3})", "x", ": at its start comes 'x'"),
        (r"(?P<a>\d)|(?P<b>\s)", "x", ""),
    ],
)
def test_a_line_that_does_not_match_is_told_how_far_it_does(expression: str, line: str, reason: str) -> None:
    assert outcome(line, regex=expression).rejected == [(line.encode(), f"does not match regex{reason}")]


def test_of_many_lines_that_do_not_match_the_first_are_told_how_far_they_do() -> None:
    reasons = [reason for _, reason in outcome("x\n" * 100, regex=r"(?P<a>\d)").rejected]
    assert len(reasons) == 100
    assert set(reasons[:MOST_EXPLAINED]) == {"does not match regex: at its start comes 'x'"}
    assert set(reasons[MOST_EXPLAINED:]) == {"does not match regex"}


def test_line_ends_and_blank_lines_are_nothing() -> None:
    assert records(b"a\r\n\n  \nb", regex="(?P<x>[a-z])") == [{"x": "a"}, {"x": "b"}]


def test_bytes_that_are_not_utf8_are_spelled_out_and_rejected_as_they_are() -> None:
    assert records(b"\xff!", regex="(?P<x>.*)!") == [{"x": "\\xff"}]
    assert outcome(b"\xff?", regex="(?P<x>.*)!").rejected == [
        (b"\xff?", "does not match regex: it ends too early, after '\\\\xff?'")
    ]


_TABLES: list[dict[str, Any]] = [
    {"grok": "%{IPORHOST:a} %{NUMBER:b:float} %{DATA:c} %{GREEDYDATA:d}"},
    {"dissect": "%{a} %{+a}: %{?k}=%{&k}"},
    {"regex": [r"(?P<a>\d+):(?P<b>.*)", r"(?P<c>\S+)"], "fields": {"a": "int", "b": "json"}, "constants": {"k": 1}},
    {"regex": r"(?P<t>\S+) (?P<l>\w+)", "fields": {"t": {"type": "timestamp", "format": "epoch"}, "l": "severity"}},
    {"regex": "(?P<x>.*?)x(?P<y>.*)", "framing": {"kind": "multiline", "start": "a"}},
]


@pytest.mark.parametrize("table", _TABLES, ids=lambda table: next(way for way in WAYS if way in table))
@settings(deadline=None)
@given(
    data=st.one_of(st.binary(max_size=200), st.text(st.sampled_from('a1 :={}x"\n\r.WARN'), max_size=60).map(str.encode))
)
def test_any_bytes_give_records_or_rejects_for_every_line(table: dict[str, Any], data: bytes) -> None:
    """Nothing raises, and nothing but blank lines is lost without a word."""
    processor = module_of(table, "x").new_processor()
    if "framing" not in table:
        found = run(processor, data)
        lines = [line for line in data.split(b"\n") if line.strip()]
        assert len(found.records) + len(found.rejected) >= sum(1 for line in lines if line.decode("latin-1").strip())
        assert all(raw in data for raw, _ in found.rejected)
    else:
        run(processor, data, framing=Framing(kind="whole"))
