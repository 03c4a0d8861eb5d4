"""SetupAPI's logs: a section is a record, from its first line to its exit status."""

from tests.processors.support import parse_source, records, taker

SECTION = (
    ">>>  [Delete Device - A\\B]",
    ">>>  Section start 2024/05/17 10:05:03.498",
    "     cmd: a.exe",
    "<<<  Section end 2024/05/17 10:05:03.512",
    "<<<  [Exit status: FAILURE(0x00000002)]",
)


def test_a_section_has_its_title_times_and_status() -> None:
    found = records("setupapi", "[Boot Session: 2024/05/17 10:00:00.498]", "", *SECTION, "", *SECTION)
    assert [each["title"] for each in found] == ["Boot Session: 2024/05/17 10:00:00.498", *["Delete Device - A\\B"] * 2]
    assert found[1] == {
        "timestamp": "2024-05-17T10:05:03.498Z",
        "end": "2024-05-17T10:05:03.512Z",
        "title": "Delete Device - A\\B",
        "exit_status": "FAILURE(0x00000002)",
        "body": "     cmd: a.exe",
    }


def test_a_log_that_begins_within_a_section_is_known_and_kept() -> None:
    data = "\n".join([*SECTION[2:], *SECTION]).encode()
    assert taker("setupapi.app.log", data) == "setupapi"
    assert [each.get("title") for each in parse_source("setupapi", data).records] == [None, "Delete Device - A\\B"]
