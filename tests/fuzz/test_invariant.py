"""The invariant that fuzzing holds processors to: what breaks it is told, and those that ship keep it on any bytes."""

from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import Context, LineStream, Record, each_record, each_stream
from contract.manifest import FramingTable, Manifest, Sample
from tests.fuzz.invariant import check
from tests.processors.support import MODULES, SHIPPED


def plugin(new_processor: Callable[[], object], framing: str = "lines") -> tuple[Manifest, ModuleType]:
    module = ModuleType("under_test")
    module.new_processor = new_processor  # type: ignore[attr-defined]
    return (
        Manifest(
            name="under_test",
            version="1.0.0",
            contract=">=1.0,<2",
            framing=FramingTable(kind=framing),  # type: ignore[arg-type]
            samples=(Sample(input="a", records=()),),
        ),
        module,
    )


def loses(text: str, ctx: Context) -> Record | None:
    return {"body": text} if text == "a" else None


def depends(text: str, ctx: Context) -> Record | None:
    return {"body": text, "offset": len(ctx.header)}


def invents(text: str, ctx: Context) -> Record | None:
    ctx.reject(b"elsewhere", "why")
    return {"body": text}


def too_fast(text: str, ctx: Context) -> list[Record] | None:
    return [{"body": line.upper()} for line in text.split("\n")]


class Forgets(LineStream):
    def parse_line(self, line: str) -> list[Record]:
        self.kept["lines"] = self.kept.get("lines", 0) + 1
        self.seen = getattr(self, "seen", 0) + 1
        return [{"body": line, "number": self.seen}]


class Raises(LineStream):
    def take(self, data: bytes, final: bool) -> list[Record]:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("made", "framing", "told"),
    [
        (lambda: each_record(loses), "lines", r"b'b\\n' is lost"),
        (lambda: each_record(invents), "lines", "rejects b'elsewhere', which is not in the input"),
        (lambda: each_record(depends, at_once=too_fast), "lines", "when each record is parsed by itself"),
        (lambda: each_stream(Forgets), "stream", "cut at 2 it comes out otherwise"),
        (lambda: each_stream(Raises), "stream", "no"),
    ],
)
def test_what_breaks_the_invariant_is_told(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[], object], framing: str, told: str
) -> None:
    monkeypatch.setitem(MODULES, "under_test", plugin(made, framing))
    with pytest.raises((AssertionError, ValueError), match=told):
        check("under_test", b"a\nb\na\n", 2)


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
@settings(max_examples=15)
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_bytes_are_accounted_for(name: str, data: bytes, cut: int) -> None:
    check(name, data, cut)
