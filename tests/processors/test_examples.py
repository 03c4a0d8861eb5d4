"""The plugins of `examples/`: each does what it says."""

import base64
import importlib
import runpy
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Context
from contract.manifest import ManifestError, read_plugin_toml, read_script
from contract.testing import Outcome, conformance_of, make_stream_processor, run
from tests.processors.support import LOGS, MISBEHAVING, MODULES, ROOT, SHIPPED_MANIFESTS, parse, parse_source, taker


@pytest.mark.parametrize(
    ("file", "plugin", "records", "rejected"),
    [
        ("access.log", "access", 200, 0),
        ("app.jsonl", "json_lines", 50, 0),
        ("sales.csv", "csv", 40, 0),
        ("syslog", "syslog", 31, 0),
        ("notes.txt", "text", 5, 0),
        ("events.xml", "xml_events", 12, 0),
        ("events.xml", "xml", 12, 0),
        ("telemetry.tlm", "telemetry", 59, 1),
        ("events.trc", "trace", 39, 1),
        ("world.hello", "hello", 3, 0),
        ("wisdom.fortunes", "fortunes", 3, 0),
    ],
)
def test_the_example_logs_hold_what_the_documentation_counts(
    file: str, plugin: str, records: int, rejected: int
) -> None:
    outcome = parse_source(plugin, (LOGS / file).read_bytes())
    assert (len(outcome.records), len(outcome.rejected)) == (records, rejected), outcome.rejected


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


ACCESS_LINES = (
    '192.0.2.7 - frank [17/May/2015:12:05:03 +0200] "GET /a?b=1 HTTP/1.1" 200 2326 "https://example.com/" "curl/8 (x)"',
    '192.0.2.8 - - [17/May/2015:12:05:03 +0200] "POST / HTTP/1.0" 304 - "-" "-"',
    '192.0.2.8 id - [17/May/2015:12:05:04 +0000] "GET /c HTTP/2.0" 200 5 "-" "é"',
    r'192.0.2.9 - - [17/May/2015:12:05:04 +0200] "GET /c HTTP/1.1" 200 5 "-" "an \"agent\""',
)
ACCESS_BROKEN = (
    "192.0.2.7 dana",
    '192.0.2.9 - - [17/Mai/2015:12:05:04 +0200] "GET /c HTTP/1.1" 200 5 "-" "-"',
    '192.0.2.9 - - [17/May/2015:12:05:04 +0200] "GET /c d HTTP/1.1" 200 5 "-" "-"',
    '192.0.2.9 - - [17/May/2015:12:05:04 +0200] "GET /c HTTP/1.1" two 5 "-" "-"',
    '192.0.2.9 - - [17/May/2015:12:05:04 +0200] "GET /c HTTP/1.1" 200 5 "] "x" "-"',
)


@given(lines=st.lists(st.sampled_from(ACCESS_LINES * 20 + ACCESS_BROKEN), max_size=200))
def test_access_by_columns_has_the_records_of_access(lines: list[str]) -> None:
    """Whichever lines are ordinary, in the order of the log; the others are rejected, each alone."""
    data = "".join(f"{line}\n" for line in lines).encode()
    good = "".join(f"{line}\n" for line in lines if line in ACCESS_LINES).encode()
    outcome = parse("access_columns", data)
    assert outcome.records == parse("access", good).records
    assert [raw.decode() for raw, _ in outcome.rejected] == [line for line in lines if line in ACCESS_BROKEN]


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6), min_size=1, max_size=4),
        max_size=20,
    )
)
def test_csv_by_columns_has_the_records_of_csv(rows: list[list[str]]) -> None:
    """Quotes, line feeds in fields, and rows of another width, which are rejected alone."""
    lines = [",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows]
    header = b"a,b,c\n"
    one, other = (parse(name, "".join(lines).encode(), header=header) for name in ("csv_columns", "csv"))
    assert one.records == other.records
    assert [(raw.rstrip(b"\n"), reason) for raw, reason in one.rejected] == [
        (raw.rstrip(b"\n"), reason) for raw, reason in other.rejected
    ]


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
    assert parse("trace", data, cuts=tuple(cuts), reopen=reopen) == parse("trace", data)


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


def test_the_wheel_example_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    project = ROOT / "examples" / "wheels" / "keyvalue"
    monkeypatch.syspath_prepend(project)
    module = importlib.import_module("hostd_keyvalue")
    toml = (project / "hostd_keyvalue" / "plugin.toml").read_text()
    manifest = read_plugin_toml(toml, name="keyvalue", version="1.0.0")
    conformance_of(manifest, module.new_processor)
    assert taker("app.kv", b"", [*SHIPPED_MANIFESTS, manifest]) == "keyvalue"
    outcome = run(module.new_processor(), (LOGS / "app.kv").read_bytes())
    assert (len(outcome.records), outcome.rejected) == (3, [])
