"""The ranking: the same whatever the order of the plugins is, of any bytes, and without ever an exception."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.manifest import Manifest
from hostd.pipeline.detection import Head, Memory, rank
from hostd.pipeline.detection.head import MOST_LINES, is_binary
from hostd.pipeline.detection.ranking import Grade
from hostd.pipeline.routing import decide
from tests.build import manifest
from tests.processors.support import SHIPPED_MANIFESTS

SAMPLES = [sample.header.encode() + sample.content() for each in SHIPPED_MANIFESTS for sample in each.samples]
NAMES = st.one_of(
    st.sampled_from(
        ["a.log", "syslog.1", "data.csv", "logs/x/app.log-20240517", "utmp", "photo", "", "/", "a.tsv.old"]
    ),
    st.text(max_size=20),
)
HEADS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=3).map(b"".join),
    st.tuples(st.sampled_from(SAMPLES), st.binary(max_size=40), st.integers(0, 400)).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    ),
)
OWN = st.builds(
    lambda number, names, head, lines, priority, fallback, sample: manifest(
        f"own_{number}",
        accepts={
            "names": names,
            "priority": priority,
            "fallback": fallback,
            **({"head": head} if head else {}),
            **({"lines": lines} if lines else {}),
        },
        samples=[{"input": sample, "records": []}] if sample else [],
    ),
    st.integers(0, 9),
    st.lists(st.sampled_from(["*", "!*.*", "*.log", "a*", "!a*"]), max_size=3),
    st.sampled_from([None, None, "^GET", r"\A\d"]),
    st.sampled_from([None, None, r"^\d", "[a-z]"]),
    st.sampled_from([0, 0, -20, 5]),
    st.booleans(),
    st.sampled_from([None, "17.05.2024 10:05:03 no disk\n", "a,b,c\n1,2,3\n", "words\n"]),
)


def named_once(manifests: list[Manifest]) -> list[Manifest]:
    """Return manifests of different names."""
    return list({each.name: each for each in manifests}.values())


@settings(deadline=None, max_examples=50)
@given(name=NAMES, head=HEADS, own=st.lists(OWN, max_size=4), seed=st.integers(0, 99))
def test_the_order_of_the_plugins_is_nothing(name: str, head: bytes, own: list[Manifest], seed: int) -> None:
    manifests = named_once([*SHIPPED_MANIFESTS, *own])
    found = rank(name, head, manifests)
    shuffled = random.Random(seed).sample(manifests, len(manifests))
    assert rank(name, head, shuffled) == found
    assert decide(found) == decide(rank(name, head, manifests[::-1]))
    keys = [(each.declared, each.soft) for each in found.candidates]
    assert keys == sorted(keys, reverse=True)
    assert not (found.candidates and found.near)
    assert len({each.plugin for each in found.candidates}) == len(found.candidates)
    if (chosen := decide(found).plugin) is not None:
        assert chosen == found.candidates[0].plugin


@settings(deadline=None, max_examples=50)
@given(name=NAMES, heads=st.lists(HEADS, min_size=1, max_size=2), swaps=st.lists(st.lists(OWN, max_size=4), max_size=4))
def test_what_is_remembered_of_a_source_changes_nothing(name: str, heads: list[bytes], swaps: list[Any]) -> None:
    """Whatever plugins come and go between, and whether its first bytes are others by then."""
    memory = Memory()
    for number, own in enumerate(swaps):
        manifests = {each.name: each for each in [*SHIPPED_MANIFESTS, *own]}
        head = heads[number % len(heads)]
        assert decide(rank(name, head, manifests, memory)) == decide(rank(name, head, manifests))


@settings(deadline=None, max_examples=50)
@given(name=NAMES, head=HEADS, own=st.lists(OWN, min_size=1, max_size=5))
def test_what_serves_stays_unless_another_is_better_by_its_criteria(
    name: str, head: bytes, own: list[Manifest]
) -> None:
    found = rank(name, head, named_once(own))
    for each in found.candidates:
        chosen = decide(found, each.plugin).plugin
        better = [other for other in found.candidates if other.declared > each.declared]
        assert (chosen == each.plugin) == (not better)


@given(data=st.one_of(HEADS, st.binary(max_size=20).map(lambda part: b"\0" * 500 + part)))
def test_a_head_has_lines_of_its_own_bytes_and_no_more_than_are_compared(data: bytes) -> None:
    head = Head(data)
    assert data.endswith(head.data)
    assert len(head.lines) <= MOST_LINES
    assert all(line in data and line.strip() for line in head.lines)
    assert len({line[:1] in b" \t" for line in head.lines}) <= 1, "either all are indented, or none is"
    assert Head(b"\xef\xbb\xbf" + head.data).data in (head.data, head.data.removeprefix(b"\xef\xbb\xbf"))


def test_text_of_any_encoding_is_text_and_a_hole_makes_it_no_binary() -> None:
    for text in ("ünïcode ← 漢字\r\n\t\x1b[1mbold\x1b[0m\n", "plain"):
        for encoding in ("utf-8", "gbk", "shift_jis", "cp1252"):
            assert not is_binary(text.encode(encoding, "replace"))
    assert not is_binary(b"half\n" + bytes(4096) + b"more\n")
    assert is_binary("plain".encode("utf-16-le"))
    assert is_binary(b"ElfFile\0\0\0\0\1\2")
    assert not is_binary(b"")


def grades(*manifests: Manifest, name: str = "a.log", head: bytes = b"") -> dict[str, str]:
    """Return the grade of every candidate."""
    return {each.plugin: each.grade.name for each in rank(name, head, manifests).candidates}


def test_a_line_that_most_lines_have_wins_over_a_special_one_that_few_have() -> None:
    """One message of a load balancer in a log of many programs does not make it the log of a load balancer."""
    shipped = {each.name: each for each in SHIPPED_MANIFESTS}
    one = b"May 17 10:05:03 web haproxy[7]: 192.0.2.7:51 [17/May/2024:10:05:03.120] a b/c 0/0/1/2/3 200 5 - -\n"
    many = b"May 17 10:05:03 web sshd[77]: Accepted publickey for dana\n" * 20
    found = rank("syslog", one + many, shipped.values())
    assert found.candidates[0].plugin == "syslog"
    haproxy = next(each for each in found.candidates if each.plugin == "haproxy")
    assert haproxy.grade is Grade.RARELY
    assert haproxy.reasons[-2] == "too few lines for a better rank"
    assert rank("syslog", one * 20 + many, shipped.values()).candidates[0].plugin == "haproxy"


def test_lines_that_follow_the_start_of_a_record_count_as_its_own() -> None:
    """A trace of sixty lines is one record, and no sign of another format."""
    framing = {"kind": "multiline", "start": r"\d+ "}
    traces = manifest("traces", accepts={"lines": r"^\d+ ERROR"}, framing=framing)
    rest: dict[str, Any] = {"names": ["*.log"], "fallback": True}
    head = b"7 ERROR x\n" + b"Caused by\n" * 40
    assert grades(traces, manifest("rest", accepts=rest), head=head) == {"traces": "CRITERIA", "rest": "FALLBACK"}
    middle = b"words\n" * 30 + b"7 ERROR x\n" + b"words\n" * 15
    assert grades(traces, manifest("rest", accepts=rest), head=middle) == {"traces": "RARELY", "rest": "FALLBACK"}


def test_what_must_not_be_found_keeps_a_plugin_from_a_source_also_by_its_samples() -> None:
    accepts = {"head": r"\A<", "unless": r"\A<(?i:html)[\s>]"}
    one = manifest("one", accepts=accepts, samples=[{"input": '<html at="7" b="8">\n', "records": []}])
    assert grades(one, head=b'<hypertext at="7">\n') == {"one": "CRITERIA"}
    assert grades(one, head=b'<HTML at="7" b="8">\n') == {}
    (near,) = rank("a.log", b'<HTML at="7">\n', [one]).near
    assert (near.plugin, near.missing) == ("one", "its unless does not fit")


def test_a_table_is_known_by_its_columns_where_no_name_says_so() -> None:
    csv = next(each for each in SHIPPED_MANIFESTS if each.name == "csv")
    table = b'id,name,price\n1,tea,2.5\n2,"cake, big",4\n3,jam,3\n'
    assert grades(csv, name="export.dat", head=table) == {"csv": "SAMPLES"}
    assert grades(csv, name="export.dat", head=table.partition(b"\n")[2] * 2) == {}, "its first line must be titles"
    assert grades(csv, name="export.dat", head=b"so, then, what\nis, it\nno idea\n") == {}
