"""The processors that ship and the example plugins: each keeps the contract, and does what it says."""

import base64
import contextlib
import csv as stdlib_csv
import fnmatch
import importlib
import io
import json
import runpy
import struct
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Context
from contract.manifest import Accepts, Manifest, ManifestError, read_plugin_toml, read_script
from contract.pattern import Pattern
from contract.testing import (
    Outcome,
    conformance,
    conformance_of,
    load,
    make_processor,
    make_stream_processor,
    run,
    run_stream,
)

ROOT = Path(__file__).parent.parent
LOGS = ROOT / "examples" / "logs"
SHIPPED = sorted((ROOT / "plugins.d").glob("*.py"))
EXAMPLES = sorted((ROOT / "examples" / "plugins").glob("*.py"))
MISBEHAVING = sorted((ROOT / "examples" / "plugins" / "misbehaving").glob("*.py"))


def _load(name: str) -> tuple[Manifest, ModuleType]:
    return load(next(path for path in (*SHIPPED, *EXAMPLES) if path.stem == name))


MODULES = {path.stem: _load(path.stem) for path in (*SHIPPED, *EXAMPLES)}


def parse(name: str, data: bytes, **circumstances: Any) -> Outcome:
    manifest, module = MODULES[name]
    if manifest.framing.kind == "stream":
        circumstances = {key: value for key, value in circumstances.items() if key not in {"header", "offset"}}
        return run_stream(make_stream_processor(module.new_processor), data, **circumstances)
    return run(make_processor(manifest, module.new_processor), data, **circumstances)


def parse_file(name: str, path: Path, options: Any = None) -> Outcome:
    """Parse a file as the daemon does: its header apart, then record by record."""
    data = path.read_bytes()
    framing = MODULES[name][0].compiled_framing()
    header_end = framing.header_end(data, final=True) or 0
    return parse(name, data[header_end:], header=data[:header_end], offset=header_end, options=options)


def winner(source: str, head: bytes, manifests: Iterable[Manifest]) -> str | None:
    """Return the plugin that gets a source: highest priority, then most criteria. Asserts that none ties."""
    ranked: dict[tuple[int, int], str] = {}
    for manifest in manifests:
        accepts = manifest.accepts
        criteria: list[bool] = []
        if accepts.names:
            criteria.append(any(fnmatch.fnmatch(source, glob) for glob in accepts.names))
        if accepts.head is not None:
            criteria.append(Pattern(accepts.head).search(head[:4096]))
        if criteria and all(criteria):
            rank = (accepts.priority, len(criteria))
            assert rank not in ranked, f"{manifest.name} and {ranked[rank]} tie for {source}"
            ranked[rank] = manifest.name
    return ranked[max(ranked)] if ranked else None


HOSTILE = (
    *(b"\n", b" ", b'"', b"a\n", b"\\", b'\\"', b'"\n', b'"a""\n', b"\x00", b"\xff\n", b": "),
    *(
        b"a b c [\n",
        b"1 - - [",
        b"{",
        b"[",
        b'{"a":',
        b"<34>1 - ",
        b'[a b="',
        b"<event>",
        b"Jan  1 00:00:00 a",
    ),
)

SHIPPED_MANIFESTS = [MODULES[path.stem][0] for path in SHIPPED]


# What holds for all of them


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_the_plugin_keeps_the_contract(path: Path) -> None:
    conformance(path)


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_a_file_is_named_like_its_plugin(path: Path) -> None:
    assert MODULES[path.stem][0].name == path.stem


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_whatever_the_bytes_are_a_plugin_answers_soon(path: Path) -> None:
    header = b"a,b\n" if MODULES[path.stem][0].header else b""
    for unit in HOSTILE:
        started = time.process_time()
        with contextlib.suppress(ValueError):  # a dead letter is an answer
            parse(path.stem, unit * (65536 // len(unit)), header=header)
        assert time.process_time() - started < 5, f"{unit!r}, again and again, takes too long"


@pytest.mark.parametrize(
    ("file", "plugin"),
    [
        ("access.log", "access"),
        ("app.jsonl", "json_lines"),
        ("sales.csv", "csv"),
        ("syslog", "syslog"),
        ("notes.txt", "text"),
        ("events.xml", None),
        ("telemetry.tlm", None),
        ("events.trc", None),
        ("world.hello", None),
        ("wisdom.fortunes", None),
        ("app.kv", None),
    ],
)
def test_each_example_log_goes_to_one_processor_that_ships_or_waits(file: str, plugin: str | None) -> None:
    assert winner(file, (LOGS / file).read_bytes(), SHIPPED_MANIFESTS) == plugin


@pytest.mark.parametrize(
    ("file", "plugin"),
    [
        ("events.xml", "xml_events"),
        ("telemetry.tlm", "telemetry"),
        ("events.trc", "trace"),
        ("world.hello", "hello"),
        ("wisdom.fortunes", "fortunes"),
        ("access.log", "access"),
    ],
)
def test_an_example_plugin_takes_its_own_log_and_no_other(file: str, plugin: str) -> None:
    manifests = [manifest for manifest, _ in MODULES.values()]
    assert winner(file, (LOGS / file).read_bytes(), manifests) == plugin


@pytest.mark.parametrize(
    ("file", "plugin", "records", "rejected"),
    [
        ("access.log", "access", 200, 0),
        ("app.jsonl", "json_lines", 50, 0),
        ("sales.csv", "csv", 40, 0),
        ("syslog", "syslog", 31, 0),
        ("notes.txt", "text", 5, 0),
        ("events.xml", "xml_events", 12, 0),
        ("telemetry.tlm", "telemetry", 59, 1),
        ("events.trc", "trace", 39, 1),
        ("world.hello", "hello", 3, 0),
        ("wisdom.fortunes", "fortunes", 3, 0),
    ],
)
def test_the_example_logs_hold_what_the_documentation_counts(
    file: str, plugin: str, records: int, rejected: int
) -> None:
    outcome = parse_file(plugin, LOGS / file)
    assert (len(outcome.records), len(outcome.rejected)) == (records, rejected), outcome.rejected


def test_a_plugin_that_names_its_files_is_preferred_to_the_processors_that_ship() -> None:
    own = Manifest(name="own", version="1.0.0", contract=">=1.0,<2", accepts=Accepts(names=("access*.log",)))
    head = (LOGS / "access.log").read_bytes()
    assert winner("access.log", head, [*SHIPPED_MANIFESTS, own]) == "own"


@pytest.mark.parametrize(
    ("source", "head", "plugin"),
    [
        (
            "app.log",
            b'{"log": "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \\"GET / HTTP/1.1\\" 200 1"}\n',
            "json_lines",
        ),
        ("app.log", b"half a line\n" + b'::1 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-"\n', "access"),
        ("app.log", b'\n\n  {"a": 1}\n', "json_lines"),
        ("app.log", b"just words {\n", "text"),
        ("document.json", b'{\n  "a": 1\n}\n', None),
        ("list.json", b"[1, 2]\n", None),
        ("messages", b"<13>1 - - - - - -\n", "syslog"),
        ("messages", b"Mar  8 15:18:40 host sshd[3]: hello\n", "syslog"),
        ("vsftpd.log", b"Mon Jun  6 18:43:28 2016 [pid 2] CONNECT\n", "text"),
        ("data.csv", b"a,b\n1,2\n", "csv"),
        ("image.png", b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_a_source_goes_to_the_processor_of_its_format(source: str, head: bytes, plugin: str | None) -> None:
    assert winner(source, head, SHIPPED_MANIFESTS) == plugin


# access

COMBINED = (
    '192.0.2.7 - frank [17/May/2015:12:05:03 +0200] "GET /a HTTP/1.1" 200 2326 "http://example.com/" "curl/8.5.0"'
)


def access(*lines: str) -> Outcome:
    return parse("access", "".join(f"{line}\n" for line in lines).encode())


def test_access_reads_the_combined_format() -> None:
    assert access(COMBINED).records == [
        {
            "timestamp": "2015-05-17T10:05:03Z",
            "client": "192.0.2.7",
            "ident": None,
            "user": "frank",
            "method": "GET",
            "path": "/a",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes": 2326,
            "referer": "http://example.com/",
            "agent": "curl/8.5.0",
        }
    ]


def test_access_reads_the_common_format_with_the_same_fields() -> None:
    common = COMBINED.partition(' "http')[0].replace("2326", "-")
    expected = {**access(COMBINED).records[0], "bytes": None, "referer": None, "agent": None}
    assert access(common).records == [expected]
    assert access(common, COMBINED).records == [expected, access(COMBINED).records[0]]


def test_access_keeps_an_empty_referer_apart_from_none() -> None:
    assert access(COMBINED.replace("http://example.com/", "")).records[0]["referer"] == ""
    assert access(COMBINED.replace("http://example.com/", "-")).records[0]["referer"] is None


@pytest.mark.parametrize(
    "request_line",
    [r"\x16\x03\x01", "GET /two words HTTP/1.1", "GET /", "GET / HTTPS/1.0", r"GET / \"x\" 200 1 ", ""],
)
def test_access_keeps_an_irregular_request_whole(request_line: str) -> None:
    (record,) = access(COMBINED.replace("GET /a HTTP/1.1", request_line)).records
    assert record["request"] == request_line
    assert (record["method"], record["path"], record["protocol"]) == (None, None, None)
    assert (record["status"], record["agent"]) == (200, "curl/8.5.0")


def test_access_has_no_request_field_for_a_regular_request() -> None:
    assert "request" not in access(COMBINED).records[0]


@pytest.mark.parametrize("text", [r"\"", r"a \"quoted\" word", r"ends with a backslash \\", r"\\\"", r"\" \" \""])
def test_access_reads_past_escaped_quotes(text: str) -> None:
    (record,) = access(COMBINED.replace("curl/8.5.0", text)).records
    assert (record["referer"], record["agent"]) == ("http://example.com/", text)
    (record,) = access(COMBINED.replace("http://example.com/", text)).records
    assert (record["referer"], record["agent"]) == (text, "curl/8.5.0")
    (record,) = access(COMBINED.replace("/a", "/" + text.replace(" ", "+"))).records
    assert record["path"] == "/" + text.replace(" ", "+")


def test_access_rejects_a_bad_line_alone_and_as_it_was_found() -> None:
    outcome = parse("access", f"{COMBINED}\nnot at all\n{COMBINED}\r\n\n".encode() + b"\xff\n")
    assert len(outcome.records) == 2
    reason = "not a line of the common or the combined log format"
    assert outcome.rejected == [(b"not at all", reason), (b"\xff", reason)]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("31/Feb/2015:10:05:03 +0000", "day is out of range for month"),
        ("17/Mai/2015:10:05:03 +0000", "'17/Mai/2015:10:05+0000' is not a time like 17/May/2015:12:05+0200"),
        (
            "17/May/2015:10:05:73 +0000",
            "'17/May/2015:10:05:73 +0000' is not a time like 17/May/2015:12:05:03 +0200",
        ),
    ],
)
def test_access_rejects_an_impossible_time_alone(written: str, reason: str) -> None:
    outcome = access(COMBINED, COMBINED.replace("17/May/2015:12:05:03 +0200", written), COMBINED)
    assert len(outcome.records) == 2
    assert [why for _, why in outcome.rejected] == [reason]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("31/Dec/2015:23:59:60 +0000", "2015-12-31T23:59:60Z"),
        ("1/Jan/2016:00:00:00 +0330", "2015-12-31T20:30:00Z"),
        ("31/Dec/2015:23:00:01 -0700", "2016-01-01T06:00:01Z"),
    ],
)
def test_access_times_are_utc(written: str, utc: str) -> None:
    assert access(COMBINED.replace("17/May/2015:12:05:03 +0200", written)).records[0]["timestamp"] == utc


def test_access_keeps_what_follows_the_last_field() -> None:
    (record,) = access(COMBINED + ' "203.0.113.9" 0.004').records
    assert (record["agent"], record["extra"]) == ("curl/8.5.0", '"203.0.113.9" 0.004')
    assert access(COMBINED + " more\r").records[0]["extra"] == "more"
    assert "extra" not in access(COMBINED + " \r").records[0]
    (record,) = access(COMBINED[:-1]).records
    assert (record["agent"], record["extra"]) == (None, '"http://example.com/" "curl/8.5.0')


ACCESS_LINES = st.sampled_from(
    [
        COMBINED,
        COMBINED.replace("GET /a HTTP/1.1", "-"),
        COMBINED.replace("curl", r"\"curl\""),
        COMBINED.replace("curl", "c\u00fcrl\u2028\x0c\x85"),
        COMBINED.partition(' "http')[0],
        COMBINED + " more",
        COMBINED[:-1],
        COMBINED[:60],
        COMBINED.replace("17/May", "99/May"),
        "",
    ]
)


@given(st.lists(ACCESS_LINES, max_size=80), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_access_yields_the_same_however_the_input_is_cut(lines: list[str], line_end: str, closed: bool) -> None:
    data = (line_end.join(lines) + (line_end if closed else "")).encode()
    whole = parse("access", data)
    one_by_one = [parse("access", line) for line in data.splitlines(keepends=True) if line.strip()]
    assert whole.records == [record for outcome in one_by_one for record in outcome.records]
    assert len(whole.rejected) == sum(len(outcome.rejected) for outcome in one_by_one)


# json_lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not JSON: Expecting ',' delimiter at column 8"),
        (b'{"a": NaN}', "not JSON: NaN is Python's, not JSON's"),
        (b'{"a": -Infinity}', "not JSON: -Infinity is Python's, not JSON's"),
        (b'{"a": 1e999}', "not JSON: 1e999 is out of range"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        (b'{"a": "\t"}', "not JSON: Invalid control character at at column 8"),
        (b"[1]", "a JSON array, where an object is expected"),
        (b"12", "a JSON number, where an object is expected"),
        (b"null", "a JSON null, where an object is expected"),
        (b'{"a": 1} {"b": 2}', "not one JSON value: column 9 begins something else"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_json_lines_rejects_a_bad_line_alone(line: bytes, reason: str) -> None:
    outcome = parse("json_lines", b'{"before": 1}\n' + line + b'\n{"after": 2}')
    assert outcome.records == [{"before": 1}, {"after": 2}]
    assert outcome.rejected == [(line, reason)]


def test_json_lines_replaces_half_a_surrogate_pair_at_any_depth() -> None:
    line = rb'{"whole \ud83e\udd25": "\ud83e\udd25", "\uDC00 key": ["x\ud800y", {"z": "\uDFFF\uD800"}, 1]}'
    assert parse("json_lines", line).records == [
        {"whole \U0001f925": "\U0001f925", "\ufffd key": ["x\ufffdy", {"z": "\ufffd\ufffd"}, 1]}
    ]


def test_json_lines_skips_blank_lines_and_a_byte_order_mark() -> None:
    outcome = parse("json_lines", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n {"b": 2} \r\n')
    assert outcome == Outcome([{"a": 1}, {"b": 2}])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=6), st.booleans())
def test_json_lines_yields_what_was_written(objects: list[dict[str, Any]], ascii_only: bool) -> None:
    data = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in objects).encode()
    assert parse("json_lines", data) == Outcome(objects)


# csv


def test_csv_rejects_a_row_of_another_width_and_counts() -> None:
    outcome = parse("csv", b'1,2\n1\n1,2,"3\n4"\n3,4\n', header=b"a,b\n")
    assert outcome.records == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert outcome.rejected == [
        (b"1\n", "expected 2 fields, found 1"),
        (b'1,2,"3\n4"\n', "expected 2 fields, found 3"),
    ]


def test_csv_loses_one_line_to_a_quote_that_never_closes() -> None:
    outcome = parse("csv", b'1,2\n3,"4\n5,6\n7,8\n', header=b"a,b\n")
    assert [record["a"] for record in outcome.records] == ["1", "5", "7"]
    assert outcome.rejected == [(b'3,"4\n', "not CSV: unexpected end of data")]


def test_csv_names_every_column_so_that_none_hides_another() -> None:
    outcome = parse("csv", b"1,2,3,4,5\n", header=b"id,id,,id_2,\xff\n")
    assert outcome.records == [{"id": "1", "id_3": "2", "column_3": "3", "id_2": "4", "\\xff": "5"}]


def test_csv_reads_a_byte_order_mark_and_crlf() -> None:
    outcome = parse("csv", b'1,"x\r\ny"\r\n\r\n', header=b'\xef\xbb\xbf"a",b\r\n')
    assert outcome == Outcome([{"a": "1", "b": "x\r\ny"}])


def test_csv_takes_another_delimiter_from_its_options() -> None:
    module = MODULES["csv"][1]
    options = module.Options(delimiter=";", skip_initial_space=True)
    assert parse("csv", b"1; 2,5\n", header=b"a; b\n", options=options) == Outcome([{"a": "1", "b": "2,5"}])
    for delimiter in ("", ";;", '"', "\n"):
        with pytest.raises(ValueError, match="should match pattern"):
            module.Options(delimiter=delimiter)


@pytest.mark.parametrize(
    ("header", "reason"),
    [(b"", "there is no header row to name the fields"), (b'"a\n', "the header row is not CSV")],
)
def test_csv_fails_a_batch_that_it_cannot_name_the_fields_of(header: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("csv", b"1\n", header=header)


CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.text('",\n\r; a', max_size=6)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8))


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.data())
def test_csv_yields_the_rows_that_were_written_wherever_it_is_cut(
    table: list[list[str]], line_end: str, choice: st.DataObject
) -> None:
    names = [f"column {number}" for number in range(len(table[0]) if table else 1)]
    text = io.StringIO(newline="")
    stdlib_csv.writer(text, lineterminator=line_end, quoting=stdlib_csv.QUOTE_ALL).writerows([names, *table])
    data = text.getvalue().encode()
    framing = MODULES["csv"][0].compiled_framing()
    header_end = framing.header_end(data)
    assert header_end is not None
    header, rest = data[:header_end], data[header_end:]
    starts = framing.starts(rest)
    assert len(starts) == len(table)
    cut = choice.draw(st.sampled_from([*starts, len(rest)]))
    outcomes = [parse("csv", part, header=header) for part in (rest[:cut], rest[cut:])]
    assert [record for outcome in outcomes for record in outcome.records] == [
        dict(zip(names, row, strict=True)) for row in table
    ]
    assert [outcome.rejected for outcome in outcomes] == [[], []]


# text


def test_text_makes_a_message_of_each_line_that_is_not_empty() -> None:
    outcome = parse("text", b"\xef\xbb\xbfone\r\n\n\r\n two\x0c\xe2\x80\xa8still two\ncaf\xe9")
    assert [record["message"] for record in outcome.records] == ["one", " two\x0c\u2028still two", "caf\\xe9"]
    assert outcome.rejected == []


# syslog


def syslog(line: str) -> dict[str, Any]:
    outcome = parse("syslog", line.encode())
    assert outcome.rejected == []
    (record,) = outcome.records
    return record


def test_syslog_reads_rfc_5424_with_structured_data_and_byte_order_mark() -> None:
    line = r'<34>1 2003-10-11T22:14:15.003Z host su 77 ID47 [a@1 x="1" y="q\"b\\c\]"][origin ip="::1" ip="::2"]'
    assert syslog(line + " \ufeff'su root' failed") == {
        "timestamp": "2003-10-11T22:14:15.003Z",
        "severity_text": "crit",
        "severity_number": 18,
        "facility": "auth",
        "hostname": "host",
        "appname": "su",
        "procid": "77",
        "msgid": "ID47",
        "structured_data": {"a@1": {"x": "1", "y": 'q"b\\c]'}, "origin": {"ip": ["::1", "::2"]}},
        "message": "'su root' failed",
    }


def test_syslog_leaves_out_what_a_message_does_not_have() -> None:
    assert syslog("<191>1 - - - - - -") == {
        "severity_text": "debug",
        "severity_number": 5,
        "facility": "local7",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "host sshd[12]: hi: there",
            {"hostname": "host", "appname": "sshd", "procid": "12", "message": "hi: there"},
        ),
        ("host sshd: hi", {"hostname": "host", "appname": "sshd", "message": "hi"}),
        ("host ssh(pam)[1]: hi", {"hostname": "host", "appname": "ssh(pam)", "procid": "1", "message": "hi"}),
        ("127:0:ab::1 sshd: hi", {"hostname": "127:0:ab::1", "appname": "sshd", "message": "hi"}),
        ("host last message repeated", {"hostname": "host", "message": "last message repeated"}),
        ("host: last message repeated", {"hostname": "host", "message": "last message repeated"}),
        ("sshd[12]: hi", {"appname": "sshd", "procid": "12", "message": "hi"}),
        ("host app:     indented", {"hostname": "host", "appname": "app", "message": "    indented"}),
        ("host app:", {"hostname": "host", "appname": "app", "message": ""}),
    ],
)
def test_syslog_reads_rfc_3164_as_it_is_found(line: str, expected: dict[str, str]) -> None:
    assert syslog(f"Mar  8 15:18:40 {line}") == {"timestamp": "Mar  8 15:18:40", **expected}


def test_syslog_never_guesses_a_year_or_a_zone() -> None:
    assert syslog("<13>Feb 29 15:18:40.5 h a: m")["timestamp"] == "Feb 29 15:18:40.5"
    assert syslog("Feb 29 2024 15:18:40 h a: m")["timestamp"] == "Feb 29 2024 15:18:40"
    assert syslog("2024-02-29T15:18:40.5+02:00 h a: m")["timestamp"] == "2024-02-29T15:18:40.5+02:00"


def test_syslog_reads_chrome_os_levels() -> None:
    assert syslog("2016-10-25T12:37:25.007960-07:00 ERR kernel: [  316.5] ath") == {
        "timestamp": "2016-10-25T12:37:25.007960-07:00",
        "severity_text": "err",
        "severity_number": 17,
        "appname": "kernel",
        "message": "[  316.5] ath",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<192>1 - - - - - -", "priority 192 is over 191"),
        ("<3444>Oct 11 22:14:15 h a: m", "neither RFC 5424 nor RFC 3164"),
        ("<7>words", "neither RFC 5424 nor RFC 3164"),
        ("\ta continued line", "neither RFC 5424 nor RFC 3164"),
        ('<7>1 - - - - - [a b="open] m', "neither RFC 5424 nor RFC 3164"),
        ("2024-13-01T00:00:00Z h a: m", "neither RFC 5424 nor RFC 3164"),
    ],
)
def test_syslog_rejects_other_lines_alone(line: str, reason: str) -> None:
    outcome = parse("syslog", f"\ufeffMar  8 15:18:40 h a: m\r\n{line}\nMar  8 15:18:41 h a: m\n\n".encode())
    assert [record["message"] for record in outcome.records] == ["m", "m"]
    assert outcome.rejected == [(line.encode(), reason)]


# examples/plugins


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "it declares a DOCTYPE x"),
        (
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
            "it declares a DOCTYPE x",
        ),
        (b"<event>&lol;</event>", "undefined entity: line 1, column 7"),
        (b"<event>", "no element found: line 1, column 7"),
    ],
)
def test_xml_events_rejects_what_is_not_safe_or_not_xml(document: bytes, reason: str) -> None:
    outcome = parse("xml_events", document)
    assert outcome == Outcome([], [(document, f"not XML that is safe to read: {reason}")])


def test_xml_events_rejects_what_is_nested_too_deeply() -> None:
    document = b"<event>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</event>"
    assert parse("xml_events", document) == Outcome([], [(document, "nested too deeply")])


def test_xml_events_makes_a_list_of_what_occurs_again() -> None:
    document = b'<x><Event n="1"><n>1</n><n><m/></n> a <b/> c </Event></x>'
    assert parse("xml_events", document).records == [{"n": ["1", "1", {"m": ""}], "b": "", "text": "a c"}]


def test_telemetry_rejects_a_damaged_record_alone_and_reads_it_again_by_itself() -> None:
    data = (LOGS / "telemetry.tlm").read_bytes()
    outcome = parse("telemetry", data)
    ((raw, reason),) = outcome.rejected
    assert reason.startswith("CRC-32 is ")
    body = raw[2:-4]
    mended = raw[:-4] + struct.pack(">I", zlib.crc32(body))
    assert len(parse("telemetry", mended).records) == 1
    assert outcome.records[0] == {
        "timestamp": "2024-05-17T10:05:03.000Z",
        "sensor": 1,
        "status": "stale",
        "value": 20.0,
        "label": "boiler",
    }


def test_telemetry_rejects_a_torn_end() -> None:
    data = (LOGS / "telemetry.tlm").read_bytes()
    outcome = parse("telemetry", data[:-3])
    assert outcome.rejected[-1][1] == "the file ends inside this record: it needs 3 bytes more"
    assert len(outcome.records) == 58


def test_telemetry_refuses_another_version_of_the_format() -> None:
    with pytest.raises(ValueError, match="version 02 of the format; this plugin reads version 1"):
        parse("telemetry", b"\x89TLM\x02")


def test_the_trace_log_is_what_its_generator_writes() -> None:
    generator = runpy.run_path(str(ROOT / "examples" / "make_trace.py"))
    assert generator["trace"]() == (LOGS / "events.trc").read_bytes()


@given(cuts=st.lists(st.integers(1, 507), max_size=20), reopen=st.booleans())
def test_a_trace_is_the_same_wherever_it_is_cut(cuts: list[int], reopen: bool) -> None:
    data = (LOGS / "events.trc").read_bytes()
    assert parse("trace", data, cuts=cuts, reopen=reopen) == parse("trace", data)


def test_a_trace_says_what_is_wrong_with_it() -> None:
    data = (LOGS / "events.trc").read_bytes()
    whole = parse("trace", data)
    assert [record["number"] for record in whole.records if "uncertain" in record] == [26, 27, 28, 29]
    assert [reason.partition(" is ")[0] for _, reason in whole.rejected] == ["CRC-32"]
    torn = parse("trace", data[:-3])
    assert torn.records == whole.records[:-1]
    assert torn.rejected[-1] == (data[-len(torn.rejected[-1][0]) - 3 : -3], "the trace ends inside this block")
    with pytest.raises(ValueError, match="begins with 89 54 52 43 02, which is no trace of version 1"):
        parse("trace", b"\x89TRC\x02" + data[5:])
    processor = make_stream_processor(MODULES["trace"][1].new_processor)
    ctx = Context(source="a", reject=lambda *_: None, say=lambda *_: None)
    with pytest.raises(ValueError, match="a snapshot of layout 7b; this version reads layout 01"):
        processor.open(ctx, b"{}")


def test_the_telemetry_log_is_what_its_generator_writes() -> None:
    generator = runpy.run_path(str(ROOT / "examples" / "make_telemetry.py"))
    assert generator["document"]() == (LOGS / "telemetry.tlm").read_bytes()
    sample = MODULES["telemetry"][0].samples[0]
    time_ms = 1715940303000
    assert base64.b64decode(sample.input) == b"\x89TLM\x01" + generator["record"](time_ms, 7, 1, 21.5, "boiler")


@pytest.mark.parametrize("path", MISBEHAVING, ids=lambda path: path.stem)
def test_a_misbehaving_example_takes_no_file_by_accident(path: Path) -> None:
    text = path.read_text()
    if path.stem == "no_manifest":
        with pytest.raises(ManifestError, match="has no PEP 723 block"):
            read_script(text)
        return
    manifest, _ = read_script(text)
    assert manifest.name == path.stem
    assert manifest.accepts.names == (f"*.misbehave_{path.stem}",)


# examples/wheels


def test_the_wheel_example_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    project = ROOT / "examples" / "wheels" / "keyvalue"
    monkeypatch.syspath_prepend(project)
    module = importlib.import_module("hostd_keyvalue")
    toml = (project / "hostd_keyvalue" / "plugin.toml").read_text()
    manifest = read_plugin_toml(toml, name="keyvalue", version="1.0.0")
    conformance_of(manifest, module.new_processor)
    assert winner("app.kv", b"", [*SHIPPED_MANIFESTS, manifest]) == "keyvalue"
    outcome = run(module.new_processor(), (LOGS / "app.kv").read_bytes())
    assert (len(outcome.records), outcome.rejected) == (3, [])
