"""The processor `xml_log`."""

import pytest

from tests.processors.support import MODULES, parse, record, records

WINDOWS = """\
<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider Name="disk"/><EventID>7</EventID>
<Level>{level}</Level><TimeCreated SystemTime="2024-05-17T10:05:03.9735Z"/></System>
<EventData><Data Name="a">1</Data><Data>x</Data><Data>y</Data></EventData></Event>"""
LOG4J = (
    '<log4j:event logger="a.B" timestamp="1715940303143" level="WARN" thread="t">'
    "<log4j:message>{}</log4j:message></log4j:event>"
)


@pytest.mark.parametrize(
    ("level", "text", "number"), [(1, "Critical", 21), (2, "Error", 17), (4, "Information", 9), (0, "LogAlways", 9)]
)
def test_windows_levels_are_severities(level: int, text: str, number: int) -> None:
    one = record("xml_log", WINDOWS.format(level=level))
    assert (one["timestamp"], one["severity_text"], one["severity_number"]) == (
        "2024-05-17T10:05:03.9735Z",
        text,
        number,
    )
    assert one["event_data"] == {"a": "1", "Data": ["x", "y"]}


def test_the_root_around_the_events_is_no_part_of_them() -> None:
    document = f'<?xml version="1.0"?>\n<Events>\n{WINDOWS.format(level=4)}\n{WINDOWS.format(level=2)}\n</Events>\n'
    assert [one["severity_number"] for one in records("xml_log", document)] == [9, 17]


def test_fragments_of_log4j_need_no_root_and_no_namespace() -> None:
    found = records("xml_log", LOG4J.format("<![CDATA[a <b> ]]>]]&gt;<![CDATA[ c]]>"), "", LOG4J.format("d"))
    assert [one["body"] for one in found] == ["a <b> ]]> c", "d"]
    assert found[0]["timestamp"] == "2024-05-17T10:05:03.143Z"


BOMB = '<!DOCTYPE e [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            f"<Event >{BOMB}&c;</Event>",
            "not XML that is safe to read: not well-formed (invalid token): line 1, column 10",
        ),
        (LOG4J.format("&xxe;"), "not XML that is safe to read: undefined entity: line 1, column 91"),
        ("<Event >" + "<a>" * 200 + "</a>" * 200 + "</Event>", "nested over 100 deep"),
        ("<Event >no end", "the event has no end"),
        ("<Event ><a></Event>", "not XML that is safe to read: mismatched tag: line 1, column 13"),
    ],
)
def test_what_is_not_safe_or_not_xml_is_rejected_alone(event: str, reason: str) -> None:
    outcome = parse("xml_log", f"{LOG4J.format('a')}\n{event}\n{LOG4J.format('b')}\n".encode())
    assert [one["body"] for one in outcome.records] == ["a", "b"]
    assert outcome.rejected == [(f"{event}\n".encode(), f"ValueError: {reason}")]


@pytest.mark.parametrize("declaration", [BOMB, '<!DOCTYPE x SYSTEM "file:///etc/passwd">'])
def test_a_declaration_before_the_event_declares_no_entity(declaration: str) -> None:
    outcome = parse("xml_log", f"{declaration}\n{LOG4J.format('&c;')}\n".encode())
    assert outcome.records == []
    assert all("undefined entity" in reason or "has no end" in reason for _, reason in outcome.rejected)


def test_a_document_is_refused_at_its_doctype() -> None:
    tree = MODULES["xml_log"][1]._tree
    for document in (f"{BOMB}<e>&c;</e>", '<!DOCTYPE e SYSTEM "file:///etc/passwd"><e/>'):
        with pytest.raises(ValueError, match="not XML that is safe to read: it declares a DOCTYPE e"):
            tree(document)
