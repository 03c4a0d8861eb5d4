"""`each_line`, the context, and what importing the contract costs."""

import subprocess
import sys
import time

import pytest

import contract
from contract import Context, each_line
from contract.processor import Processor, describe
from contract.testing import run


def test_each_line_yields_a_record_for_each_line() -> None:
    """A mapping and a string are records, None is none, and an exception rejects its own line alone."""

    def parse(line: str) -> contract.Record | None:
        if line == "bad":
            raise ValueError("no such line")
        return {"mapping": {"n": len(line)}, "string": "text", "none": None}[line]

    outcome = run(each_line(parse), b"mapping\nbad\nnone\nstring\n\nunknown")
    assert outcome.records == [{"n": 7}, {"message": "text"}]
    assert outcome.rejected == [(b"bad", "ValueError: no such line"), (b"unknown", "KeyError: 'unknown'")]


def test_each_line_decodes_without_loss_and_drops_line_ends_and_empty_lines() -> None:
    """Bytes that are not UTF-8 stay legible; a carriage return is part of the line end."""
    processor = each_line(lambda line: line)
    assert [record["message"] for record in run(processor, b"a\r\n\xff\xfe\n\xc3\xa9\n\n\r\n").records] == [
        "a",
        r"\xff\xfe",
        "é",
    ]
    assert isinstance(processor, Processor)


def test_describe_is_type_and_text() -> None:
    """One line says what was raised, also without a text."""
    assert describe(ValueError("x")) == "ValueError: x"
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_context_carries_what_it_was_given() -> None:
    """Text is rejected as the bytes it came from, also the bytes that were not UTF-8."""
    rejected: list[tuple[bytes, str]] = []
    said: list[tuple[str, str]] = []
    ctx = Context(
        source="a.log",
        offset=7,
        header=b"h\n",
        options={"x": 1},
        reject=lambda raw, reason: rejected.append((raw, reason)),
        say=lambda level, message: said.append((level, message)),
    )
    assert (ctx.source, ctx.offset, ctx.header, ctx.options) == ("a.log", 7, b"h\n", {"x": 1})
    ctx.reject("é\udcff", "text")
    ctx.reject(b"\xff", "bytes")
    assert rejected == [(b"\xc3\xa9\xff", "text"), (b"\xff", "bytes")]
    for level in ("debug", "info", "warning", "error"):
        getattr(ctx.log, level)(f"at {level}")
    assert said == [(level, f"at {level}") for level in ("debug", "info", "warning", "error")]


@pytest.mark.parametrize(("margin_s", "cancelled"), [(-1.0, True), (3600.0, False)])
def test_context_is_cancelled_past_its_deadline(margin_s: float, cancelled: bool) -> None:
    """A processor can stop early instead of being killed."""
    ctx = Context(source="", reject=lambda *_: None, say=lambda *_: None, deadline=time.monotonic() + margin_s)
    assert ctx.cancelled() is cancelled


def test_importing_the_contract_loads_only_the_standard_library() -> None:
    """A plugin starts in any environment, in milliseconds: nothing third-party, and nothing of hostd, is loaded."""
    code = (
        "import sys; before = set(sys.modules); import contract;"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(loaded - sys.stdlib_module_names - {'contract'}), 'contract.manifest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


def test_every_name_of_the_contract_is_there() -> None:
    """`__all__` promises no more than there is."""
    assert [name for name in contract.__all__ if not hasattr(contract, name)] == []
