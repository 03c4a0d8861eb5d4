"""Many records at once, as rows: the same as one by one, as dicts, to the byte of what is stored."""

import random
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract import Rows
from contract.context import Context
from contract.declared import processor
from contract.declared.linewise import reader_of_lines
from contract.declared.many import LEAST_ROWS
from contract.declared.processor import MOST_BYTES, MOST_MISSES, module_of
from contract.framing import Framing
from contract.pattern import Pattern
from contract.testing import run
from hostd.workers.encode import Encoder

ACCESS = [
    f'192.0.2.{n % 7} - {("-", "dana")[n % 2]} [17/May/2024:10:05:{n % 60:02} +0200] "GET /{n} HTTP/1.1" '
    f'{(200, 404)[n % 2]} {("-", n)[n % 3 != 0]} "-" "agent {n}"'
    for n in range(400)
]
PAIRS = [f"{n};{('WARN', 'err', 'what')[n % 3]};{n / 7:.2f};{('true', 'no')[n % 2]}" for n in range(400)]
TIME = {"type": "timestamp", "format": "%d/%b/%Y:%H:%M:%S %z"}
FIELDS = {"time": TIME, "status": "int", "bytes": {"type": "int", "null": "-"}, "user": {"null": ["-", "?"]}}
REGEX = (
    r"(?P<client>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) (?P<protocol>[^"\s]+)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)
DISSECT = (
    '%{client} %{ident} %{user} [%{time}] "%{method} %{path} %{protocol}" %{status} %{bytes} "%{referer}" "%{agent}"'
)
OF_PAIRS = r"(?P<n>\d+);(?P<level>\w+);(?P<part>[^;]+);(?P<is>\w+)"
OF_TYPES = {"n": "int", "level": "severity", "part": "float", "is": "bool"}
TABLES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "regex": (ACCESS, {"regex": REGEX, "fields": FIELDS}),
    "anchored": (ACCESS, {"regex": f"^{REGEX}$", "fields": {"status": "int"}}),
    "grok": (ACCESS, {"grok": "%{COMBINEDAPACHELOG}", "fields": {"response": "int"}}),
    "dissect": (ACCESS, {"dissect": DISSECT, "fields": FIELDS}),
    "dissect with gaps": (ACCESS, {"dissect": "%{client->} - %{} [%{time}] %{rest}"}),
    "severity and constants": (PAIRS, {"regex": OF_PAIRS, "fields": OF_TYPES, "constants": {"site": "north", "n2": 7}}),
    "a constant in place of a number": (
        PAIRS,
        {"regex": OF_PAIRS, "fields": OF_TYPES, "constants": {"severity_number": 7}},
    ),
    "nested": (PAIRS, {"dissect": "%{[a][n]};%{[a][b]};%{c}"}),
    "optional": (PAIRS, {"regex": r"(?P<n>\d+)(?:;(?P<level>[A-Z]+))?;(?P<rest>.*)", "fields": {"level": "string"}}),
    "optional severity": (PAIRS, {"regex": r"\d+;(?:(?P<level>[A-Z]+)|.)*;.*", "fields": {"level": "severity"}}),
    "optional and null": (PAIRS, {"regex": r"(?:(?P<n>[0-6]+);)?(?P<r>.*)", "fields": {"n": {"null": "5"}}}),
    "one key twice": (PAIRS, {"regex": r"(?:(?P<n>\d*[02468])|(?P<n>\d+));(?P<rest>.*)", "fields": {"n": "int"}}),
    "one group": (PAIRS, {"regex": r"(?P<all>.*)"}),
    "of nothing": (PAIRS, {"regex": r"(?P<all>[^x]*)"}),
    "json": (PAIRS, {"regex": r"(?P<n>\d+);.*;(?P<is>\w+)", "fields": {"n": "json"}}),
    "two expressions": (PAIRS, {"regex": [r"(?P<n>\d+);WARN;(?P<rest>.*)", r"(?P<m>\d+);(?P<rest>[^;]*);.*"]}),
    "in lines of any case": (PAIRS, {"regex": r"(?i)(?P<n>\d+);(?P<level>warn|ERR|w.*?);(?P<rest>.*)"}),
    "several lines": (
        PAIRS,
        {"regex": r"(?P<n>\d+);(?P<rest>(?s:.*))", "framing": {"kind": "multiline", "start": r"\d"}},
    ),
}
ODD = ("", "\r", " ", "x", "\t", "\xe9", "1;2", '"', "-" * 3000, "7;x_1;1_0;t", ";;;", "\x85\u2028")


def outcomes(table: dict[str, Any], content: bytes) -> list[tuple[Any, ...]]:
    """Return what comes of it, as it is and without rows."""
    found = []
    start = table.get("framing", {}).get("start")
    framing = Framing(kind="lines") if start is None else Framing(kind="multiline", start=Pattern(start))
    for made in (processor.layout_of_rows, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processor, "layout_of_rows", made)
            outcome = run(module_of(table, "x").new_processor(), content, framing=framing)
            rejected: list[tuple[bytes | str, str]] = []
            ctx = Context(
                source="s",
                reject=lambda raw, reason, rejected=rejected: rejected.append((raw, reason)),
                say=lambda *_: None,
                framing=framing,
            )
            stored = Encoder("").encode(module_of(table, "x").new_processor().parse(content, ctx), "s", 1 << 30)
        found.append((outcome, rejected, stored[0], b"".join(stored[1])))
    return found


@pytest.mark.parametrize("kind", TABLES)
def test_ordinary_lines_come_out_as_one_by_one(kind: str) -> None:
    lines, table = TABLES[kind]
    together, one_by_one = outcomes(table, "\n".join(lines).encode())
    assert together == one_by_one
    assert together[2] == len(lines)


@pytest.mark.parametrize("kind", TABLES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_lines_that_are_damaged_or_odd_come_out_as_one_by_one(kind: str, seed: int) -> None:
    lines, table = TABLES[kind]
    chosen = random.Random(seed)
    some = chosen.choices(lines, k=chosen.choice((1, 3, 20, 150)))
    for _ in range(chosen.choice((0, 1, 3, 60))):
        at = chosen.randrange(len(some))
        place = chosen.randrange(len(some[at]) + 1)
        part = chosen.choice((" ", '"', "]", ";", "-", "\r", "_", "[", "99", "\n"))
        some[at] = chosen.choice((chosen.choice(ODD), some[at][:place] + part + some[at][place:], some[at][place:]))
    content = chosen.choice(("\n", "\n", "\r\n")).join(some).encode() + chosen.choice((b"", b"\n", b"\r\n"))
    if chosen.random() < 0.1:
        content = content.replace(b"7", b"\xff", 1)
    together, one_by_one = outcomes(table, content)
    assert together == one_by_one


def parsed(table: dict[str, Any], content: str) -> Any:
    ctx = Context(source="s", reject=lambda *_: None, say=lambda *_: None)
    return module_of(table, "x").new_processor().parse(content.encode(), ctx)


@pytest.mark.parametrize("kind", ["regex", "anchored", "dissect", "grok", "severity and constants", "one group"])
def test_what_is_ordinary_is_one_run_of_rows(kind: str) -> None:
    lines, table = TABLES[kind]
    assert isinstance(parsed(table, "\n".join(lines)), Rows)


def test_what_is_not_ordinary_parts_the_rows_around_it() -> None:
    """A piece is taken again, record by record, and the others stay rows; a short run is no run."""
    table = TABLES["regex"][1]
    found = parsed(table, "\n".join([*ACCESS[:200], "odd", *ACCESS[200:]]))
    assert [len(part.rows) for part in found if isinstance(part, Rows)] != []
    assert sum(len(part.rows) if isinstance(part, Rows) else 1 for part in found) == 400
    few = parsed(table, "\n".join([*ACCESS[: LEAST_ROWS - 1], "odd"]))
    assert [type(part) for part in few] == [dict] * (LEAST_ROWS - 1)


def test_pieces_are_read_in_vain_a_few_times_in_a_batch_and_no_more() -> None:
    lines = [line if number % 10 else "odd" for number, line in enumerate(ACCESS * 20)]
    assert sum(map(len, lines)) > 5 * MOST_MISSES * MOST_BYTES
    made = module_of(TABLES["regex"][1], "x").new_processor()
    layout = made._lay_out(None, None)[0]
    calls: list[str] = []
    read = layout.reader.lines.read

    class Counting:
        def read(self, text: str) -> Any:
            calls.append(text)
            return read(text)

    layout.reader.lines = Counting()
    ctx = Context(source="s", reject=lambda *_: None, say=lambda *_: None)
    records = list(made.parse("\n".join(lines).encode(), ctx))
    assert len(calls) == MOST_MISSES
    assert sum(len(part.rows) if isinstance(part, Rows) else 1 for part in records) == 7200


ATOMS = st.sampled_from(
    [
        *("a", ";", '"', ".", r"\d", r"\D", r"\w", r"\W", r"[^\t\n\f\r ]", r"[\t\n\f\r ]", '[^"]', "[^;]", r"[^\]]"),
        *("[a;]", r"[\n-a]", r"[\n^a]", r"[^^]", r"[^\n]", r"\]", r"\b", r"[\x00-\x7f]", "$", "^", r"\A"),
    ]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "{1,3}"])


@st.composite
def expressions(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        atom = draw(ATOMS)
        part = atom + ("" if atom in {"$", "^", r"\b", r"\A"} else draw(REPEATS))
        form = draw(st.sampled_from(["({})", "({})", "{}", "(?:{})?", "(?:{}|x)", "(?:({}))?", "(?s:{})"]))
        parts.append(form.format(part) + draw(st.sampled_from(["", "", ";", '"', "]"])).replace("]", r"\]"))
    return "".join(parts)


@settings(max_examples=400, deadline=None)
@given(text=expressions(), lines=st.lists(st.text('a; "]x\\0\t', min_size=1, max_size=8), min_size=1, max_size=6))
@example(text=r"([^;]*)", lines=["a", "b"])
@example(text=r"(a)(?:;([^;]*);)?(.*)", lines=["a;", "a;"])
def test_lines_read_together_have_the_groups_of_each(text: str, lines: list[str]) -> None:
    try:
        alone = re.compile(text, re.ASCII)
    except (re.error, FutureWarning):
        return
    read = reader_of_lines(text, alone.groups, optional=True)
    expected = [found.groups() if (found := alone.fullmatch(line)) else None for line in lines]
    if read is None:
        return
    together = read("\n".join(lines))
    assert len(together) <= len(lines)
    if len(together) == len(lines):
        assert together == expected
    elif None not in expected:
        assert any(token in text for token in ("$", "^")), "it would be read together in vain"


@pytest.mark.parametrize(
    "text", [r"(.*)\n(.*)", r"(?s)(.*)", r"(?s:(.*))", r"([\x00-\x7f]*)", r"\A(.*)", "no group", r"([\W]*)"]
)
def test_what_may_leave_its_line_is_not_read_together(text: str) -> None:
    assert reader_of_lines(text, re.compile(text).groups, optional=False) is None
