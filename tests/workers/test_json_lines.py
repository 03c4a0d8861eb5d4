"""JSON lines are stored as they are written, with the name of their source, which they cannot say themselves."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import JsonLines, Rows
from hostd.workers import encode as encoding
from hostd.workers.block import LEAST_ROWS, MARK
from hostd.workers.encode import Encoder, encode_by_standard_library
from hostd.workers.key import Key

ENCODERS = {"msgspec": (), "standard library": (encode_by_standard_library,)}


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Encoder]:
    """Make an encoder of one kind or the other."""
    return lambda field: Encoder(field, *ENCODERS[request.param])


def encode(encoder: Encoder, records: Any, source: str = "x.log", *, blocks: bool = False) -> tuple[int, bytes]:
    """Return how many records there are, and their lines in one piece."""
    count, pieces = encoder.encode(records, source, 1 << 20, blocks=blocks)
    return count, b"".join(pieces)


def test_they_are_stored_as_they_are_written(make: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither decoded nor encoded: that is what they are here to save."""
    monkeypatch.setattr(JsonLines, "__iter__", lambda _: pytest.fail("a dict was made"))
    monkeypatch.setattr(encoding, "_decode_lines", lambda _: pytest.fail("they were decoded"))
    text = b'{"a": 1.10, "\\u00e9":"\\/" }\n{"n":1e999,"a":1,"a":2}\n'
    assert encode(make(""), JsonLines(text)) == (2, text)
    named = b'{"a": 1.10, "\\u00e9":"\\/" ,"@source":"a\\"b.log"}\n{"n":1e999,"a":1,"a":2,"@source":"a\\"b.log"}\n'
    assert encode(make("@source"), JsonLines(text.removesuffix(b"\n")), 'a"b.log') == (2, named)


def test_they_come_among_records_in_their_order(make: Callable[[str], Encoder]) -> None:
    found = [{"n": 1}, JsonLines(b'{"n":2}\n{"n":3}'), JsonLines(b'{"n":4}'), Rows(["n"], [(5,)]), "six"]
    lines = b'{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}\n{"n":5}\n{"message":"six"}\n'
    assert encode(make(""), found) == (6, lines)
    assert encode(make(""), iter(found)) == (6, lines)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4) | st.sampled_from(["@source", "a/b"])


@given(names, st.text(max_size=3), st.booleans(), st.randoms(use_true_random=False))
def test_the_source_wins_over_what_a_line_says_however_it_is_written(
    field: str, value: str, ascii_only: bool, random: Any
) -> None:
    """A character of a key may be an escape, of either case; so is what comes before and after it."""
    key = "".join(written(character, random) for character in field)
    other = json.dumps(value, ensure_ascii=ascii_only)
    lines = f'{{"":0,"{key}":"elsewhere","then":{other}}}\n{{"then":1}}\n'.encode()
    count, found = encode(Encoder(field), JsonLines(lines))
    assert count == 2
    for line in found.splitlines():
        said = [said for name, said in json.loads(line, object_pairs_hook=list) if name == field]
        assert said == ["x.log"]


def written(character: str, random: Any) -> str:
    """Return a character of a string as JSON may have it: as it is or escaped."""
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    units = character.encode("utf-16-be").hex()
    escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    forms = [plain, json.dumps(character)[1:-1], escaped, escaped.upper().replace("\\U", "\\u")]
    return str(random.choice([*forms, "\\/"] if character == "/" else forms))


def test_a_key_that_is_no_key_of_a_line_does_not_cost_it_its_text() -> None:
    key = Key("@source")
    assert not key.may_be_in(b'{"mail": "dana@example.com", "sources": "@", "path": "C:\\\\u", "c": "\\u00e9"}')
    assert key.may_be_in(b'{"in": {"@source": 1}}')


def test_where_a_sink_wants_columns_they_become_a_block_and_a_number_of_any_size_stays_a_line() -> None:
    lines = b"".join(b'{"n": %d, "text": "t"}\n' % number for number in range(LEAST_ROWS))
    rows = Rows(["n", "text"], [(number, "t") for number in range(LEAST_ROWS)])
    encoder = Encoder("@source")
    assert encode(encoder, JsonLines(lines), blocks=True) == encode(encoder, rows, blocks=True)
    assert MARK in encode(encoder, JsonLines(lines), blocks=True)[1]
    huge = b'{"n": 1e999}\n' * LEAST_ROWS
    assert encode(encoder, JsonLines(huge), blocks=True) == encode(encoder, JsonLines(huge))
