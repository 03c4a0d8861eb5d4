"""A manifest's regular expressions: RE2's, in linear time, and read alike by the daemon and a worker."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from contract.pattern import MAX_STEPS, Pattern, PatternError
from hostd.workers.worker import start_pattern

ATOMS = st.sampled_from(
    [
        *("a", "b", "é", "7", " ", "-", ".", r"\.", r"\n", r"\t", r"\xe9", r"\d", r"\s", r"\S", r"\w"),
        *("[ab]", r"[^a\s]", r"[\d-]", r"[^\n]", "[é]", "(?s:.)"),
    ]
)
PLACES = st.sampled_from(["^", "$", r"\b", r"\A"])
QUANTIFIERS = st.sampled_from(["", "*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{0,3}?"])
PATTERNS = st.recursive(
    st.tuples(ATOMS, QUANTIFIERS).map("".join) | PLACES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        st.tuples(inner, QUANTIFIERS).map(lambda made: f"({made[0]}){made[1]}"),
        st.tuples(inner, QUANTIFIERS).map(lambda made: f"(?:{made[0]}){made[1]}"),
        inner.map(lambda made: f"(?P<name>{made})"),
    ),
    max_leaves=6,
)
PIECES = st.sampled_from([b"a", b"b", b"7", b" ", b"-", b".", b"\t", b"\xc3\xa9", b"\xe9", b"\x00"])


def test_time_grows_with_the_input_alone() -> None:
    """What takes Python's `re` longer than anyone waits is done at once, for text of any length."""
    text = b"a" * 1_000_000 + b"!\n"
    assert not Pattern(r"^(a+)+$").match(text)
    assert not Pattern(r"(x+x+)+y").search(b"x" * 1_000_000)


@settings(max_examples=400, deadline=None)
@given(pattern=PATTERNS, line=st.lists(PIECES, max_size=8).map(b"".join), end=st.sampled_from([b"", b"\n", b"\r\n"]))
def test_daemon_and_worker_read_a_pattern_alike(pattern: str, line: bytes, end: bytes) -> None:
    """So that both cut a batch at the same places. A vertical tab, {,n} and (?i) beyond ASCII are known to differ."""
    try:
        daemons, workers = Pattern(pattern), start_pattern(pattern)
    except (PatternError, re.error, Warning):
        reject()  # refused, by one or the other
    assert bool(workers.match(line + end)) == daemons.match(line + end)


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        ("^GET", b"x\nGET /", True),
        ("^GET", b"xGET /", False),
        ("x$", b"x\ny", True),
        ("a.b", b"a\nb", False),
        (r"\xe9", b"\xe9", True),
        ("é", "é".encode(), True),
        ("^.$", "é".encode(), False),
        (r"\A\x89TLM\x01", b"\x89TLM\x01\x00", True),
    ],
)
def test_a_pattern_is_of_bytes_and_lines(text: str, data: bytes, found: bool) -> None:
    """`^` and `$` are a line's, `.` is one byte but the line feed, and text is its UTF-8."""
    assert Pattern(text).search(data) is found


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("(?=a)", r"is not a regular expression of RE2: invalid perl operator: \(\?=", "no look-around"),
        ("(?<!a)b", r"RE2: invalid perl operator: \(\?<!", "no look-around"),
        (r"(a)\1", r"RE2: invalid escape sequence: \\1", "no back references"),
        ("a*+b", r"RE2: bad repetition operator: \*\+", "no possessive quantifiers"),
        ("(?>a)", r"RE2: invalid perl operator: \(\?>", "leave the finer test to parse"),
        ("(?x) a", r"RE2: invalid perl operator: \(\?x", r"no \(\?x\)"),
        ("(", r"RE2: missing \): \($", "RE2"),
        ("a{1001}", r"RE2: invalid repetition size: \{1001\}", "RE2"),
        ("a{600}", rf"is too large a regular expression: 6\d\d steps, more than {MAX_STEPS}", "repeat less"),
        (r"(\w{1,90}.{90}){11}" * 99, "RE2: pattern too large", "RE2"),
    ],
)
def test_what_is_no_pattern_is_refused_with_a_way_out(text: str, problem: str, remedy: str) -> None:
    """RE2's reason is in the problem, and what RE2 does not have in the remedy."""
    with pytest.raises(PatternError, match=problem) as caught:
        Pattern(text)
    assert re.search(remedy, caught.value.remedy)


def test_a_bad_pattern_says_nothing_on_standard_error() -> None:
    """RE2 would, from C++, past the log."""
    code = "import contract.pattern as p\ntry: p.Pattern('(?=a)')\nexcept p.PatternError: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_patterns_of_one_text_are_equal() -> None:
    """A new generation with the old framing goes on with the batches that were cut already."""
    first = Pattern("^a")
    others = [Pattern(f"^{number}") for number in range(200)]  # more than RE2's cache of compiled ones holds
    assert first == Pattern("^a")
    assert hash(first) == hash(Pattern("^a"))
    assert first not in others


def test_a_worker_needs_no_re2() -> None:
    """The environment that a plugin runs in need not have what the daemon matches with, nor pydantic."""
    code = (
        "import sys\nsys.modules['re2'] = sys.modules['pydantic'] = None\n"
        "import hostd.workers.worker as worker\n"
        "print(worker.start_pattern('^a').match(b'ab') is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
