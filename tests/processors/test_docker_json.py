"""The processor `docker_json`."""

import pytest

from tests.processors.support import parse, record, records


def test_the_pieces_of_a_line_are_joined_for_each_stream_apart() -> None:
    lines = [
        r'{"log":"a","stream":"stdout","time":"2024-05-17T10:05:03Z"}',
        r'{"log":"x","stream":"stderr","time":"2024-05-17T10:05:04Z"}',
        r'{"log":"b\n","stream":"stdout","time":"2024-05-17T10:05:05Z"}',
        r'{"log":"y\r\n","stream":"stderr","time":"2024-05-17T10:05:06Z"}',
    ]
    found = records("docker_json", *lines)
    assert [(one["timestamp"], one["stream"], one["body"]) for one in found] == [
        ("2024-05-17T10:05:03Z", "stdout", "ab"),
        ("2024-05-17T10:05:04Z", "stderr", "xy"),
    ]


def test_a_line_that_never_ends_comes_when_the_log_ends() -> None:
    assert record("docker_json", '{"log":"a","attrs":{"k":"v"}}') == {"attrs": {"k": "v"}, "body": "a"}


def test_an_endless_line_is_several_records_and_the_snapshot_stays_small() -> None:
    piece = '{"log":"' + "x" * 16384 + '","stream":"stdout"}'
    found = records("docker_json", *[piece] * 40)
    assert [one.get("partial") for one in found] == [True, True, None]
    assert sum(len(one["body"]) for one in found) == 40 * 16384


def test_half_a_surrogate_pair_costs_its_character_only() -> None:
    assert record("docker_json", r'{"log":"a\ud83e\n"}')["body"] == "a\ufffd"


def test_white_space_around_a_line_is_none_of_it_alone_and_among_others() -> None:
    lines = ['{"log":"a\\n","stream":"stdout","time":"2024-05-17T10:05:03Z"}', '{"log":"b\\n"}']
    for padded in ([f" {lines[0]}\t ", lines[0]], [f" {lines[0]}\t ", lines[1]]):
        assert [one["body"] for one in records("docker_json", *padded)] == ["a", padded[1][8]]


@pytest.mark.parametrize("line", ['{"log":1}', "[]", '{"log":"a\\n"} x', '{"log":"a\\n","time":"yesterday"}', "{"])
def test_what_is_no_line_of_docker_is_rejected_alone(line: str) -> None:
    outcome = parse("docker_json", f'{{"log":"a\\n"}}\n{line}\n{{"log":"b\\n"}}\n'.encode())
    assert [one["body"] for one in outcome.records] == ["a", "b"]
    assert [raw for raw, _ in outcome.rejected] == [line.encode()]


def test_as_many_objects_as_lines_that_are_not_one_a_line_are_rejected_alone_and_among_others() -> None:
    """One object over two lines and two in a line are as many as there are lines."""
    whole = '{"log":"a\\n","stream":"stdout","time":"2024-05-17T10:05:03Z"}'
    first, second = whole.replace(',"stream', ',\n"stream').split("\n")
    outcome = parse("docker_json", "\n".join([whole, first, f"{second}{whole}", whole]).encode())
    assert [one["body"] for one in outcome.records] == ["a", "a"]
    assert [raw.decode().rstrip("\n") for raw, _ in outcome.rejected] == [first, f"{second}{whole}"]
