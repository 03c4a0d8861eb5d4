"""The processor `auditd`."""

from tests.processors.support import parse, record, records


def line(kind: str, sequence: int, rest: str, time: str = "1715940303.295") -> str:
    return f"type={kind} msg=audit({time}:{sequence}): {rest}"


def test_the_records_of_an_event_are_joined_though_others_come_between() -> None:
    found = records(
        "auditd",
        line("SYSCALL", 1, 'comm="a"'),
        line("SYSCALL", 2, 'comm="b"'),
        line("PATH", 1, "item=0"),
        line("EOE", 2, ""),
        line("PROCTITLE", 1, "proctitle=6100"),
    )
    assert [(one["sequence"], [part["type"] for part in one["records"]]) for one in found] == [
        (2, ["SYSCALL"]),
        (1, ["SYSCALL", "PATH", "PROCTITLE"]),
    ]


def test_an_event_that_nothing_ends_comes_when_younger_ones_begin_or_the_log_ends() -> None:
    data = f"{line('SYSCALL', 1, 'a=1')}\n{line('SYSCALL', 2, 'a=1', '1715940306.0')}\n".encode()
    outcome = parse("auditd", data, cuts=(5, len(data) - 1))
    assert [one["sequence"] for one in outcome.records] == [1, 2]


def test_no_more_events_are_open_than_a_snapshot_holds() -> None:
    found = records("auditd", *[line("SYSCALL", number, "a=1") for number in range(500)])
    assert [one["sequence"] for one in found] == list(range(500))


def test_what_the_kernel_writes_in_hexadecimal_is_decoded_and_numbers_are_not() -> None:
    rest = 'name=2F612062 comm="FACE" exit=1234 proctitle=6C73002D6C key=(null) acct=28696E29'
    (part,) = record("auditd", line("USER_X", 1, rest))["records"]
    assert part == {
        "type": "USER_X",
        "name": "/a b",
        "comm": "FACE",
        "exit": "1234",
        "proctitle": "ls -l",
        "key": "(null)",
        "acct": "(in)",
    }


def test_what_a_program_says_in_quotes_is_fields_too() -> None:
    (part,) = record("auditd", line("USER_LOGIN", 1, """pid=1 msg='op=login exe="/a b" res=failed'"""))["records"]
    assert part == {"type": "USER_LOGIN", "pid": "1", "op": "login", "exe": "/a b", "res": "failed"}


def test_a_line_without_time_or_type_is_rejected_alone() -> None:
    outcome = parse("auditd", b"type=A msg=audit(): x\n" + line("USER_X", 1, "").encode() + b"\nmsg=audit(1.1:1): x\n")
    assert [one["sequence"] for one in outcome.records] == [1]
    assert [raw for raw, _ in outcome.rejected] == [b"type=A msg=audit(): x", b"msg=audit(1.1:1): x"]
