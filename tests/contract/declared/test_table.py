"""A declaration that cannot be used is refused with its line, its key, its value, and the way out."""

import contextlib
import time

import pytest

from contract.declared.table import read_declaration
from contract.manifest import ManifestError


def test_little_is_needed() -> None:
    manifest = read_declaration("dissect = '%{a} %{b}'\n", name="pairs")
    assert (manifest.name, manifest.version, manifest.contract) == ("pairs", "1.0.0", ">=1.0,<2")
    assert manifest.framing.kind == "lines"


def test_a_name_in_the_file_counts_more_than_the_files() -> None:
    assert read_declaration("name = 'other'\ndissect = '%{a} %{b}'\n", name="pairs").name == "other"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("version = '1'\n", 1, "says not how a record is read; add one of regex, grok and dissect"),
        ("dissect = '%{a}'\ngrok = '%{WORD:a}'\n", 1, "field 'dissect' stands beside 'grok'; keep one of them"),
        (
            "version = 'x'\n\nregex = '(?P<a>.)'\n",
            1,
            "field 'version' = 'x': is not a PEP 440 version; write for example \"1.0.0\"",
        ),
        ("regexp = '(?P<a>.)'\n", 1, "field 'regexp' is not known; did you mean 'regex'?"),
        (
            "accepts = { names = ['*.a'] }\n\ngrok = '''%{WORD:a} \\\n%{NUMBR:b}'''\n",
            4,
            (
                "field 'grok' has %{NUMBR:b}, and no pattern is called 'NUMBR'; "
                "did you mean 'NUMBER'? (your own go into [patterns])"
            ),
        ),
        (
            "grok = '%{OWN:a}'\n[patterns]\nOWN = '(?!x)y'\n",
            3,
            (
                "field 'grok' holds a look-ahead, (?!, which RE2 does not have; "
                "say what may come instead of what may not: [^#] for (?!#)."
            ),
        ),
        (
            "regex = '(?P<status>.*)'\n\n[fields]\nstatsu = 'int'\n",
            4,
            "field 'fields.statsu' is no field of regex; did you mean 'status'?",
        ),
        (
            "regex = '(?P<a>.*)'\n[fields]\na = 'integer'\n",
            3,
            (
                "field 'fields.a.type' = 'integer': Input should be 'string', 'int', 'float', 'bool', 'timestamp', "
                "'severity' or 'json'; correct that value"
            ),
        ),
        (
            "regex = '(?P<a>.*)'\n[fields.a]\ntype = 'timestamp'\n",
            2,
            (
                "field 'fields.a' is a timestamp without a format; "
                'add format = "rfc3339", "epoch", or for example "%Y-%m-%d %H:%M:%S"'
            ),
        ),
        (
            "regex = '(?P<a>.*)'\n[fields.a]\ntype = 'timestamp'\nformat = '%Y-%Q %S'\n",
            4,
            (
                "field 'fields.a.format' cannot be used: the notation '%Y-%Q ' has the unknown code %Q; known are "
                "%Y %y %m %b %d %a %H %M %z %Z %%; correct it"
            ),
        ),
        (
            "regex = '(?P<a>.*)'\n[fields.a]\ntype = 'timestamp'\nformat = 'rfc3339'\nzone = 'Mars'\n",
            5,
            (
                "field 'fields.a.zone' cannot be used: 'Mars' is no time zone; write UTC, +02:00, or a name such as "
                "Europe/Berlin; correct it"
            ),
        ),
        (
            "regex = '(?P<a>.*)'\n[fields.a]\nformt = 'x'\n",
            3,
            "field 'fields.a.formt' is not known; did you mean 'format'?",
        ),
        (
            "regex = '(?P<a>.) (?P<b>.)'\n[fields]\nb = { name = 'a' }\n",
            3,
            "field 'fields.b' gives 'b' the key 'a', and 'a' has it already; call one of them otherwise",
        ),
        (
            "dissect = '%{a} %{b}'\n[constants]\na = 1\n",
            1,
            "field 'dissect' gives 'a' the key 'a', and a constant has it already; call one of them otherwise",
        ),
        (
            "dissect = '%{a} %{b}'\nanywhere = true\n",
            2,
            "field 'anywhere' goes with regex and grok, not with dissect; remove it",
        ),
        (
            "grok = '%{NUMBER:a:int}'\n[fields]\na = 'float'\n",
            3,
            "field 'fields.a' is float here and int in the expression; say it in one place",
        ),
        (
            "framing = 'stream'\nregex = '(?P<a>.)'\n",
            1,
            ('field \'framing\' = \'stream\': a stream needs code; write "lines", "multiline" or "whole"'),
        ),
        (
            "contract = '>=0.1,<1'\nregex = '(?P<a>.)'\n",
            1,
            "field 'contract' = '>=0.1,<1': contract 0 has no rejects; write \">=1.0,<2\", or leave it out",
        ),
        ("regex = '(?P<a>.)'\n[needs]\nnetwork = true\n", 2, "field 'needs'"),
        ("regex = '(?P<a>.)\n\n", 1, "the manifest is not TOML: "),
    ],
)
def test_the_message_names_line_key_value_and_the_way_out(text: str, line: int, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_declaration(text, name="x")
    assert str(caught.value).startswith(message)
    assert caught.value.line == line


def test_a_file_whose_name_is_no_plugins_has_to_say_its_own() -> None:
    with pytest.raises(ManifestError) as caught:
        read_declaration("dissect = '%{a} %{b}'\n", name="My-Format")
    assert str(caught.value) == (
        "has no name of its own, and 'My-Format', the file's, is no plugin's; "
        'add name = "my_format": lower case letters, digits, underscores'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"dissect = '{'%{a} ' * 400}'\n", "field 'dissect' has 400 keys, more than 300; keep the end in one"),
        (f"regex = '{'x' * 70_000}'\n", "field 'regex' has 70000 characters, more than 65536; make it shorter"),
        (f"regex = {['(?P<a>x)'] * 101}\n", "field 'regex' is a list of 101, more than 100; make several formats"),
        (
            "grok = '%{P0:a}'\n[patterns]\n" + "".join(f"P{n} = '%{{P{n + 1}}}'\n" for n in range(99)) + "P99 = 'x'\n",
            "field 'patterns.P49' nests patterns more than 50 deep; write one of them out",
        ),
    ],
)
def test_what_is_too_large_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_declaration(text, name="x")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "unit", ["[", "(", "(?<", "%{", "%{a", "[:", "[[:a", "\\\\Q", "(?P<a", "{,", "a{1,", "(?a", "[^", "|"]
)
@pytest.mark.parametrize("way", ["regex", "grok", "dissect"])
def test_a_text_that_never_closes_what_it_opens_is_refused_soon(way: str, unit: str) -> None:
    """The daemon reads it: no text keeps it busy."""
    started = time.process_time()
    with contextlib.suppress(ManifestError):
        read_declaration(f'{way} = "{unit * (60_000 // len(unit))}"\n', name="x")
    assert time.process_time() - started < 1
