"""What is proposed from example lines: the records that are there, expressions that take them, a file that is right."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.declared.table import read_declaration
from contract.testing import conformance
from hostd.cli.proposal import write_proposal
from hostd.errors import HostdError
from hostd.propose.document import glob
from hostd.propose.proposing import proposal, reader
from hostd.propose.records import records

ACCESS = (
    '192.0.2.1 - - [17/May/2024:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "-" "curl/8"',
    '192.0.2.2 - dana [17/May/2024:10:05:04 +0000] "POST /b?c=d HTTP/2.0" 302 - "https://example.com/" "Mozilla (X11)"',
    '192.0.2.3 - - [17/May/2024:10:05:05 +0000] "GET / HTTP/1.1" 404 19 "-" "x"',
)


def first(*lines: str) -> dict[str, object]:
    """Return what the proposal for lines makes of the first one; it has to take them all."""
    found = records("\n".join(lines))
    proposed = proposal(found)
    read = reader(proposed.groks, proposed.fields, proposed.start)
    made = [read(text) for text in found.texts]
    assert None not in made
    record = made[0]
    assert record is not None
    return record


def test_the_parts_of_an_access_log_are_found() -> None:
    assert first(*ACCESS) == {
        "ip": "192.0.2.1",
        "word": "-",
        "word_2": "-",
        "timestamp": "2024-05-17T10:05:03Z",
        "method": "GET",
        "path": "/a",
        "protocol": "HTTP/1.1",
        "number": 200,
        "number_2": 512,
        "quoted": "-",
        "quoted_2": "curl/8",
    }


def test_time_host_program_and_pid_of_syslog_are_found() -> None:
    record = first(
        "May 17 10:05:03 web1 sshd[812]: Accepted publickey for dana from 192.0.2.1",
        "May 17 10:05:04 web1 kernel: eth0 is up",
        "May  8 10:05:09 web2 cron[9]: (root) CMD (true)",
    )
    assert record == {
        "timestamp": "May 17 10:05:03",
        "host": "web1",
        "program": "sshd",
        "pid": 812,
        "message": "Accepted publickey for dana from 192.0.2.1",
    }


def test_levels_brackets_and_pairs_are_found() -> None:
    record = first(
        '2024-05-17T10:05:03.120Z WARN [main] user="a b" took_ms=12.5 retry=0 no disk here at all today',
        '2024-05-17T10:05:04.000Z INFO [worker 2] user="c" took_ms=3.0 retry=1 ready now to serve requests',
    )
    assert record == {
        "timestamp": "2024-05-17T10:05:03.120Z",
        "severity_text": "WARN",
        "severity_number": 13,
        "text": "main",
        "user": "a b",
        "took_ms": 12.5,
        "retry": 0,
        "message": "no disk here at all today",
    }


@pytest.mark.parametrize("separator", ["|", ";", "\t", ","])
def test_rows_are_found(separator: str) -> None:
    rows = [["7", "lamp shade", "2.50", ""], ["8", "rug", "11.25", "x y"], ["9", "a b", "0.75", ""]]
    assert first(*(separator.join(row) for row in rows)) == {
        "column_1": 7,
        "column_2": "lamp shade",
        "column_3": 2.5,
        "column_4": "",
    }


def test_lines_that_belong_to_one_record_are_found() -> None:
    text = "2024-05-17 10:05:03 ERROR failed\n  at x()\nCaused by: y\n2024-05-17 10:05:04 INFO ok\n"
    found = records(text)
    assert found.texts == ["2024-05-17 10:05:03 ERROR failed\n  at x()\nCaused by: y", "2024-05-17 10:05:04 INFO ok"]
    proposed = proposal(found)
    record = reader(proposed.groks, proposed.fields, proposed.start)(found.texts[0])
    assert record is not None
    assert record["severity_text"] == "ERROR"
    assert record["word"] == "failed"
    assert record["details"] == "  at x()\nCaused by: y"


def test_lines_of_several_kinds_have_an_expression_each() -> None:
    lines = [f"2024-05-17 10:05:0{n} INFO [a] user={n}" for n in range(6)]
    lines += [f'2024-05-17 10:06:0{n} "stop" {n}.5 s' for n in range(4)]
    found = records("\n".join(lines))
    proposed = proposal(found)
    assert len(proposed.groks) >= 2
    read = reader(proposed.groks, proposed.fields, proposed.start)
    assert all(read(text) is not None for text in found.texts)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("access.log", "access.log"),
        ("access.log.1", "access.log*"),
        ("app-2024-05-17.log", "app-*.log"),
        ("server.log.2016-12-19-16", "server.log*"),
        ("messages-20240131", "messages*"),
        ("messages", "messages"),
        ("a[1].txt", "a?*?.txt"),
    ],
)
def test_the_glob_takes_a_files_neighbours(name: str, pattern: str) -> None:
    assert glob(name) == pattern


def test_what_is_written_is_checked_and_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = tmp_path / "it's 1.log"
    example.write_text("\n".join(ACCESS) + "\n")
    assert write_proposal("mine", example) == 0
    conformance("mine.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its lines have nothing in common that a format could be made of; start from code: hostd new mine"),
        (
            b"hello there\nand good bye to you\nof the many\n",
            "its lines have nothing in common that a format could be made of",
        ),
        (b"\x1f\x8b\x08\x00", "is not text, or it is packed; unpack it, or give it as UTF-8"),
        (b"a\0b\n", "is not text, or it is packed; unpack it, or give it as UTF-8"),
    ],
)
def test_what_nothing_can_be_made_of_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.log").write_bytes(content)
    with pytest.raises(HostdError) as caught:
        write_proposal("mine", Path("x.log"))
    assert str(caught.value).startswith(f"x.log: {message}")
    assert not (tmp_path / "mine.toml").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HostdError, match=r"none.log: cannot be read: No such file or directory; check the path"):
        write_proposal("mine", Path("none.log"))


_PIECES = st.sampled_from(
    [
        *ACCESS,
        "2024-05-17 10:05:03",
        "INFO",
        "[a]",
        '"b c"',
        "k=v",
        "7",
        " ",
        "\t",
        "|",
        "\n",
        "\n  at",
        "é",
        "#",
        "'",
        "\\",
        "<1>",
    ]
)


@settings(deadline=None)
@example("INFOék=v", "")  # no field of a format may be called so
@given(st.lists(_PIECES, max_size=30).map("".join), st.text(max_size=30))
def test_whatever_the_lines_are_the_proposal_is_a_format(text: str, more: str) -> None:
    from hostd.propose.document import document

    found = records(f"{text}\n{more}")
    proposed = proposal(found)
    if proposed.groks:
        read = reader(proposed.groks, proposed.fields, proposed.start)
        samples = [(each, record) for each in found.texts if (record := read(each)) is not None]
        read_declaration(document(proposed, Path("x.log"), samples[:2]), name="x")


def test_formats_of_half_a_real_log_take_most_of_its_other_half() -> None:
    folder = os.environ.get("HOSTD_CORPUS")
    if not folder:
        pytest.skip("HOSTD_CORPUS names no sample logs")
    shares: list[float] = []
    total = taken = 0
    for path in sorted(Path(folder).rglob("*.log*")):
        if ".truth." in path.name or not path.is_file() or path.stat().st_size > 200_000:
            continue
        data = path.read_bytes()
        texts = records(data.decode()).texts if data.isascii() and b"\0" not in data else []
        if len(texts) < 20:
            continue
        proposed = proposal(records("\n".join(texts[: len(texts) // 2])))
        unseen = texts[len(texts) // 2 :]
        read = reader(proposed.groks, proposed.fields, proposed.start) if proposed.groks else {}.get
        count = sum(read(text) is not None for text in unseen)
        shares.append(count / len(unseen))
        total, taken = total + len(unseen), taken + count
    assert len(shares) >= 10
    assert taken > 0.85 * total, sorted(shares)
    assert sorted(shares)[len(shares) // 2] == 1.0
