"""Run with `pytest` where hostd and this project are installed."""

from importlib.resources import files

from hostd_keyvalue import new_processor

from contract.manifest import read_plugin_toml
from contract.testing import conformance_of, run

MANIFEST = read_plugin_toml(
    files("hostd_keyvalue").joinpath("plugin.toml").read_text(encoding="utf-8"),
    name="keyvalue",
    version="1.0.0",
)


def test_the_processor_keeps_the_contract() -> None:
    conformance_of(MANIFEST, new_processor)


def test_a_quote_that_does_not_close_rejects_its_line_alone() -> None:
    outcome = run(new_processor(), b'a=1\nb="open\nc=3\n')
    assert outcome.records == [{"a": "1"}, {"c": "3"}]
    assert outcome.rejected == [(b'b="open', "ValueError: no key=value pair at column 1: 'b=\"open'")]
