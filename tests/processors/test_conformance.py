"""What holds for every processor that ships, and for the example plugins: the contract, and an answer to any bytes."""

import contextlib
import time
from itertools import cycle, islice, pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.testing import Outcome, conformance
from tests.fuzz.invariant import MAY_BE_DAMAGED
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
    """Each unit alone and after one beginning, each beginning alone and before one unit at least."""
    beginnings = _beginnings(path.stem)
    most = max(len(HOSTILE), len(beginnings)) if beginnings else 0
    _assert_answers_soon(path.stem, [*islice(zip(cycle(beginnings), cycle(HOSTILE), strict=False), most)])


@pytest.mark.slow
@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: path.stem)
def test_whatever_the_bytes_after_whatever_beginning_a_plugin_answers_soon(path: Path) -> None:
    """Each unit after each beginning."""
    _assert_answers_soon(path.stem, [*product(_beginnings(path.stem), HOSTILE)])


def _assert_answers_soon(name: str, pairs: list[tuple[bytes, bytes]]) -> None:
    """Check the time for every unit and beginning repeated, and for these beginnings with a unit repeated after."""
    header = b"a,b\n" if MODULES[name][0].header == 1 else b""
    inputs = [unit * (SIZE_BYTES // len(unit)) for unit in (*HOSTILE, *_beginnings(name))]
    inputs += [beginning + unit * (SIZE_BYTES // len(unit)) for beginning, unit in pairs]
    for data in inputs:
        started = time.process_time()
        with contextlib.suppress(ValueError):  # a dead letter is an answer
            parse(name, data, header=header)
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


OF_THE_INPUT = {
    *(
        "aws_elb",
        "aws_s3",
        "aws_vpc_flow",
        "csv",
        "journal_export",
        "json_documents",
        "json_lines",
        "logfmt",
        "msgpack",
    ),
    *("app_json", "journal", "mysql_slow", "postgres_csv", "w3c", "xml", "zeek"),
}
"""Processors whose keys are those that their input names, or a manual that they refer to."""


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.stem not in OF_THE_INPUT], ids=lambda path: path.stem
)
def test_every_key_of_a_sample_is_one_that_the_processor_says_it_yields(path: Path) -> None:
    manifest, module = MODULES[path.stem]
    told = module.__doc__ or ""
    keys = {key for sample in manifest.samples for record in sample.records for key in record}
    assert {key for key in keys if f"`{key}`" not in told} == set()


JUNK = (b"\n", b"\r\n", b"said\n", b"  more\n", b"\xff\xfe\n", b'"\n', b"\x00\n", "\u2028\x85\x0c\n".encode())


def _lines(name: str) -> list[bytes]:
    """Return the lines of a processor's samples, each with its end."""
    samples = MODULES[name][0].samples
    return [line + b"\n" for sample in samples for line in sample.content().split(b"\n") if line]


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
@settings(max_examples=10)
@given(choice=st.data())
def test_lines_in_any_order_and_cut_anywhere_come_out_the_same(name: str, choice: st.DataObject) -> None:
    """Nothing raises but a binary stream that is damaged; nothing but blank lines is lost without a word."""
    manifest = MODULES[name][0]
    units = [*_lines(name), *JUNK]
    if manifest.framing.quote:  # what a quote that never closes costs depends on where the batch ends
        units = [*(sample.content() for sample in manifest.samples), *(unit for unit in JUNK if b'"' not in unit)]
    lines = choice.draw(st.lists(st.sampled_from(units), max_size=12))
    data = b"".join(lines)
    if manifest.framing.kind == "stream":
        cuts = choice.draw(st.lists(st.integers(1, max(1, len(data) - 1)), max_size=4))
        whole = _outcome(name, data)
        assert _outcome(name, data, cuts=tuple(cut for cut in cuts if cut < len(data))) == whole
        return
    header = manifest.samples[0].header.encode()
    outcome = parse(name, data, header=header)
    framing = manifest.compiled_framing()
    starts = [*framing.starts(data), len(data)]
    parts = [parse(name, data[start:end], header=header) for start, end in pairwise(starts)]
    assert outcome.records == [record for part in parts for record in part.records]
    assert sorted(outcome.rejected) == sorted(rejected for part in parts for rejected in part.rejected)
    for part, (start, end) in zip(parts, pairwise(starts), strict=True):
        silent = name == "logcat" and data[start:end].startswith(b"---------")
        assert part.records or part.rejected or not data[start:end].decode("utf-8", "replace").strip() or silent


def _outcome(name: str, data: bytes, cuts: tuple[int, ...] = ()) -> Outcome | str:
    try:
        return parse(name, data, cuts=cuts)
    except ValueError as error:
        assert name in MAY_BE_DAMAGED, error  # noqa: PT017 - else it is a failure
        return "damaged"
