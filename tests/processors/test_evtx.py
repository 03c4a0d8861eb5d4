"""The wheel `evtx`, where its library is installed."""

import importlib
import json
from types import ModuleType

import pytest

from contract.manifest import read_plugin_toml
from contract.testing import Outcome, run
from tests.processors.corpus import CORPUS, NO_CORPUS, Entry, expected_values, values
from tests.processors.support import ROOT, SHIPPED_MANIFESTS, taker

PROJECT = ROOT / "examples" / "wheels" / "evtx"
MANIFEST = read_plugin_toml((PROJECT / "hostd_evtx" / "plugin.toml").read_text(), name="evtx", version="1.0.0")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the plugin's module, if its library is there."""
    pytest.importorskip("evtx", reason="the library evtx is not installed")
    monkeypatch.syspath_prepend(PROJECT)
    return importlib.import_module("hostd_evtx")


def parse(module: ModuleType, path: str) -> Outcome:
    """Parse a log of the corpus."""
    return run(module.new_processor(), (CORPUS / path).read_bytes(), framing=MANIFEST.compiled_framing())


def test_an_event_log_is_known_by_its_first_bytes() -> None:
    assert taker("Security", b"ElfFile\x00" + bytes(4088), [*SHIPPED_MANIFESTS, MANIFEST]) == "evtx"


@pytest.mark.skipif(not CORPUS.is_dir(), reason=NO_CORPUS)
@pytest.mark.parametrize("name", ["Application_no_crc32", "new-user-security", "post-Security"])
def test_every_event_has_the_values_that_another_program_finds(module: ModuleType, name: str) -> None:
    path = f"evtx/{name}.evtx"
    outcome = parse(module, path)
    items = Entry(path, "").truth()["items"]
    assert len(outcome.records) == len(items)
    for record, item in zip(outcome.records, items, strict=True):
        wanted = {value for value in expected_values(item) if not value.startswith("http://")}
        assert wanted <= {*values(record), *json.dumps(record).lower().split('"')}
        assert record["timestamp"]
