"""PowerShell's transcripts: each command with its output, wherever rows of stars stand."""

from tests.processors.support import parse

STARS = "*" * 22
START = f"{STARS}\nWindows PowerShell transcript start\nStart time: 20240517100503\nUsername: A\\b\n{STARS}\n"


def test_times_are_of_the_zone_that_the_option_says() -> None:
    outcome = parse("powershell", START.encode(), options={"time_zone": "+02:00"})
    assert outcome.records == [{"timestamp": "2024-05-17T08:05:03Z", "event": "start", "Username": "A\\b"}]


def test_stars_that_a_command_prints_are_its_output() -> None:
    text = f"{START}PS C:\\> type a\n{STARS}\nnot a block\n{STARS}\n\nPS C:\\> exit\n{STARS}"
    outcome = parse("powershell", text.encode())
    assert outcome.records[1:] == [
        {"prompt": "PS C:\\>", "command": "type a", "body": f"{STARS}\nnot a block\n{STARS}"},
        {"prompt": "PS C:\\>", "command": "exit", "body": STARS},
    ]


def test_a_time_that_is_none_stays_as_it_is_written() -> None:
    text = f"{STARS}\nCommand start time: 20241317100503\n{STARS}\nPS> a\n"
    assert parse("powershell", text.encode()).records == [
        {"time": "20241317100503", "prompt": "PS>", "command": "a", "body": ""}
    ]


def test_a_transcript_that_ends_in_a_block_gives_what_it_has() -> None:
    text = f"PS> a\nb\n{STARS}\nPowerShell transcript end\nEnd time: 20240517100503"
    assert parse("powershell", text.encode()).records == [
        {"prompt": "PS>", "command": "a", "body": "b"},
        {"timestamp": "2024-05-17T10:05:03Z", "event": "end"},
    ]


def test_a_long_output_comes_in_parts_and_all_of_it() -> None:
    lines = [f"line {number} {'x' * 100}" for number in range(6000)]
    text = "PS> a\n" + "\n".join(lines)
    first, *others = parse("powershell", text.encode()).records
    assert (first["command"], first["partial"]) == ("a", True)
    assert all(set(other) <= {"body", "partial"} for other in others)
    assert "\n".join(str(record["body"]) for record in (first, *others)) == "\n".join(lines)


def test_the_mark_of_utf_8_is_none_of_the_transcript() -> None:
    assert parse("powershell", b"\xef\xbb\xbf" + START.encode()).records == [
        {"timestamp": "2024-05-17T10:05:03Z", "event": "start", "Username": "A\\b"}
    ]
