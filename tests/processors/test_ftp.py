"""The processor `ftp`."""

import pytest

from tests.processors.support import parse, record

TIME = "Fri May 17 10:05:03 2024"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('[pid 1] [dana] OK LOGIN: Client "192.0.2.7"', {"result": "OK", "action": "LOGIN", "user": "dana"}),
        ('[pid 1] [dana] FAIL LOGIN: Client "::1"', {"result": "FAIL", "client_ip": "::1"}),
        (
            '[pid 1] [d] FAIL DOWNLOAD: Client "::1", "/a", 0.00Kbyte/sec',
            {"path": "/a", "kbytes_per_s": 0.0, "bytes": None},
        ),
        ('[pid 1] [d] OK RENAME: Client "::1", "/a /b"', {"path": "/a /b"}),
        ('[pid 1] FTP command: Client "::1", "USER dana"', {"action": "FTP command", "path": "USER dana"}),
        ("[pid 1] DEBUG: nothing", {"action": "DEBUG", "body": "DEBUG: nothing", "client_ip": None}),
        (
            "1 ::1 9 /a o file b _ o a x@y ftp 0 * i",
            {"path": "/a o file", "action": "DOWNLOAD", "result": "FAIL", "access": "anonymous", "user": "x@y"},
        ),
    ],
)
def test_what_a_line_says_is_found(line: str, expected: dict[str, object]) -> None:
    one = record("ftp", f"{TIME} {line}")
    assert {name: one.get(name) for name in expected} == expected


def test_times_are_of_the_zone_of_the_option() -> None:
    assert record("ftp", f'{TIME} [pid 2] CONNECT: Client "::1"', options={"time_zone": "+02:00"})["timestamp"] == (
        "2024-05-17T08:05:03Z"
    )


def test_other_lines_are_rejected_alone() -> None:
    outcome = parse("ftp", f'said\n{TIME} [pid 2] CONNECT: Client "::1"\n'.encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [(b"said\n", "ValueError: a line of neither vsftpd's log nor a transfer log")]
