"""A plugin's account of itself: what is read, and what every error says."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import manifest
from contract.framing import Framing
from contract.manifest import Manifest, ManifestError, read_plugin_toml, read_script
from contract.pattern import Pattern
from tests.build import plugin

HEAD_LINES = 5
"""Lines of a plugin before the first of `table`: the opening, the table's head, name, version, contract."""


def problem_of(text: str) -> ManifestError:
    """Return the error that reading `text` raises."""
    with pytest.raises(ManifestError) as caught:
        read_script(text)
    return caught.value


@pytest.mark.parametrize(
    ("table", "problem", "remedy"),
    [
        ("nonsense = 1", "field 'nonsense' is not known", "remove it; known are name, version, contract, summary"),
        ("acepts = {}", "field 'acepts' is not known", "did you mean 'accepts'?"),
        ("limits = { tim_s = 1 }", "field 'limits.tim_s' is not known", "did you mean 'time_s'?"),
        ("accepts = { name = ['*'] }", "field 'accepts.name' is not known", "did you mean 'names'?"),
        ("framing = { kind = 'lines', qoute = 'x' }", "field 'framing.qoute' is not known", "did you mean 'quote'?"),
        ("samples = [{ inptu = 'a', records = [] }]", "field 'samples.0.inptu' is not known", "did you mean 'input'?"),
        ("samples = [{ input = 'a' }]", "field 'samples.0.records' is missing", "add records = …"),
        ("framing = {}", "field 'framing.kind' is missing", 'add kind = "lines"'),
        (
            "framing = 'rows'",
            "field 'framing.kind' = 'rows': Input should be 'lines', 'multiline', 'whole' or 'stream'",
            "correct",
        ),
        (
            "header = 1\nframing = 'stream'",
            "field 'header' = 1: a stream is fed its source from the first byte on",
            "remove it, and read it in feed",
        ),
        ("framing = { kind = 'stream', quote = 'x' }", '`quote` goes with kind "lines"', "correct that value"),
        ("limits = { snapshot_kib = 0 }", "field 'limits.snapshot_kib' = 0: Input", "correct"),
        ("framing = 'multiline'", '`start` goes with kind "multiline", and only with it', "correct that value"),
        ("framing = { kind = 'lines', start = 'a' }", "`start` goes with kind", "correct that value"),
        ("framing = { kind = 'whole', quote = 'x' }", '`quote` goes with kind "lines"', "correct that value"),
        ("framing = { kind = 'lines', quote = 'ab' }", "field 'framing.quote' = 'ab': String should match", "correct"),
        (
            "framing = { kind = 'multiline', start = '(' }",
            "field 'framing.start' = '(': is not a regular",
            "patterns are RE2",
        ),
        ("accepts = { names = '*.csv' }", "field 'accepts.names' = '*.csv': Input should be a list", "correct"),
        (
            "accepts = { head = '[' }",
            "field 'accepts.head' = '[': is not a regular expression of RE2: missing ]: [",
            "manifest patterns are RE2",
        ),
        ("accepts = { priority = 5000 }", "field 'accepts.priority' = 5000: Input should be less than", "correct"),
        ("header = 0", "field 'header' = 0: is not a number of lines from 1 to 1000", "correct that value"),
        ("header = 1001", "field 'header' = 1001: is not a number of lines from 1 to 1000", "correct that value"),
        (
            "header = '('",
            "field 'header' = '(': is not a regular expression of RE2: missing ): (",
            "manifest patterns are RE2",
        ),
        ("limits = { time_s = 0 }", "field 'limits.time_s' = 0: Input should be greater than 0", "correct"),
        (
            'accepts = { media_types = ["csv"] }',
            "field 'accepts.media_types.0' = 'csv': is no media type, which has a \"/\" and no parameters",
            "correct",
        ),
        ('needs = { paths = ["etc"] }', "field 'needs.paths.0' = 'etc': is not an absolute path", "correct"),
        ('needs = { paths = ["/a/../b"] }', "field 'needs.paths.0' = '/a/../b': is not an absolute path", "correct"),
        ('needs = { paths = ["/"] }', "field 'needs.paths.0' = '/': is more than can be granted", "correct"),
        (
            'needs = { paths = ["/proc/1"] }',
            "field 'needs.paths.0' = '/proc/1': is more than can be granted",
            "correct",
        ),
        ("needs = { netwrok = true }", "field 'needs.netwrok' is not known", "did you mean 'network'?"),
        ("limits = { memory_mib = 1 }", "field 'limits.memory_mib' = 1: Input should be greater than or eq", "correct"),
        ("samples = [{ input = '!', encoding = 'base64', records = [] }]", "field 'samples.0' = {'input'", "correct"),
        ("summary = 7", "field 'summary' = 7: Input should be a valid string", "correct that value"),
        ("header = [", "the manifest is not TOML: ", "mend that line"),
    ],
)
def test_error_names_field_value_line_and_remedy(table: str, problem: str, remedy: str) -> None:
    """What is wrong, where, and what to write instead; the line is that of the file."""
    filler = "# a comment\nsummary = 'x'\n" if not table.startswith("summary") else "# a\n# b\n"
    error = problem_of("#!/usr/bin/env python\n" + plugin(table=filler + table))
    assert problem in error.problem
    assert remedy in error.remedy
    assert str(error) == f"{error.problem}; {error.remedy}"
    first = 1 + HEAD_LINES + 3
    assert error.line == first


@pytest.mark.parametrize(
    ("old", "new", "problem", "remedy", "line"),
    [
        ('name = "demo"', "", "field 'name' is missing", 'add name = "my_format"', 2),
        ('version = "1.0.0"', "", "field 'version' is missing", 'add version = "1.0.0"', 2),
        ('contract = ">=1.0,<2"', "", "field 'contract' is missing", 'add contract = ">=1.0,<2"', 2),
        ('name = "demo"', 'nmae = "demo"', "field 'nmae' is not known", "did you mean 'name'?", 3),
        ('"demo"', '"Demo"', "field 'name' = 'Demo': String should match pattern", "correct that value", 3),
        ('"demo"', '"../x"', "field 'name' = '../x': String should match pattern", "correct that value", 3),
        ('"1.0.0"', '"one"', "field 'version' = 'one': is not a PEP 440 version; write for example", "correct", 4),
        ('">=1.0,<2"', '"1.x"', "field 'contract' = '1.x': is not a PEP 440 specifier; write for", "correct", 5),
        ("[tool.hostd]", "[tool.other]", "has no [tool.hostd] table in its PEP 723 block", "add one with name,", 2),
        ("[tool.hostd]", "[tool]\n# hostd = 1\n# [x]", "has no [tool.hostd] table", "add one with name,", 2),
        ("# ///\n", "", "has no PEP 723 block", "begin the file with one: # /// script", 1),
    ],
)
def test_error_in_the_first_fields_names_its_line(old: str, new: str, problem: str, remedy: str, line: int) -> None:
    """A missing field points at the table, a wrong one at itself."""
    error = problem_of(plugin().replace(old, new, 1))
    assert problem in error.problem
    assert remedy in error.remedy
    assert error.line == line


def test_error_in_a_later_sample_names_its_line() -> None:
    """Not that of the first sample that has such a field."""
    sample = "[[tool.hostd.samples]]\ninput = 'x'\nrecords = []\nrejected = {}\n"
    error = problem_of(plugin(table=sample.format(1) + sample.format(-1)))
    assert error.problem.startswith("field 'samples.1.rejected' = -1: Input should be greater than or equal to 0")
    assert error.line == HEAD_LINES + 8


def test_two_blocks_are_refused() -> None:
    """PEP 723 leaves no choice between two."""
    assert problem_of(plugin() + "\n" + plugin()).problem == "has more than one PEP 723 block"


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000], ids=["nested", "huge number"])
def test_manifest_that_exhausts_the_reader_is_refused(value: str) -> None:
    """Hostile TOML is an error of the plugin, not of whoever reads it."""
    error = problem_of(plugin(table=f"header = {value}"))
    assert error.problem.startswith("the manifest cannot be read: ")
    assert error.remedy == "make it simpler"
    assert error.line == 2


def test_a_key_that_would_take_minutes_to_read_is_refused() -> None:
    """By its length alone."""
    error = problem_of(plugin(table=f"summary = ''\n{'a.' * 100_000}a = 1"))
    assert error.problem == "the manifest has a key of more than 12 parts"
    assert (error.remedy, error.line) == ("shorten it", HEAD_LINES + 2)


def test_error_in_the_script_metadata_names_its_line() -> None:
    """The part that is not hostd's own is checked too."""
    error = problem_of(plugin(top='dependencies = "numpy"'))
    assert error.problem == "field 'dependencies' = 'numpy': Input should be a list"
    assert error.line == 2


@pytest.mark.parametrize("mangle", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text])
def test_windows_line_ends_and_byte_order_mark_are_read(mangle: Any) -> None:
    """What editors add changes nothing."""
    plain = plugin(table="summary = 'one'", top="dependencies = ['pydantic>=2']\nrequires-python = '>=3.11'")
    manifest, metadata = read_script(mangle(plain))
    assert (manifest, metadata) == read_script(plain)
    assert metadata.dependencies == ("pydantic>=2",)
    assert metadata.requires_python == ">=3.11"


def test_block_may_lie_anywhere_and_other_blocks_are_ignored() -> None:
    """Only blocks of type `script` count."""
    other = "# /// pyproject\n# [tool.hostd]\n# name = 'x'\n# ///\n"
    assert read_script("import os\n\n" + other + "\n" + plugin())[0].name == "demo"


def test_short_framing_is_the_long_one() -> None:
    """`framing = "lines"` is `framing = { kind = "lines" }`."""
    short, long = (read_script(plugin(table=f"framing = {f}"))[0] for f in ("'whole'", "{ kind = 'whole' }"))
    assert short == long
    assert short.compiled_framing() == Framing(kind="whole")


def test_compiled_framing_is_what_the_manifest_declares() -> None:
    """Kind, start, quote and header arrive in the framing; expressions see bytes and each line's start."""
    table = "framing = { kind = 'multiline', start = '^é' }\nheader = '^#'"
    assert read_script(plugin(table=table))[0].compiled_framing() == Framing(
        kind="multiline",
        start=Pattern("^é"),
        header_pattern=Pattern("^#"),
    )
    quoted = "framing = { kind = 'lines', quote = '\"' }\nheader = 2"
    assert read_script(plugin(table=quoted))[0].compiled_framing() == Framing(quote=b'"', header_lines=2)


def test_a_manifest_of_another_contract_is_judged_by_its_contract_first() -> None:
    """A field that a later contract has is no misspelling: what is missing is the contract."""
    error = problem_of(plugin(table="framing = 'stream'\nwindow_s = 3", contract=">=1.1,<2"))
    assert error.problem == "asks for contract '>=1.1,<2', and this hostd speaks 1.0 and 0.1"
    assert error.line == HEAD_LINES
    assert "'window_s' is not known" in problem_of(plugin(table="window_s = 3")).problem


def test_sample_content_is_bytes() -> None:
    """Text as UTF-8, base64 decoded."""
    table = "samples = [{input='é', records=[]}, {input='/wA=', encoding='base64', records=[]}]"
    text, binary = read_script(plugin(table=table))[0].samples
    assert text.content() == "é".encode()
    assert binary.content() == b"\xff\x00"


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\x7f", exclude_categories=("Cs",)), max_size=12)
json_values = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | words, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
framings = st.one_of(
    st.sampled_from([{"kind": "lines"}, {"kind": "whole"}, {"kind": "lines", "quote": '"'}]),
    st.sampled_from(["^", r"^\d{4}", "^[^ ]"]).map(lambda start: {"kind": "multiline", "start": start}),
)
tables = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[a-z][a-z0-9_]{0,63}\Z"),
        "version": st.from_regex(r"\A(0|[1-9][0-9]?)\.[0-9](rc1|\.post2)?\Z"),
        "contract": st.sampled_from([">=1.0,<2", "==1.*", "~=1.0"]),
    },
    optional={
        "summary": words,
        "accepts": st.fixed_dictionaries(
            {}, optional={"names": st.lists(words, max_size=3), "priority": st.integers(-1000, 1000)}
        ),
        "framing": framings,
        "header": st.integers(1, 1000) | st.sampled_from(["^#", "^name"]),
        "samples": st.lists(
            st.fixed_dictionaries(
                {"input": words, "records": st.lists(st.dictionaries(words, json_values, max_size=3), max_size=2)}
            ),
            max_size=2,
        ),
        "limits": st.fixed_dictionaries({}, optional={"time_s": st.floats(0.01, 3600), "batch_kib": st.integers(1, 9)}),
    },
)


def toml(value: Any) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=100, deadline=None)
@given(table=tables)
def test_a_manifest_is_read_as_it_was_written(table: dict[str, Any]) -> None:
    """Script, wheel and model agree on every valid manifest."""
    text = "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
    block = "".join(f"# {line}\n" for line in ["[tool.hostd]", *text.split("\n")[:-1]])
    manifest, _ = read_script(f"# /// script\n{block}# ///\n")
    assert manifest == Manifest.model_validate(table)
    assert manifest == Manifest.model_validate_json(manifest.model_dump_json())
    assert manifest == read_plugin_toml(text, name=table["name"], version=table["version"])
    for field, value in table.items():
        written = manifest.model_dump(mode="json", exclude_unset=True)[field]
        assert json.loads(json.dumps(written)) == value


def test_plugin_toml_takes_name_and_version_of_its_wheel() -> None:
    """The file need not repeat what the wheel says."""
    manifest = read_plugin_toml('contract = ">=1"\n', name="demo", version="2.0")
    assert (manifest.name, manifest.version) == ("demo", "2.0")
    assert read_plugin_toml('name = "demo"\ncontract = ">=1"', name="demo", version="2.0") == manifest


@pytest.mark.parametrize(("field", "said"), [("name", "demo"), ("version", "2.0")])
def test_plugin_toml_that_disagrees_with_its_wheel_is_refused(field: str, said: str) -> None:
    """Two names for one plugin would be two plugins."""
    with pytest.raises(ManifestError) as caught:
        read_plugin_toml(f'contract = ">=1"\n{field} = "other"\n', name="demo", version="2.0")
    assert str(caught.value) == (
        f"field {field!r} is 'other', but the wheel says {said!r};"
        f" make them agree, or remove {field!r} from plugin.toml"
    )
    assert caught.value.line == 2


def test_contract_0_has_no_streams() -> None:
    """Which is said at the field, with what to write; a plugin that works with both contracts may have one."""
    error = problem_of(plugin(table="framing = 'stream'", contract=">=0.1,<1"))
    assert (error.problem, error.remedy) == (
        "field 'framing' = 'stream': contract 0 has no streams",
        'write contract = ">=1.0,<2", and define open(ctx, state)',
    )
    assert read_script(plugin(table="framing = 'stream'", contract=">=0.1"))[0].compiled_framing().kind == "stream"


REFERENCE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The reference expression of PEP 723."""


@given(st.lists(st.sampled_from(["# /// script", "# /// other", "# ///", "#", "# a", "#b", "code", ""]), max_size=12))
def test_blocks_are_those_that_the_reference_expression_of_pep_723_finds(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    expected = [
        (each["type"], text.count("\n", 0, each.start("content")) + 1, each["content"].splitlines())
        for each in REFERENCE.finditer(text)
    ]
    assert list(manifest._blocks(text.split("\n"))) == expected


def test_a_file_of_nothing_but_beginnings_is_read_soon() -> None:
    with pytest.raises(ManifestError, match="has no PEP 723 block"):
        read_script("# /// a\n" * 200_000)
