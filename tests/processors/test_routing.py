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
        ("events.xml", None),
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
        ("index.html", b"<!DOCTYPE html>\n<html></html>\n", None),
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
