"""No expression takes longer than its text's length allows, and both engines say the same."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.declared.engine import ExpressionReader, compile_re2
from contract.declared.expression import read_expression
from contract.declared.grok import Grok
from contract.declared.lazy import narrowed
from contract.declared.library import PATTERNS
from contract.declared.problem import RecipeError
from contract.declared.steps import LEAST_CHARACTERS, UNLIMITED, longest
from tests.contract.declared.support import outcome

EVIL = (
    *(r"(?P<a>(?:a+)+)b", r"(?P<a>(?:a|a)*)b", r"(?P<a>(?:a|aa)+)$b", r"(?P<a>(?:a*)*)b", r"(?P<a>(?:.*)*)x"),
    *(r"(?P<a>.*) (?P<b>.*) (?P<c>.*) (?P<d>.*)x", r"(?P<a>.*?)(?P<b>.*?)(?P<c>.*?)x", r"(?P<a>\w+\s?)*y"),
    *(
        r"(?P<a>(?:\w+\s?)*)y",
        r"(?P<a>(?:[a-z]+[a-z0-9]*)+)-",
        r"(?P<a>(?:a{0,30}){30})b",
        r"(?P<a>a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?)b",
    ),
    *(
        r"(?P<a>(?:(?:a+)?(?:a+)?)+)b",
        r"(?P<a>\S+)\S+\S+\S+x",
        r"(?i)(?P<a>(?:A+)+)b",
        r"(?P<a>\d+|\w+|.+)-(?P<b>\S+-)+x",
    ),
)
"""Each of these makes `re` try for minutes or worse on some kilobyte."""
SAFE = (
    *(r"(?P<a>\S+) (?P<b>\S+) \[(?P<c>[^\]]+)\] (?P<d>.*)", r'"(?P<a>[^"\\]*(?:\\.[^"\\]*)*)" (?P<b>\d+|-)'),
    *(
        r"(?P<a>[^|]*)\|(?P<b>[^|]*)\|(?P<c>.*)",
        r"^(?P<a>.*)$",
        r"(?P<a>.*?) - (?P<b>.*)",
        r"(?P<a>\w+)(?: (?P<b>\d+))?",
    ),
)
HOSTILE = ("a", "aa ", "a|", '"', '\\"', "a b ", "1", "- ", " ", "[", "]", "x-", "ab", "0.", "::", "a:")
SIZE = 16384


@pytest.mark.parametrize("expression", SAFE)
def test_what_has_one_way_to_match_is_pythons_for_texts_of_any_length(expression: str) -> None:
    assert longest(read_expression(expression, ()).python or "", newlines=False) == UNLIMITED


@pytest.mark.parametrize("expression", [*EVIL, *SAFE, *(f"%{{{name}:a}}|%{{{name}:b}} .* x" for name in PATTERNS)])
def test_no_text_takes_more_than_its_length_allows(expression: str) -> None:
    """Texts of 16 KiB made to be tried again and again."""
    text = Grok({}).expand(expression, ("grok",))
    reader = ExpressionReader(read_expression(text, ()), (), newlines=False, anywhere=False)
    reader.read("")
    for unit in HOSTILE:
        for size in (SIZE, reader.longest_by_re):
            hostile = unit * (min(size, SIZE) // len(unit))
            started = time.process_time()
            reader.read(hostile)
            reader.read(f"{hostile}\x00")
            took_s = time.process_time() - started
            assert took_s < 1, f"{unit!r} * {size} takes {took_s:.2f} s"


@pytest.mark.parametrize("expression", EVIL)
def test_an_expression_that_could_run_away_is_given_to_re2(expression: str) -> None:
    limit = longest(read_expression(expression, ()).python or "", newlines=False)
    assert limit == 0 or LEAST_CHARACTERS <= limit < 3000


def test_between_the_two_the_length_of_the_text_decides() -> None:
    reader = ExpressionReader(read_expression(r"(?P<a>.*?): (?P<b>\S+) x", ()), (), newlines=False, anywhere=False)
    assert LEAST_CHARACTERS <= reader.longest_by_re < UNLIMITED
    for size in (1, reader.longest_by_re, 10 * reader.longest_by_re):
        assert reader.read(f"{'a' * size}: b x") == ("a" * size, "b")
        assert reader.read("a" * size) is None


_ATOMS = st.sampled_from(
    [
        *("a", "b", "1", " ", "-", r"\.", ".", r"\d", r"\w", r"\s", r"\S", r"\W", r"\D", "[ab]", "[^a]", r"[\w-]"),
        *("[a-c1]", r"[^\s]", "[[:alpha:]]", r"\b", "^", "$", "é", "[é-ü]", r"\t", "K", "(?i:k)"),
    ]
)
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        inner.map(lambda part: f"(?P<f>{part})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=10,
)
_TEXTS = st.text(st.sampled_from("ab1 -.\tcKkéü\x0b\u212a\u017f\u2028x"), max_size=12)


@settings(max_examples=400, deadline=None)
@given(_EXPRESSIONS, st.lists(_TEXTS, min_size=1, max_size=4), st.booleans())
def test_both_engines_read_the_same(source: str, texts: list[str], newlines: bool) -> None:
    expression = read_expression(source, ())
    try:
        by_re2 = compile_re2(expression, (), newlines=newlines).fullmatch
    except RecipeError:
        return
    reader = ExpressionReader(expression, (), newlines=newlines, anywhere=False)
    for text in [*texts, *("\n".join(texts).rstrip("\n") for _ in range(newlines))]:
        found = by_re2(text)
        assert reader.read(text) == (None if found is None else found.groups())


_IN_A_ROW = st.lists(
    st.one_of(
        st.just("(?P<f>.*?)"),
        st.sampled_from(
            ["(?:.*?)", "(?P<g>.*)", "a", "b", " ", r"\.", "-", r"\[", "[ab]", "(?P<h>b+)", "(?:a|.*?b)", "$", "^"]
        ),
    ),
    min_size=1,
    max_size=9,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(_IN_A_ROW, st.lists(st.text(st.sampled_from("ab .-["), max_size=12), min_size=1, max_size=5), st.booleans())
def test_what_is_narrowed_reads_the_same(source: str, texts: list[str], newlines: bool) -> None:
    """`.*?` one after another, with one character between or more."""
    expression = read_expression(source, ())
    by_re2 = compile_re2(expression, (), newlines=newlines).fullmatch
    by_python = re.compile(narrowed(expression.python or ""), re.ASCII | (re.DOTALL if newlines else 0)).fullmatch
    reader = ExpressionReader(expression, (), newlines=newlines, anywhere=False)
    for text in [*texts, *("\n".join(texts).rstrip("\n") for _ in range(newlines))]:
        found, narrow = by_re2(text), by_python(text)
        expected = None if found is None else found.groups()
        assert (None if narrow is None else narrow.groups()) == expected
        assert reader.read(text) == expected


def test_one_lazy_field_after_another_is_pythons() -> None:
    source = Grok({}).expand(r"%{DATA:a} %{DATA:b} %{DATA:c}\|%{DATA:d}:%{GREEDYDATA:e}", ())
    reader = ExpressionReader(read_expression(source, ()), (), newlines=False, anywhere=False)
    assert reader.longest_by_re == UNLIMITED
    assert reader.read("1 2 3 4|5:6:7") == ("1", "2", "3 4", "5", "6:7")
    assert reader.read("1 2 3 4") is None


@settings(deadline=None)
@given(st.text(st.sampled_from("()[]{}?*+|\\^$.:<>P=!-,abz09 \"'Q"), max_size=20), _TEXTS)
def test_whatever_is_written_is_an_expression_or_a_told_mistake(source: str, text: str) -> None:
    try:
        expression = read_expression(source, ("regex",))
        compile_re2(expression, ("regex",), newlines=False)
    except RecipeError:
        return
    ExpressionReader(expression, ("regex",), newlines=False, anywhere=False).read(text)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            r"(?P<a>\d+)(?=x)",
            (
                "field 'regex' holds a look-ahead, (?=, which RE2 does not have; "
                "match what follows as a part of the expression, for example [^:]*: instead of .*(?=:)"
            ),
        ),
        (
            r"(?<!x)(?P<a>y)",
            (
                "field 'regex' holds a look-behind, (?<!, which RE2 does not have; "
                "match what comes before as a part of the expression: (?:^|[^0-9]) for (?<![0-9])"
            ),
        ),
        (
            r"(?P<a>a++)",
            (
                "field 'regex' holds a possessive quantifier, ++, which RE2 does not have; "
                "remove its second +: RE2 never goes back, so nothing is gained"
            ),
        ),
        (
            r"(?P<a>.)\1",
            (
                "field 'regex' holds a back reference, \\1, which RE2 does not have; "
                "match the text again, and compare nothing"
            ),
        ),
        (
            r"(?P<a>[a-)",
            "field 'regex' is not a regular expression of RE2: invalid character class range: a-); correct it",
        ),
        (
            r"(?P<a>(?:(?:x{100}){100}){10})",
            "field 'regex' is not a regular expression of RE2: invalid repetition size: {100}; ",
        ),
    ],
)
def test_what_re2_lacks_is_told_with_how_to_write_it(expression: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        compile_re2(read_expression(expression, ("regex",)), ("regex",), newlines=False)
    assert str(caught.value).startswith(message)


def test_a_large_expression_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"is too large an expression: \d+ steps, more than 20000; repeat less in it"):
        compile_re2(
            read_expression("(?P<a>(?:[a-zé-ü]{30}){30})(?P<b>(?:[a-zé-ü]{30}){30})" * 12, ("regex",)),
            ("regex",),
            newlines=False,
        )


def test_python_is_never_asked_where_it_would_read_otherwise() -> None:
    for source in (r"(?P<a>[\S])", "(?P<a>a{,2})", r"(?P<a>\Qa.b\E)", r"(?P<a>x)\z"):
        assert read_expression(source, ()).python is None
    assert re.fullmatch(read_expression(r"\s", ()).python or "", "\v") is None


def test_lines_that_match_no_more_than_a_part_may_be_asked_for() -> None:
    table = {"regex": r"took (?P<ms>\d+) ms", "fields": {"ms": "int"}}
    assert outcome("it took 12 ms today", **table).rejected == [
        (b"it took 12 ms today", "does not match regex: at its start comes 'it took 12 ms today'")
    ]
    assert outcome("it took 12 ms today", anywhere=True, **table).records == [{"ms": 12}]
    assert outcome("took 12 ms today", anywhere=True, regex=r"^took (?P<ms>\d+)").records == [{"ms": "12"}]
    assert outcome("xb", anywhere=True, regex=r"^(?P<a>a)|(?P<b>b)").records == [{"b": "b"}]
