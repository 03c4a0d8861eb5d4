"""Which processor takes a source: the most specific one that ships, and before it whatever a user drops in."""

import pytest

from contract.manifest import Accepts, Manifest
from tests.processors.support import LOGS, MODULES, SHIPPED_MANIFESTS, taker


@pytest.mark.parametrize(
    ("file", "plugin"),
    [
        ("access.log", "access"),
        ("app.jsonl", "json_lines"),
        ("sales.csv", "csv"),
        ("syslog", "syslog"),
        ("notes.txt", "text"),
        ("events.xml", "xml"),
        ("telemetry.tlm", None),
        ("events.trc", None),
        ("world.hello", None),
        ("wisdom.fortunes", None),
        ("app.kv", "logfmt"),
    ],
)
def test_each_example_log_goes_to_one_processor_that_ships_or_waits(file: str, plugin: str | None) -> None:
    assert taker(file, (LOGS / file).read_bytes(), SHIPPED_MANIFESTS) == plugin


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
    assert taker(file, (LOGS / file).read_bytes(), manifests) == plugin


def test_a_plugin_that_names_its_files_is_preferred_to_the_processors_that_ship() -> None:
    own = Manifest(name="own", version="1.0.0", contract=">=1.0,<2", accepts=Accepts(names=("access*.log",)))
    head = (LOGS / "access.log").read_bytes()
    assert taker("access.log", head, [*SHIPPED_MANIFESTS, own]) == "own"


@pytest.mark.parametrize(
    ("source", "head", "plugin"),
    [
        (
            "app.log",
            b'{"line": "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \\"GET / HTTP/1.1\\" 200 1"}\n',
            "json_lines",
        ),
        ("app.log", b"half a line\n" + b'::1 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-"\n', "access"),
        ("app.log", b'\n\n  {"a": 1}\n', "json_lines"),
        ("app.log", b'of a message", "b": 2}\n{"a": 1}\n{"a": 2}\n', "json_lines"),
        ("app.log", b"# written by x\n" + b'{"a": 1}\n', "json_lines"),
        ("app.log", b"words\n" * 20 + b'{"a": 1}\n', "text"),
        ("app.log", b"just words {\n", "text"),
        ("document.json", b'{\n  "a": 1\n}\n', "json_documents"),
        ("list.json", b"[1, 2]\n", None),
        ("messages", b"<13>1 - - - - - -\n", "syslog"),
        ("messages", b"Mar  8 15:18:40 host sshd[3]: hello\n", "syslog"),
        ("some.log", b"Mon Jun  6 18:43:28 2016 [pid 2] CONNECT\n", "timed_text"),
        ("some.log", b"[one] two\n", "text"),
        ("data.csv", b"a,b\n1,2\n", "csv"),
        ("report.xml", b'<?xml version="1.0"?>\n<a><b/></a>\n', "xml"),
        ("telemetry.xml", b"<telemetry>\n  <reading at='1'><v>7</v></reading>\n</telemetry>\n", "xml"),
        ("some.dat", b'<entry at="1" level="info" msg="a=b c=d"/>\n' * 3, "xml"),
        ("some.log", b"<entry>text &amp; more</entry>\n", "xml"),
        ("some.log", b"\xef\xbb\xbf\n<log><![CDATA[\n\tat a.B.c(B.java:7)\n]]></log>\n", "xml"),
        ("some.log", b"<msg>disk <b>sda</b> is bad</msg>\n", "xml"),
        ("some.log", b'<log from="a">' + b"x" * 9000, "xml"),
        ("some.xml", b"<!-- ours --><!DOCTYPE hibernate-mapping SYSTEM 'x'>\n<a/>\n", "xml"),
        ("page.xhtml", b'<?xml version="1.0"?><!DOCTYPE html><html><head/><body/></html>', "xml"),
        (
            "app.xml",
            b'<log4j:event logger="a" level="INFO"><log4j:message>m</log4j:message></log4j:event>\n',
            "xml_log",
        ),
        ("index.html", b"<!DOCTYPE html>\n<html></html>\n", None),
        ("index.html", b"<!-- saved -- from --> <!-- a -->\n<HTML lang='en'><head></head></HTML>\n", None),
        ("part.html", b"<div class='a'><p>b</p></div>\n", None),
        ("irc.log", b"<dana> hello\n<lou> see <b>this</b>\n", "text"),
        ("server.log", b"<Notice> <Stdout> <main> <started>\n" * 9, "text"),
        ("generics.txt", b"<T> List<T> of(T one)\n", "text"),
        ("pino.log", b'{"level":30,"time":1715940303143,"pid":7,"hostname":"h","msg":"said"}\n', "app_json"),
        ("app.log", b'{"level": "info", "message": "said"}\n', "json_lines"),
        ("gc.log", b"[0.015s][info][gc] Using G1\n", "jvm_gc"),
        ("image.png", b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_a_source_goes_to_the_processor_of_its_format(source: str, head: bytes, plugin: str | None) -> None:
    assert taker(source, head, SHIPPED_MANIFESTS) == plugin


SAMPLES = [(manifest.name, number) for manifest in SHIPPED_MANIFESTS for number in range(len(manifest.samples))]


@pytest.mark.parametrize(("processor", "number"), SAMPLES, ids=lambda part: str(part))
def test_the_head_of_every_sample_goes_to_its_own_processor(processor: str, number: int) -> None:
    """Under a name that says nothing, unless the processor goes by names; `text` takes what is left."""
    manifest = MODULES[processor][0]
    sample = manifest.samples[number]
    source = sample.name if manifest.accepts.names else "some.log"
    if processor in {"csv", "text"}:  # which go by names alone
        source = f"some.{'csv' if processor == 'csv' else 'log'}"
    assert taker(source, sample.header.encode() + sample.content()) == processor
