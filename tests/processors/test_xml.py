"""The processor `xml`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processors.support import parse, records

DOCUMENT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<log at="7">\n<!-- <e> -->\n<e n="a>b"><m/>text</e>\n<e><e>1</e></e>'
    "<f><![CDATA[</f>]]></f>\n<?pi <e>?>\n</log>\n"
)


def found(document: str, **circumstances: Any) -> list[dict[str, Any]]:
    return records("xml", document, **circumstances)


def test_elements_below_the_root_are_records_and_so_is_a_root_with_attributes() -> None:
    assert found(DOCUMENT) == [
        {"element": "log", "at": "7"},
        {"element": "e", "n": "a>b", "m": "", "text": "text"},
        {"element": "e", "e": "1"},
        {"element": "f", "text": "</f>"},
    ]


@given(
    cuts=st.lists(st.integers(1, len(DOCUMENT) - 1), max_size=8),
    reopen=st.booleans(),
    skipped=st.sampled_from([0, DOCUMENT.index("\n") + 1]),
)
def test_a_document_is_the_same_wherever_it_is_cut(cuts: list[int], reopen: bool, skipped: int) -> None:
    data = DOCUMENT.encode()[skipped:]
    assert parse("xml", data, cuts=tuple(cuts), reopen=reopen) == parse("xml", data)


FRAGMENTS = '<e at="1"><n>1</n><n>2</n></e>\n<e at="2"><p/><q x="1"/></e>'


@pytest.mark.parametrize(
    ("document", "elements"),
    [
        ('<log at="7"><e n="1"/><e n="2"/></log>', ["log", "e", "e"]),
        ("<log><unit>s</unit><e><m>1</m></e><!-- c --><e><m>2</m></e><f/></log>", ["unit", "e", "e", "f"]),
        ('<log date="2024-05-17"><e n="1"/><e n="2"/></log><log><f/></log>', ["log", "e", "e", "f"]),
        (FRAGMENTS, ["e", "e"]),
        ("<e/><log><e n='1'/><e n='2'/></log>", ["e", "log"]),
        ("<e><level>3</level><arg n='1'/><arg n='2'/></e><e/>", ["e", "e"]),
        ('<e time="1"><arg n="1"/><arg n="2"/></e><e/>', ["e", "e"]),
        ("<e><a><arg n='1'/><arg n='2'/></a><b/></e><e/>", ["e", "e"]),
    ],
)
def test_a_root_is_known_without_a_declaration_by_neighbours_of_one_name(document: str, elements: list[str]) -> None:
    outcome = parse("xml", document.encode(), cuts=tuple(range(1, len(document))))
    assert outcome.rejected == []
    assert [one["element"] for one in outcome.records] == elements
    assert outcome == parse("xml", document.encode())


def test_a_root_without_a_declaration_is_read_as_it_grows() -> None:
    document = b"<log>" + b"<e><m>%s</m></e>" % (b"x" * 1000) * 10_000
    outcome = parse("xml", document, cuts=tuple(range(1 << 18, len(document), 1 << 18)))
    assert (len(outcome.records), outcome.rejected) == (10_000, [])


def test_the_option_record_asks_for_no_root() -> None:
    document = '<log><e n="1"/><e n="2"/><f><e n="3"/></f></log>'
    assert [one["n"] for one in found(document, options={"record": "e"})] == ["1", "2", "3"]


def test_the_option_record_names_the_elements_that_are_records() -> None:
    document = '<?xml version="1.0"?><rss><channel at="1"><title>x</title><item><a>1</a></item><item/></channel></rss>'
    assert found(document, options={"record": "item"}) == [{"element": "item", "a": "1"}, {"element": "item"}]


def test_documents_that_follow_each_other_are_read_on() -> None:
    assert [
        one["n"] for one in found('<?xml version="1.0"?><a><e n="1"/></a><?xml version="1.0"?><a><e n="2"/></a>')
    ] == [
        "1",
        "2",
    ]


def test_normal_forms_take_the_place_of_what_they_are_made_of() -> None:
    one, two = found(
        '<e time="2024-05-17 12:05:03+02:00" severity="warn"><msg>said</msg><body>b</body></e><e time="1"/>'
    )
    assert one == {
        "element": "e",
        "timestamp": "2024-05-17T10:05:03Z",
        "severity_text": "warn",
        "severity_number": 13,
        "body": ["said", "b"],
    }
    assert two == {"element": "e", "time": "1"}


def test_the_encoding_is_that_of_the_declaration() -> None:
    document = '<?xml version="1.0" encoding="ISO-8859-1"?><a><e>caf\xe9</e></a>'.encode("latin-1")
    assert parse("xml", document).records == [{"element": "e", "text": "caf\xe9"}]
    unknown = b'<?xml version="1.0" encoding="idna"?><a><e/></a>'
    assert parse("xml", unknown).rejected == [
        (b"<e/>", "not XML that is safe to read: its encoding idna is not one that is read")
    ]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("entity", ["b", "x"])
def test_entities_are_never_declared(entity: str) -> None:
    outcome = parse("xml", f"{BOMB}<a><e>&{entity};</e><e/></a>".encode())
    assert outcome.records == [{"element": "e"}]
    assert outcome.rejected == [
        (BOMB.encode(), "declares entities or elements, which are not read"),
        (f"<e>&{entity};</e>".encode(), "not XML that is safe to read: undefined entity: line 1, column 3"),
    ]


@pytest.mark.parametrize(
    ("document", "rejected"),
    [
        ("<a/>text<b/>", [("text", "text outside of a record")]),
        ("<a/>< <b/>", [("<", "a < that begins no markup")]),
        ("</x><a/><b/>", [("</x>", "closes what is not open")]),
        ("<a/><b/><![CDATA[x]]>", [("<![CDATA[x]]>", "text outside of a record")]),
        ("<a/><b/><c><d>", [("<c><d>", "the source ends inside this record, after 6 bytes of it")]),
        ("<a/><b/><!-- c", [("<!-- c", "the source ends inside this record, after 6 bytes of it")]),
        (
            "<a/><b/><c d d='1'/>",
            [("<c d d='1'/>", "not XML that is safe to read: not well-formed (invalid token): line 1, column 5")],
        ),
        ("<a/><b/><c><d></c>", [("<c><d></c>", "not XML that is safe to read: mismatched tag: line 1, column 8")]),
        ("<a/><b/><c <d/>", [("<", "a < that begins no markup"), ("c ", "text outside of a record")]),
    ],
)
def test_what_is_no_record_is_rejected_alone(document: str, rejected: list[tuple[str, str]]) -> None:
    outcome = parse("xml", document.encode())
    assert [(raw.decode(), reason) for raw, reason in outcome.rejected] == rejected
    assert [one["element"] for one in outcome.records if one["element"] in "ab"] == ["a", "b"]


def test_a_root_that_is_no_xml_is_rejected_as_it_is_written() -> None:
    outcome = parse("xml", b'<?xml version="1.0"?><a b c="1"><e/></a>')
    assert outcome.records == [{"element": "e"}]
    assert outcome.rejected == [
        (b'<a b c="1">', "not XML that is safe to read: not well-formed (invalid token): line 1, column 5")
    ]


def test_an_element_without_an_end_costs_no_more_than_what_its_root_holds() -> None:
    document = '<?xml version="1.0"?><a><e><m>torn<e/></a><?xml version="1.0"?><a><e n="2"/></a>'
    outcome = parse("xml", document.encode())
    assert outcome.records == [{"element": "e", "n": "2"}]
    assert outcome.rejected == [(b"<e><m>torn<e/>", "an element without an end before </a>")]


def test_what_is_nested_too_deeply_is_rejected_or_ends_the_stream() -> None:
    deep = b"<a/>" + b"<b>" * 101 + b"</b>" * 101 + b"<c/>"
    outcome = parse("xml", deep)
    assert [one["element"] for one in outcome.records] == ["a", "c"]
    assert outcome.rejected[0][1] == "not XML that is safe to read: nested over 100 deep"
    with pytest.raises(ValueError, match="nested over 1000 deep: the document is damaged here"):
        parse("xml", b"<b>" * 1001)


def test_an_element_that_is_too_large_says_what_to_do() -> None:
    large = b"<a><b>" + b"x" * (9 << 20)
    with pytest.raises(
        ValueError, match="an element of over 8 MiB: set the option record to the name of a smaller one"
    ):
        parse("xml", large + b"</b></a>", cuts=(len(large),))


def test_a_document_larger_than_that_is_read_as_it_comes() -> None:
    document = b'<?xml version="1.0"?><a>' + b"<e>%s</e>" % (b"x" * 1000) * 10_000 + b"</a>"
    outcome = parse("xml", document, cuts=tuple(range(1 << 18, len(document), 1 << 18)))
    assert (len(outcome.records), outcome.rejected) == (10_000, [])
