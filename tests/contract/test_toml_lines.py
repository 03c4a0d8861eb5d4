"""On which line of a TOML text a key is written, or a part of an array, however it is written."""

import tomllib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.toml_lines import MOST_PARTS, line_of, line_of_long_key

SAMPLES = """name = "x"
[[samples]]
input = '''
[[samples]]
rejected = 7
'''
records = [{ rejected = 1 }]
rejected = 0

# [[samples]]
[[samples]]
records = [{ rejected = 2 }]
[[samples.parts]]
size = 1
[[samples.parts]]
size = 2

[limits]
rejected = 3
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["name"], 1),
        (["samples"], 2),
        (["samples", 0], 2),
        (["samples", 0, "rejected"], 8),
        (["samples", 0, "records", 0, "rejected"], 7),
        (["samples", 1], 11),
        (["samples", 1, "records", 0], 12),
        (["samples", 1, "name"], 11),
        (["samples", 1, "parts", 1, "size"], 16),
        (["samples", 7], 2),
        (["limits", "rejected"], 19),
        (["nothing"], 1),
    ],
)
def test_a_table_of_an_array_is_looked_for_in_no_other(path: Sequence[int | str], line: int) -> None:
    """Nor in a text or a comment that looks like one; what is not there is where its table begins."""
    assert line_of(SAMPLES, path) == line
    assert line_of(SAMPLES, path, 11) == line + 10


INLINE = """find = [
  # "a", "b",
  "a, ]", [1, 2],
  { x = 1,  y = [ { z = 1 } ] }, { x = 2,
  y = [ { z = 1 },
  { z = 2 } ] },
]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["find", 0], 3),
        (["find", 1], 3),
        (["find", 2, "x"], 4),
        (["find", 2, "y", 0, "z"], 4),
        (["find", 3, "y"], 5),
        (["find", 3, "y", 1, "z"], 6),
        (["find", 4], 1),
    ],
)
def test_a_part_of_an_array_on_several_lines_is_found(path: Sequence[int | str], line: int) -> None:
    """Commas and brackets in texts, comments and what is nested do not count."""
    assert line_of(INLINE, path) == line


@given(
    st.lists(
        st.lists(st.sampled_from(["a = 1", "b = [", "c = '''\n[[t]]\n'''", "# [[t]]", ""]), max_size=4), min_size=1
    )
)
def test_each_of_any_number_of_tables_is_found(tables: list[list[str]]) -> None:
    """By its number, whatever the others hold."""
    text, lines = "", []
    for table in tables:
        lines.append(text.count("\n") + 1)
        text += "[[t]]\n" + "".join(f"{line}{' 1 ]' if line.endswith('[') else ''}\n" for line in table)
    assert [line_of(text, ["t", number]) for number in range(len(tables))] == lines


DOTS = "." * 2 * MOST_PARTS
VALUES = st.sampled_from(
    [
        f'"{DOTS}"',
        f"'{DOTS}'",
        f'"\\"{DOTS}"',
        f"'\\' # {DOTS}",
        f'"""{DOTS}\n\\"""{DOTS}"""""',
        f"'''{DOTS}\n\\'''''",
        f"[ {'1.5, ' * MOST_PARTS} ]",
        '"#"',
        "{ a.b = '.', c = \"'\" }",
    ]
)


@given(st.lists(VALUES, max_size=6), st.sampled_from(["a", '"a"', "'a'"]), st.sampled_from([".", " . "]))
def test_a_key_of_too_many_parts_is_found_whatever_stands_before_it(values: list[str], part: str, dot: str) -> None:
    """Dots in strings, comments and numbers are none of a key's. All of these are TOML."""
    before = "".join(f"k{number} = {value}\n" for number, value in enumerate(values))
    after = "".join(f"l{number} = {value}\n" for number, value in enumerate(values))
    most = dot.join([part] * MOST_PARTS)
    for key in (f"{most} = 1", f"[{most}]", f"[[{most}]]"):
        text = f"{before}{key}\n{after}"
        assert tomllib.loads(text)
        assert line_of_long_key(text) is None
    for key in (f"{most}.a = 1", f"[{most}.a]", f"[[{most}.a]]", f"t = {{ {most}.a = 1 }}"):
        assert line_of_long_key(f"{before}{key}\n{after}") == before.count("\n") + 1


@pytest.mark.parametrize("text", ['"""\\', "'''", '"', "'"])
def test_strings_that_are_not_closed_take_no_more_than_their_length(text: str) -> None:
    """A hundred thousand of what begins one, or could: in the square of that it would be minutes."""
    assert line_of_long_key(text * 100_000 + DOTS) in (None, 1)
