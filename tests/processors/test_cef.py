"""The processor `cef`."""

import pytest

from tests.processors.support import parse, record


def test_what_is_escaped_in_header_and_extension_is_itself() -> None:
    one = record("cef", r"CEF:1|A\|B|C\\|1|7|n\|m|5|a=x\=y\nz b=two words c=d\\e")
    assert (one["vendor"], one["product"], one["body"]) == ("A|B", "C\\", "n|m")
    assert one["extension"] == {"a": "x=y\nz", "b": "two words", "c": "d\\e"}


@pytest.mark.parametrize(
    ("severity", "number"),
    [("0", 9), ("3", 9), ("4", 13), ("7", 17), ("10", 21), ("Low", 9), ("Very-High", 21), ("odd", None)],
)
def test_severities_have_the_bands_of_cef(severity: str, number: int | None) -> None:
    one = record("cef", f"CEF:0|A|B|1|7|n|{severity}|")
    assert (one["severity_text"], one["severity_number"]) == (severity, number)


@pytest.mark.parametrize("header", ["", "<13>May 17 10:05:03 host ", "2024-05-17T10:05:03Z host "])
def test_a_syslog_header_is_kept_apart(header: str) -> None:
    one = record("cef", f"{header}CEF: 0|A|B|1|7|n|5|rt=1715940303143 src=::1")
    assert (one.get("header", ""), one["timestamp"]) == (header.rstrip(), "2024-05-17T10:05:03.143Z")


@pytest.mark.parametrize(
    "line",
    [
        "LEEF:1.0|A|B|1|login|usr=dana\tsev=5",
        "LEEF:2.0|A|B|1|login|^|usr=dana^sev=5",
        "LEEF:2.0|A|B|1|login|x5e|usr=dana^sev=5",
    ],
)
def test_leef_is_read_with_its_delimiter(line: str) -> None:
    one = record("cef", line)
    assert (one["event_id"], one["severity_number"], one["extension"]) == ("login", 13, {"usr": "dana", "sev": "5"})


def test_a_line_with_too_few_fields_is_rejected_alone() -> None:
    outcome = parse("cef", b"CEF:0|A|B|1|7|n|5|\nCEF:0|A|B\nLEEF:1.0|A\n")
    assert len(outcome.records) == 1
    assert {reason for _, reason in outcome.rejected} == {
        "ValueError: neither CEF:VERSION| with seven fields nor LEEF:VERSION| with five"
    }
