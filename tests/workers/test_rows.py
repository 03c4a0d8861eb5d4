"""Rows are stored as the records that they stand for, to the byte, and refused as these are."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Rows
from hostd.workers.encode import Encoder, TooMuchError, encode_by_standard_library
from hostd.workers.rows import MOST_CLASSES, StructsOfRows

names = st.one_of(
    st.text(max_size=5), st.sampled_from(["@source", "class", "f0", "f1", "source", "a b", 'a"b', "a\\b", "a\nb", "ä"])
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)

ENCODERS = {"msgspec": (), "standard library": (encode_by_standard_library,)}


@st.composite
def many_rows(draw: Any) -> Rows:
    """Draw rows of one width, some of whose names are optional."""
    keys = draw(st.lists(names, unique=True, max_size=5))
    rows = draw(st.lists(st.tuples(*[values] * len(keys)), max_size=4))
    optional = draw(st.sets(st.sampled_from(keys))) if keys else ()
    return Rows(keys, rows, optional=optional)


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Encoder]:
    """Make an encoder of one kind or the other."""
    kind = ENCODERS[request.param]
    return lambda field: Encoder(field, *kind)


def encode(encoder: Encoder, records: Any, source: str = "x.log") -> tuple[int, bytes]:
    """Return how many records there are, and their lines in one piece; what it raises instead."""
    try:
        count, pieces = encoder.encode(records, source, 1 << 20)
    except (TypeError, ValueError) as error:
        return -1, f"{type(error).__name__}: {error}".encode()
    return count, b"".join(pieces)


@given(rows=many_rows(), field=st.sampled_from(["", "@source", "a", "source"]))
def test_rows_are_stored_as_their_records(rows: Rows, field: str) -> None:
    """Whatever the names and values are, also those that cannot be stored."""
    for kind in ENCODERS.values():
        expected = encode(Encoder(field, *kind), list(rows))
        assert encode(Encoder(field, *kind), rows) == expected
        assert encode(Encoder(field, *kind), iter([rows])) == expected
        assert encode(Encoder(field, *kind), Rows(rows.names, iter(rows.rows), optional=rows.optional)) == expected


@given(
    several=st.lists(many_rows(), min_size=1, max_size=2),
    sources=st.lists(st.sampled_from(["a.log", "b.log"]), min_size=1, max_size=6),
    field=st.sampled_from(["", "@source", "a", "source"]),
)
def test_the_source_of_each_rows_is_the_one_they_came_of(several: list[Rows], sources: list[str], field: str) -> None:
    """Whatever one worker was given before, of this source or another."""
    encoder = Encoder(field)
    for source in sources:
        for rows in several:
            assert encode(encoder, rows, source) == encode(Encoder(field), list(rows), source)


def test_rows_become_structs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dicts, which they are here to save, are not made."""
    monkeypatch.setattr(Rows, "__iter__", lambda _: pytest.fail("a dict was made"))
    rows = Rows(["a", "b"], [(1, None), [None, 2]], optional=["b"])
    assert encode(Encoder("@source"), rows) == (2, b'{"a":1,"@source":"x.log"}\n{"a":null,"b":2,"@source":"x.log"}\n')


def test_rows_come_among_records_in_their_order(make: Callable[[str], Encoder]) -> None:
    found = [{"n": 1}, Rows(["n"], [(2,), (3,)]), Rows(["m"], [(4,)]), "five", Rows(["n"], [])]
    lines = b'{"n":1}\n{"n":2}\n{"n":3}\n{"m":4}\n{"message":"five"}\n'
    assert encode(make(""), found) == (5, lines)
    assert encode(make(""), iter(found)) == (5, lines)


@pytest.mark.parametrize("row", [(1,), (1, 2, 3), 5, None])
def test_a_row_that_is_none_is_an_error(make: Callable[[str], Encoder], row: Any) -> None:
    """A value too many is not taken for the source."""
    count, said = encode(make("@source"), Rows(["a", "b"], [(1, 2), row]))
    assert count == -1
    assert re.match(rb"ValueError: row 1: [13] values for 2 names|TypeError: ", said)


@pytest.mark.parametrize(("value", "said"), [(object(), b"TypeError: field 'b'"), ("\ud800", b"ValueError: field 'b'")])
def test_what_cannot_be_stored_is_an_error_that_names_the_field(
    make: Callable[[str], Encoder], value: Any, said: bytes
) -> None:
    count, found = encode(make(""), Rows(["a", "b"], [(1, 2), (math.nan, value)]))
    assert (count, found[: len(said)]) == (-1, said)


def test_rows_without_an_end_are_stopped(make: Callable[[str], Encoder]) -> None:
    def endless() -> Iterator[tuple[str]]:
        while True:
            yield ("x" * 100,)

    with pytest.raises(TooMuchError):
        make("").encode(Rows(["a"], endless()), "x.log", 1 << 20)


def test_classes_are_forgotten_in_time() -> None:
    structs = StructsOfRows("")
    for number in range(MOST_CLASSES + 1):
        assert structs.make(Rows([f"n{number}"], []), [(1,)], "x.log")
    assert len(structs._classes) == 1


def test_classes_for_one_source_are_bounded_too() -> None:
    structs = StructsOfRows("@source")
    for number in range(2 * MOST_CLASSES):
        assert structs.make(Rows([f"n{number}"], []), [(1,)], "x.log")
        assert len(structs._for_last[1]) <= MOST_CLASSES
