"""Dissect: what stands between the keys cuts, as in Logstash and Elasticsearch."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.declared.problem import RecipeError
from tests.contract.declared.support import outcome, records


@pytest.mark.parametrize(
    ("template", "text", "expected"),
    [
        ("%{a} %{b}", "1 2 3", {"a": "1", "b": "2 3"}),
        (
            "%{time} [%{level}] %{message}",
            "10:05 [WARN] no disk",
            {"time": "10:05", "level": "WARN", "message": "no disk"},
        ),
        ("%{ts} %{+ts} %{+ts} %{host}", "May 17 10:05:03 web", {"ts": "May 17 10:05:03", "host": "web"}),
        ("%{+name/2}, %{+name/1}", "Lovelace, Ada", {"name": "Ada, Lovelace"}),
        ("%{} %{?skipped} %{kept}", "a b c", {"kept": "c"}),
        ("%{level->} %{message}", "INFO    ready", {"level": "INFO", "message": "ready"}),
        ("%{a}|%{b}|%{c}", "1||", {"a": "1", "b": "", "c": ""}),
        ("<%{pri}>%{rest}", "<34>hello", {"pri": "34", "rest": "hello"}),
        ("%{a} (%{b})", "x (y) z)", {"a": "x", "b": "y) z"}),
        ("%{?key}=%{&key} %{b}", "color=red x", {"b": "x", "color": "red"}),
        ("%{*key}:%{&key}", "size:3", {"size": "3"}),
        ("%{a} -- %{b}", "ä -- ö", {"a": "ä", "b": "ö"}),
    ],
)
def test_a_template_cuts(template: str, text: str, expected: dict[str, str]) -> None:
    assert records(text, dissect=template) == [expected]


def test_what_is_appended_is_joined_by_what_is_asked_for() -> None:
    assert records("a b c", dissect="%{x} %{+x} %{y}", append_separator="-") == [{"x": "a-b", "y": "c"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", "it does not begin with '['"),
        ("[a", "it has no '] '"),
        ("[a] b", "it has no ': ' after 'a] '"),
        ("[a] b: c", "it does not end with '.'"),
    ],
)
def test_a_delimiter_that_is_not_there_rejects_the_line(text: str, reason: str) -> None:
    found = outcome(text, dissect="[%{a}] %{b}: %{c}.")
    assert found.records == []
    assert found.rejected == [(text.encode(), f"does not match dissect: {reason}")]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("plain", "field 'dissect' has no %{key}; write for example '%{time} [%{level}] %{message}'"),
        ("%{a}%{b}", "field 'dissect' has nothing between %{a} and %{b}; write what stands between them"),
        ("%{a} %{a}", "field 'dissect' has %{a} twice; write %{+a} to append to it"),
        ("%{a} %{&k}", "field 'dissect' has %{&k} and nothing that names its field; write %{?k} where the name stands"),
        ("%{*k} %{a}", "field 'dissect' has %{*k} and no %{&k}; write %{?k} to skip it"),
        ("%{a/2} %{b}", "field 'dissect' has an order without a +, %{a/2}; write %{+a/2}"),
        (
            "%{a b} x",
            "field 'dissect' names a field 'a b' in %{a b}; write letters, digits, _ . - @, or [outer][inner]",
        ),
        ("%{?a} x", "field 'dissect' names no field; write %{name} for what is to be kept"),
    ],
)
def test_what_is_no_template_is_told_with_the_way_out(template: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        records("x", dissect=template)
    assert str(caught.value) == message


_DELIMITERS = st.text(st.sampled_from(" |;:-[](),=>"), min_size=1, max_size=3)
_VALUE = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=" |;:-[](),=>%{}"), max_size=8)


@settings(deadline=None)
@given(st.data())
def test_what_is_written_by_a_template_comes_back(choice: st.DataObject) -> None:
    between = choice.draw(st.lists(_DELIMITERS, max_size=6))
    before, after = choice.draw(st.tuples(st.one_of(st.just(""), _DELIMITERS), st.one_of(st.just(""), _DELIMITERS)))
    values = [choice.draw(_VALUE) for _ in range(len(between) + 1)]
    template, text = before, before
    for number, value in enumerate(values):
        delimiter = [*between, after][number]
        template += f"%{{f{number}}}{delimiter}"
        text += value + delimiter
    if text:
        assert records(text, dissect=template) == [{f"f{number}": value for number, value in enumerate(values)}]
