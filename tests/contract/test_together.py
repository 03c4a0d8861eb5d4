"""What takes many records at once changes nothing but time, and is told of when it is broken."""

import pytest

from contract import Context, JsonValue, LineStream, Record, each_record, each_stream
from contract.testing import run, run_stream

LINES = b"a\nb\nbad\nc\n"


def parse(text: str, ctx: Context) -> Record:
    if text == "bad":
        raise ValueError("it is bad")
    return {"line": text}


def take(text: str) -> list[dict[str, JsonValue]]:
    if "bad" in text:
        raise ValueError("one of them is bad")
    return [{"line": line} for line in text.split("\n")]


def test_an_exception_that_no_rejection_explains_is_said_once_with_its_line() -> None:
    def broken(text: str, ctx: Context) -> list[Record] | None:
        raise KeyError("seconds")

    processor = each_record(parse, at_once=broken)
    outcome = run(processor, b"a\nb\n" * 100)
    assert outcome.records == [{"line": "a"}, {"line": "b"}] * 100
    line = broken.__code__.co_firstlineno + 1
    assert outcome.said == [
        (
            "warning",
            (
                f"at_once raises KeyError: 'seconds' (line {line}), of records that are taken one by one: this costs"
                " time, and nothing else; have it return None for what it does not know"
            ),
        )
    ]
    assert run(processor, b"a\nb\n").said == []


def test_an_exception_that_a_rejection_explains_is_not_said() -> None:
    outcome = run(each_record(parse, at_once=lambda text, _: list(take(text))), LINES)
    assert outcome.records == [{"line": "a"}, {"line": "b"}, {"line": "c"}]
    assert outcome.rejected == [(b"bad\n", "ValueError: it is bad")]
    assert outcome.said == []


def test_an_exception_of_a_whole_batch_alone_is_said() -> None:
    def broken(text: str, ctx: Context) -> list[Record] | None:
        if text.count("\n") > 50:
            raise IndexError("too many")
        return list(take(text))

    outcome = run(each_record(parse, at_once=broken), b"a\n" * 100)
    assert outcome.records == [{"line": "a"}] * 100
    ((level, message),) = outcome.said
    assert level == "warning"
    assert message.startswith("at_once raises IndexError: too many (line ")


def test_of_many_streams_one_says_it() -> None:
    class Lines(LineStream):
        def parse_line(self, line: str) -> list[Record]:
            return [parse(line, self.ctx)]

        def at_once(self, text: str, ctx: Context) -> list[Record] | None:
            raise TypeError(len(text))

    processor = each_stream(Lines)
    outcomes = [run_stream(processor, b"a\nb\nc\n") for _ in range(3)]
    assert [len(outcome.records) for outcome in outcomes] == [3, 3, 3]
    assert [level for outcome in outcomes for level, _ in outcome.said] == ["warning"]


def test_memory_that_is_out_is_no_fault_of_at_once() -> None:
    def full(text: str, ctx: Context) -> list[Record] | None:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(run(each_record(parse, at_once=full), b"a\n").records)
