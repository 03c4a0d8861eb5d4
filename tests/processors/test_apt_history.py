"""The processor `apt_history`."""

from tests.processors.support import parse, records

RUN = """\
Start-Date: 2024-05-17  10:05:03
Commandline: apt upgrade
Upgrade: a:amd64 (1:2-3, 1:2-4), b:all (1, 2, automatic)
Error: Sub-process returned an error code (1)
End-Date: 2024-05-17  10:05:09
"""


def test_a_run_lists_its_packages() -> None:
    assert records("apt_history", "", RUN, RUN)[1] == {
        "timestamp": "2024-05-17T10:05:03Z",
        "command_line": "apt upgrade",
        "upgrade": [
            {"package": "a:amd64", "versions": ["1:2-3", "1:2-4"], "automatic": False},
            {"package": "b:all", "versions": ["1", "2"], "automatic": True},
        ],
        "error": "Sub-process returned an error code (1)",
        "end": "2024-05-17T10:05:09Z",
    }


def test_a_run_that_is_damaged_is_rejected_alone() -> None:
    outcome = parse("apt_history", f"Start-Date: 2024-05-17  10:05:03\nsaid\n{RUN}".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [(b"Start-Date: 2024-05-17  10:05:03\nsaid\n", "ValueError: not NAME: VALUE: 'said'")]
