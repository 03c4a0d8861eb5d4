"""The processors against real logs, whose truth was made by others.

The logs are not part of the project. `HOSTD_CORPUS` names the folder that holds them.
"""

import base64
import csv
import gzip
import hashlib
import json
import re
from itertools import pairwise
from typing import Any

import pytest

from contract import from_epoch
from contract.testing import Outcome
from tests.processors import support
from tests.processors.corpus import CORPUS, NO_CORPUS

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=NO_CORPUS)


def parse(plugin: str, path: str) -> Outcome:
    """Parse a whole file of the corpus, its header apart."""
    return support.parse_source(plugin, (CORPUS / path).read_bytes())


def truth(path: str) -> list[dict[str, Any]]:
    packed = CORPUS / f"{path}.truth.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else (CORPUS / f"{path}.truth.json").read_bytes()
    items: list[dict[str, Any]] = json.loads(text)["items"]
    return items


def as_access_record(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what the truth says in the words of the processor."""
    record = {
        "timestamp": fields["time_utc"],
        **{name: fields.get(name) for name in ("client", "ident", "user", "method", "path", "protocol", "status")},
        **{name: fields.get(name) for name in ("bytes", "referer", "agent")},
    }
    if "method" not in fields:
        record["request"] = fields["request"]
    if "rest" in fields:
        record["extra"] = fields["rest"]
    return {name: None if value == "-" else value for name, value in record.items()}


@pytest.mark.parametrize(
    "path",
    [
        "access/apache_logs.log",
        "lnav/logfile_access_log.0",
        "lnav/logfile_access_log.1",
        "lnav/logfile_bad_access_log.0",
        "lnav/logfile_shop_access_log.0",
    ],
)
def test_access_records_equal_the_truth(path: str) -> None:
    items = truth(path)
    outcome = parse("access", path)
    assert outcome.records == [as_access_record(item["fields"]) for item in items if "fields" in item]
    lines = (CORPUS / path).read_bytes().split(b"\n")
    assert [raw for raw, _ in outcome.rejected] == [lines[item["line"] - 1] for item in items if "unparsable" in item]


def test_access_rejects_exactly_the_lines_that_others_reject() -> None:
    items = truth("jc/common-log-format.log")
    outcome = parse("access", "jc/common-log-format.log")
    assert [raw.decode() for raw, _ in outcome.rejected] == [item["raw"] for item in items if "unparsable" in item]
    expected = [item["fields"] for item in items if "fields" in item]
    assert len(outcome.records) == len(expected)
    for record, fields in zip(outcome.records, expected, strict=True):
        names = {"client": "host", "user": "authuser", "status": "status", "bytes": "bytes", "extra": "extra"}
        assert {name: record.get(name) for name in names} == {name: fields[theirs] for name, theirs in names.items()}


def test_json_lines_yields_every_object_with_half_surrogate_pairs_replaced() -> None:
    path = "json/utf8_surrogate_bench_2k.ndjson"
    outcome = parse("json_lines", path)
    assert outcome.rejected == []
    objects = [json.loads(line) for line in (CORPUS / path).read_text(encoding="utf-8").splitlines()]
    assert len(objects) == 2000
    replaced = [json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") for value in objects]
    halves = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
    assert outcome.records == [json.loads(halves.sub("\ufffd".encode(), line)) for line in replaced]
    for item in truth(path):
        canonical = json.dumps(objects[item["i"]], sort_keys=True, separators=(",", ":"))
        assert hashlib.sha1(canonical.encode()).hexdigest() == item["canon_sha1"]


def test_csv_yields_every_sale() -> None:
    path = "jc/csv-10k-sales-records.csv"
    outcome = parse("csv", path)
    assert outcome.rejected == []
    with (CORPUS / path).open(newline="", encoding="utf-8") as file:
        assert outcome.records == list(csv.DictReader(file))
    for item in truth(path):
        assert outcome.records[item["i"]] == item["fields"]


@pytest.mark.parametrize("path", ["jc/csv-utf-8-bom.csv", "jc/csv-doublequoted.csv"])
def test_csv_dialects_equal_the_truth(path: str) -> None:
    outcome = parse("csv", path)
    assert outcome.rejected == []
    for item in truth(path):
        assert outcome.records[item["i"]] == item["fields"]


def test_syslog_reads_rfc_3164_as_others_do() -> None:
    items = truth("jc/syslog-3164.log")
    outcome = parse("syslog", "jc/syslog-3164.log")
    assert [raw.decode() for raw, _ in outcome.rejected] == [item["raw"] for item in items if "unparsable" in item]
    expected = [item["fields"] for item in items if "fields" in item]
    assert len(outcome.records) == len(expected)
    for record, fields in zip(outcome.records, expected, strict=True):
        assert record["time"] == fields["date"]
        assert record.get("hostname") == fields["hostname"]
        assert str(record.get("appname")).startswith(str(fields["tag"]))
        assert fields["content"].endswith(str(record["body"]).strip())
        assert ("severity_text" in record) == (fields["priority"] is not None)


@pytest.mark.parametrize(
    ("path", "records", "rejected"),
    [
        ("plaso/syslog/syslog_rsyslog", 5, 0),
        ("plaso/syslog/syslog_rsyslog_SyslogProtocol23Format", 9, 1),
        ("plaso/syslog/syslog_rsyslog_traditional", 10, 1),
        ("plaso/syslog/syslog_chromeos", 9, 0),
        ("derived-encoding/syslog.utf8-bom.log", 17, 1),
        ("lnav/logfile_rollover.2", 375, 0),
    ],
)
def test_syslog_makes_a_record_of_each_message_and_of_each_line_that_goes_on_with_one(
    path: str, records: int, rejected: int
) -> None:
    outcome = parse("syslog", path)
    assert (len(outcome.records), len(outcome.rejected)) == (records, rejected), outcome.rejected


@pytest.mark.parametrize("path", sorted(str(path.relative_to(CORPUS)) for path in CORPUS.glob("pcap/*.pcap*")))
def test_every_packet_has_its_time_lengths_and_bytes(path: str) -> None:
    if path.endswith((".json", ".out", ".gz")):
        return
    found = [
        (record.get("timestamp"), record["captured"], record["length"], base64.b64decode(str(record["data"])))
        for record in parse("pcap", path).records
    ]
    items = truth(path)
    assert [(caplen, length, hashlib.sha1(packet).hexdigest()[:16]) for _, caplen, length, packet in found] == [
        (item["caplen"], item["len"], item["sha1"]) for item in items
    ]
    for (timestamp, *_), item in zip(found, items, strict=True):
        seconds, _, fraction = str(item["ts"]).partition(".")
        carried = int(seconds) + int(fraction) // 10 ** (
            9 if len(fraction) == 9 else 6
        )  # one has too many microseconds
        assert timestamp is None or str(timestamp).startswith(from_epoch(carried)[:16])


@pytest.mark.parametrize("path", ["plaso/utmp/utmp", "plaso/utmp/utmp_x86_64", "plaso/utmp/wtmp.1"])
def test_login_records_equal_what_utmpdump_says(path: str) -> None:
    for record, item in zip(parse("utmp", path).records, truth(path), strict=True):
        fields = item["fields"]
        names = ("type", "pid", "line", "id", "user", "host", "exit_termination", "exit_status", "session")
        assert {name: record[name] for name in names} == {name: fields[name] for name in names}
        assert record["timestamp"] == fields["time_utc"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_values_of_message_pack_equal_the_truth(number: int) -> None:
    path = f"msgpack/mixed_00{number}.mp"
    assert [record["value"] for record in parse("msgpack", path).records] == [item["value"] for item in truth(path)]


@pytest.mark.parametrize(
    ("processor", "path"),
    [
        ("app_log", "java/kafka0-controller.log.2016-12-19-20"),
        ("app_log", "java/kafka0-server.log.2016-12-19-16"),
        ("app_log", "lnav/logfile_java.0"),
        ("app_log", "lnav/logfile_invalid_utf8.0"),
        ("app_log", "lnav/logfile_xml_msg.0"),
        ("mysql_slow", "lnav/logfile_mysql_slow.0"),
        ("postgres", "lnav/logfile_postgres.0"),
        ("postgres", "postgres/begin_end.log"),
        ("postgres", "postgres/multiline_param.log"),
        ("postgres", "postgres/stmt_type.log"),
    ],
)
def test_records_of_several_lines_begin_and_end_where_the_truth_says(processor: str, path: str) -> None:
    framing = support.MODULES[processor][0].compiled_framing()
    data = (CORPUS / path).read_bytes()
    starts = [*framing.starts(data), len(data)]
    found = [(data.count(b"\n", 0, start) + 1, len(data[start:end].splitlines())) for start, end in pairwise(starts)]
    items = [(item["line"], item["lines"]) for item in truth(path)]
    assert [line for line, _ in found] == [line for line, _ in items]
    assert len(parse(processor, path).records) == len(items)


def test_events_of_auditd_have_as_many_records_as_the_truth_says() -> None:
    path = "auditd/reassembly-normal.log"
    found = [(record["sequence"], len(record["records"])) for record in parse("auditd", path).records]  # type: ignore[arg-type]
    assert sorted(found) == sorted((item["sequence"], item["messages"]) for item in truth(path))
