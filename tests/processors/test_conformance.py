"""What holds for every processor that ships, and for the example plugins: the contract, and an answer to any bytes."""

import contextlib
import time
from pathlib import Path

import pytest

from contract.testing import conformance
from tests.processors.support import EXAMPLES, MODULES, SHIPPED, parse

HOSTILE = (
    *(
        b"\n",
        b" ",
        b'"',
        b"a\n",
        b"\\",
        b'\\"',
        b'"\n',
        b'"a""\n',
        b"\x00",
        b"\xff\n",
        b": ",
        b"|",
        b"=",
        b"a=b ",
        b",",
    ),
    *(
        b"a=b ",
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
    *(b"#Fields: a\n", b"[a] ", b"(a) ", b"2024-05-17 10:05:03 ", b"2024-05-17 10:05:03 INFO ", b"CEF:0|", b"a: b\n"),
    *(b"\n\n", b"\x81", b"\x91", b"type=A msg=audit(1.1:1): a='", b"[1] ", b"LOG:  ", b" at a(b)\n", b"<log4j:event "),
)
SIZE_BYTES = 16384


def _beginnings(name: str) -> list[bytes]:
    """Return what the processor takes for the start of a record of its own: of each sample the first 40 bytes."""
    return [sample.content().lstrip(b"\n")[:40] for sample in MODULES[name][0].samples]


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_the_plugin_keeps_the_contract(path: Path) -> None:
    conformance(path)


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_a_file_is_named_like_its_plugin(path: Path) -> None:
    assert MODULES[path.stem][0].name == path.stem


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_whatever_the_bytes_are_a_plugin_answers_soon(path: Path) -> None:
    header = b"a,b\n" if MODULES[path.stem][0].header == 1 else b""
    beginnings = _beginnings(path.stem)
    inputs = [unit * (SIZE_BYTES // len(unit)) for unit in (*HOSTILE, *beginnings)]
    inputs += [beginning + unit * (SIZE_BYTES // len(unit)) for beginning in beginnings for unit in HOSTILE]
    for data in inputs:
        started = time.process_time()
        with contextlib.suppress(ValueError):  # a dead letter is an answer
            parse(path.stem, data, header=header)
        took_s = time.process_time() - started
        assert took_s < 1, f"{data[:80]!r}… takes {took_s:.1f} s"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_processor_that_ships_gives_way_to_what_a_user_drops_in(path: Path) -> None:
    assert MODULES[path.stem][0].accepts.priority < 0


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_processor_that_ships_says_what_it_is_and_which_keys_it_yields(path: Path) -> None:
    manifest, module = MODULES[path.stem]
    assert manifest.summary.endswith(".")
    assert module.__doc__ is not None
    assert "\nKeys: " in module.__doc__
