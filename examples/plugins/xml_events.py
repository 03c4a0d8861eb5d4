# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "xml_events"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "XML documents of repeated <event> elements, such as Windows events exported as XML."
# accepts = { names = ["*.xml"] }
# framing = "whole"
#
# [[tool.hostd.samples]]
# input = '''
# <?xml version="1.0"?>
# <Events>
#   <Event xmlns="urn:example:events">
#     <System><Provider Name="disk"/><EventID>7</EventID></System>
#     <EventData><Data Name="Disk">sda</Data><Data>bad</Data></EventData>
#   </Event>
#   <event time="2024-05-17T10:05:03Z">restarted</event>
# </Events>
# '''
# records = [
#   { System = { Provider = { Name = "disk" }, EventID = "7" }, EventData = { Disk = "sda", Data = "bad" } },
#   { time = "2024-05-17T10:05:03Z", text = "restarted" },
# ]
#
# [[tool.hostd.samples]]
# input = '<!DOCTYPE e [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><events><event>&b;</event></events>'
# rejected = 1
# records = []
# ///
"""XML 1.0 documents: every `<event>` element, in any namespace and with any capitals, is a record.

Attributes and children become fields, a repeated one a list, and `<Data Name="x">` the field `x`, as Windows
means it. A document that declares a DOCTYPE is rejected: without one there are no entities, so none can
expand without end or read a file.
"""

from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from contract import Context, JsonValue, Record


class XmlEventsProcessor:
    def parse(self, data: bytes, ctx: Context) -> list[Record]:
        try:
            root = _tree(data)
            return [_fields(element) for element in root.iter() if _name(element).lower() == "event"]
        except (expat.ExpatError, ValueError) as error:
            ctx.reject(data, f"not XML that is safe to read: {error}")
        except RecursionError:
            ctx.reject(data, "nested too deeply")
        return []


def _tree(document: bytes) -> Element:
    # xml.etree's own parser hides expat, and with it the one handler that matters here.
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(document, True)  # noqa: FBT003 - expat takes it by position only
    root: Element = builder.close()
    return root


def _refuse_doctype(name: str, system_id: str | None, public_id: str | None, has_subset: bool) -> NoReturn:  # noqa: FBT001
    raise ValueError(f"it declares a DOCTYPE {name}")


def _fields(element: Element) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {}
    for name, value in element.attrib.items():
        _add(fields, name.rpartition(" ")[2], value)
    for child in element:
        if _name(child) == "Data" and "Name" in child.attrib:
            _add(fields, child.attrib["Name"], _text(child))
        else:
            _add(fields, _name(child), _value(child))
    if text := _text(element):
        _add(fields, "text", text)
    return fields


def _value(element: Element) -> JsonValue:
    return _fields(element) if len(element) or element.attrib else _text(element)


def _add(fields: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    known = fields.get(name)
    if name not in fields:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def _name(element: Element) -> str:
    return str(element.tag).rpartition(" ")[2]


def _text(element: Element) -> str:
    """Return the element's own text, without the space that only indents its children."""
    pieces = (element.text, *(child.tail for child in element))
    return " ".join(text for piece in pieces if piece and (text := piece.strip()))


def new_processor() -> XmlEventsProcessor:
    return XmlEventsProcessor()
