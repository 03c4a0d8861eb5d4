"""The processor `dpkg`."""

from tests.processors.support import parse, record, records


def test_each_action_has_its_parts() -> None:
    found = records(
        "dpkg",
        "2024-05-17 10:05:03 install tar:amd64 <none> 1.35",
        "2024-05-17 10:05:03 status installed tar:amd64 1.35",
        "2024-05-17 10:05:03 conffile /etc/a install",
        "2024-05-17 10:05:03 startup archives unpack",
    )
    assert [{name: value for name, value in one.items() if name not in {"timestamp", "body"}} for one in found] == [
        {"action": "install", "package": "tar:amd64", "old_version": None, "version": "1.35"},
        {"action": "status", "state": "installed", "package": "tar:amd64", "version": "1.35"},
        {"action": "conffile", "path": "/etc/a", "decision": "install"},
        {"action": "startup"},
    ]


def test_times_are_of_the_operators_zone() -> None:
    options = {"time_zone": "Europe/Berlin"}
    assert record("dpkg", "2024-05-17 10:05:03 startup a", options=options)["timestamp"] == "2024-05-17T08:05:03Z"


def test_other_lines_are_rejected_alone() -> None:
    outcome = parse("dpkg", b"said\n2024-05-17 10:05:03 startup a\n")
    assert len(outcome.records) == 1
    assert outcome.rejected == [(b"said\n", "ValueError: not TIME ACTION \u2026")]
