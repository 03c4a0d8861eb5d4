"""Grok: the patterns of the library take what logs hold, and expressions of them come out as the fields they name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.declared.engine import compile_re2
from contract.declared.expression import read_expression
from contract.declared.grok import MOST_CHARACTERS, Grok
from contract.declared.library import PATTERNS
from contract.declared.problem import RecipeError
from tests.contract.declared.support import outcome, records

TAKEN = {
    "IP": ["192.0.2.1", "::1", "fe80::1%eth0", "2001:db8:0:0:1:0:0:1", "::ffff:192.0.2.1", "255.255.255.255"],
    "IPORHOST": ["example.com", "192.0.2.1", "2001:db8::1", "web-1"],
    "NUMBER": ["1", "-2.5", "+3", ".5", "0"],
    "INT": ["7", "-12"],
    "BASE16NUM": ["0x1F", "ff", "-0xa"],
    "WORD": ["lamp", "a_1"],
    "MAC": ["00:1b:44:11:3a:b7", "00-1b-44-11-3a-b7", "001b.4411.3ab7"],
    "UUID": ["123e4567-e89b-12d3-a456-426614174000"],
    "QS": ['"a \\" b"', "'x'", '""', "`y`"],
    "PATH": ["/var/log/x.log", r"C:\Temp\a.txt"],
    "URI": ["https://user@example.com:8080/a/b?c=d&e=f", "ftp://192.0.2.1/"],
    "EMAILADDRESS": ["a.b+c@example.com"],
    "MONTH": ["Jan", "February", "may", "Sept", "July", "Aug", "Apr", "December"],
    "MONTHDAY": ["1", "09", "31", "17"],
    "TIMESTAMP_ISO8601": [
        "2024-05-17T10:05:03Z",
        "2024-05-17 10:05:03,120",
        "2024-05-17T10:05:03.5+02:00",
        "2024-05-17T10:05",
    ],
    "SYSLOGTIMESTAMP": ["May 17 10:05:03", "Oct  1 00:00:00"],
    "HTTPDATE": ["17/May/2024:10:05:03 +0000"],
    "DATESTAMP_RFC2822": ["Fri, 17 May 2024 10:05:03 +0200"],
    "DATESTAMP_EVENTLOG": ["20240517100503"],
    "DATE": ["5/17/2024", "17.05.2024"],
    "LOGLEVEL": ["INFO", "Warning", "err", "CRITICAL", "Emerg", "information", "TRACE"],
    "SYSLOGPROG": ["sshd[812]", "kernel"],
    "HOSTPORT": ["example.com:80", "192.0.2.1:8080"],
    "JAVASTACKTRACEPART": ["  at org.example.Main.run(Main.java:12)"],
}
NOT_TAKEN = {
    "IP": ["10:05:03", "192.0.2", "256.1.1.1", "example.com"],
    "TIME": ["24:00:00", "10:65:00"],
    "MONTHDAY": ["32", "0"],
    "INT": ["1.5", "x"],
    "LOGLEVEL": ["hello", "INFOX"],
    "UUID": ["123e4567"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TAKEN.items() for text in texts])
def test_a_pattern_takes_what_logs_hold(name: str, text: str) -> None:
    assert records(f"<{text}>", grok=f"<%{{{name}:found}}>")[0]["found"] == text


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in NOT_TAKEN.items() for text in texts])
def test_a_pattern_leaves_what_it_is_not_for(name: str, text: str) -> None:
    ((raw, reason),) = outcome(f"<{text}>", grok=f"<%{{{name}:found}}>").rejected
    assert raw == f"<{text}>".encode()
    assert reason.startswith("does not match grok: after '<")


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_of_the_library_is_one_of_re2(name: str) -> None:
    expression = read_expression(Grok({}).expand(f"%{{{name}}}", ("grok",)), ("grok",))
    compile_re2(expression, ("grok",), newlines=False)


def test_types_in_the_expression_make_numbers() -> None:
    found = records("7 2.5 true x", grok="%{INT:a:int} %{NUMBER:b:float} %{WORD:c:bool} %{WORD:d:string}")
    assert found == [{"a": 7, "b": 2.5, "c": True, "d": "x"}]


def test_a_combined_log_comes_apart() -> None:
    line = '192.0.2.1 - dana [17/May/2024:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 512 "-" "curl/8 (x)"\n'
    assert records(line, grok="%{COMBINEDAPACHELOG}", fields={"bytes": "int"}) == [
        {
            "clientip": "192.0.2.1",
            "ident": "-",
            "auth": "dana",
            "timestamp": "17/May/2024:10:05:03 +0000",
            "verb": "GET",
            "request": "/a?b=c",
            "httpversion": "1.1",
            "response": "200",
            "bytes": 512,
            "referrer": '"-"',
            "agent": '"curl/8 (x)"',
        }
    ]


def test_own_patterns_come_first_and_may_use_the_librarys() -> None:
    own = {"ITEM": "[a-z]+", "LINE": "%{ITEM:item} %{NUMBER:price}"}
    assert records("lamp 3", grok="%{LINE}", patterns=own) == [{"item": "lamp", "price": "3"}]


def test_a_field_may_be_in_several_places_and_the_first_that_took_part_counts() -> None:
    grok = "(?:%{IP:client}|host=%{WORD:client}) %{WORD:what}"
    assert records("192.0.2.1 a\nhost=web b\n", grok=grok) == [
        {"client": "192.0.2.1", "what": "a"},
        {"client": "web", "what": "b"},
    ]


def test_bracketed_names_are_objects() -> None:
    grok = "%{IP:[source][ip]}:%{INT:[source][port]:int} %{WORD:event}"
    assert records("192.0.2.1:80 x", grok=grok) == [{"source": {"ip": "192.0.2.1", "port": 80}, "event": "x"}]


@pytest.mark.parametrize(
    ("grok", "own", "message"),
    [
        (
            "%{WROD:a}",
            {},
            (
                "field 'grok' has %{WROD:a}, and no pattern is called 'WROD'; "
                "did you mean 'WORD'? (your own go into [patterns])"
            ),
        ),
        (
            "%{A:a}",
            {"A": "%{B}", "B": "%{A}"},
            "field 'patterns.B' goes round in a circle: A -> B -> A; take one of them out",
        ),
        (
            "%{WORD:a:date}",
            {},
            (
                "field 'grok' has %{WORD:a:date}, and 'date' is no type of a pattern's; "
                "write int, float or bool; any other goes into [fields]"
            ),
        ),
        ("%{WORD:a b}", {}, "field 'grok' names a field 'a b'; write letters, digits, _ . - @, or [outer][inner]"),
        ("%{WORD}", {}, "field 'grok' names no field; write %{PATTERN:name} for what is to be kept"),
        (
            "%{A:x}",
            {"A": "%{B}" * 40, "B": "%{C}" * 40, "C": "x" * 99},
            f"field 'patterns.A' has more than {MOST_CHARACTERS} characters with its patterns; repeat less",
        ),
    ],
)
def test_what_cannot_be_is_told_with_the_way_out(grok: str, own: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        records("x", grok=grok, patterns=own)
    assert str(caught.value) == message


_VALUES = {
    "IP": st.ip_addresses(v=4).map(str),
    "INT": st.integers(-(10**9), 10**9).map(str),
    "NUMBER": st.decimals(-(10**6), 10**6, places=3).map(str),
    "WORD": st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True),
    "NOTSPACE": st.text(st.characters(exclude_categories=("Cs", "Cc", "Z"), exclude_characters=" "), min_size=1),
    "DATA": st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(
        lambda text: text.replace("|", "/")
    ),
    "QS": st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"\\')).map(
        lambda text: f'"{text}"'
    ),
    "UUID": st.uuids().map(str),
}


@settings(deadline=None)
@given(st.data())
def test_generated_records_written_as_the_expression_says_come_back(choice: st.DataObject) -> None:
    """Whatever the values are, with a delimiter between that none of them has."""
    names = choice.draw(st.lists(st.sampled_from(sorted(_VALUES)), min_size=1, max_size=6))
    rows = choice.draw(st.lists(st.tuples(*(_VALUES[name] for name in names)), min_size=1, max_size=4))
    grok = r"\|".join(f"%{{{name}:f{number}}}" for number, name in enumerate(names))
    lines = ["|".join(row) for row in rows if not any("|" in value for value in row)]
    expected = [
        {f"f{number}": value for number, value in enumerate(row)}
        for row in rows
        if not any("|" in value for value in row)
    ]
    if names != ["DATA"]:  # which may be nothing, and so a blank line
        assert records("\n".join(lines), grok=grok) == expected
