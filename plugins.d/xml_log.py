# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "xml_log"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Windows events as XML, and log4j's XMLLayout, with or without a root element."
# framing = { kind = "multiline", start = '[ \t]*<(log4j:event|Event)[ >]' }
# header = '([ \t]*(<\?|<!--|<Events|<log4j:eventSet)|\xef\xbb\xbf<\?|\r?$)'
#
# [tool.hostd.accepts]
# head = """^[ \\t]*<(log4j:event |Event xmlns=["']http://schemas\\.microsoft\\.com/win/2004/08/events/event["'])"""
# priority = -15
#
# [[tool.hostd.samples]]
# name = "log4j.xml"
# input = '''
# <log4j:event logger="a.B" timestamp="1715940303143" level="ERROR" thread="main">
# <log4j:message><![CDATA[no <disk>]]></log4j:message>
# <log4j:throwable><![CDATA[a.E: no]]></log4j:throwable>
# <log4j:locationInfo class="a.B" method="c" file="B.java" line="7"/>
# <log4j:properties><log4j:data name="user" value="dana"/></log4j:properties>
# </log4j:event>
#
# <log4j:event logger="a.B" level="INFO"><log4j:message>&boom;</log4j:message></log4j:event>
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "ERROR", "severity_number": 17, "logger":
#    "a.B", "thread": "main", "body": "no <disk>", "exception": "a.E: no", "location": {"class": "a.B",
#    "method": "c", "file": "B.java", "line": "7"}, "properties": {"user": "dana"}}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "Security.xml"
# input = '''
# <?xml version="1.0"?>
# <Events>
# <Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event">
#   <System>
#     <Provider Name="disk"/><EventID>7</EventID><Level>2</Level>
#     <TimeCreated SystemTime="2024-05-17T10:05:03.973500Z"/>
#   </System>
#   <EventData><Data Name="Disk">sda</Data><Data>bad</Data></EventData>
#   <RenderingInfo Culture="en-US"><Message>A bad block</Message></RenderingInfo>
# </Event>
# </Events>
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.973500Z", "severity_text": "Error", "severity_number": 17, "body":
#    "A bad block", "system": {"Provider": {"Name": "disk"}, "EventID": "7", "Level": "2", "TimeCreated":
#    {"SystemTime": "2024-05-17T10:05:03.973500Z"}}, "event_data": {"Disk": "sda", "Data": "bad"}}''',
# ]
# ///
"""Events as XML: Windows' own, as Event Viewer and `wevtutil` export them, and those of log4j's XMLLayout.

Keys: `timestamp`, `severity_text`, `severity_number`, `body`; of Windows `system`, `event_data`, `user_data` with
the elements below, attributes and children as fields, `<Data Name="x">` as `x`; of log4j `logger`, `thread`, `ndc`,
`exception`, `location`, `properties`. A time of log4j that is no number stays as it is written, as `time`. An event
that declares a DOCTYPE is rejected: without one there are no entities, so none can expand without end or read a
file.
"""

import re
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from contract import Context, JsonValue, Processor, Record, each_record, from_epoch, severity_number, timestamps

_CLOSED = re.compile(r"(.*</(?:log4j:event|Event)>|[^<]*<(?:log4j:event|Event)[^<>]*/>)\s*(?:</[\w:]+>\s*)*", re.DOTALL)
_LEVELS = {"0": 9, "1": 21, "2": 17, "3": 13, "4": 9, "5": 5}
_LEVEL_NAMES = {"0": "LogAlways", "1": "Critical", "2": "Error", "3": "Warning", "4": "Information", "5": "Verbose"}
_MOST_DEPTH = 100


def parse(text: str, _: Context) -> Record:
    found = _CLOSED.fullmatch(text)
    if found is None:
        raise ValueError("the event has no end")
    try:
        event = _tree(found[1])
    except expat.ExpatError as error:
        raise ValueError(f"not XML that is safe to read: {error}") from error
    return _log4j(event) if event.tag == "log4j:event" else _windows(event)


def _tree(document: str) -> Element:
    # xml.etree's own parser hides expat, and with it the handlers that matter here.
    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise ValueError(f"nested over {_MOST_DEPTH} deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.Parse(document, True)  # noqa: FBT003 - expat takes it by position only
    root: Element = builder.close()
    return root


def _refuse_doctype(name: str, *_: object) -> NoReturn:
    raise ValueError(f"not XML that is safe to read: it declares a DOCTYPE {name}")


def _log4j(event: Element) -> Record:
    level = event.get("level", "")
    time = event.get("timestamp", "")
    record: dict[str, JsonValue] = {"timestamp": from_epoch(time, 1000)} if time.isdecimal() else {"time": time}
    record |= {"severity_text": level, "severity_number": severity_number(level)}
    record |= {name: event.get(name) for name in ("logger", "thread") if event.get(name) is not None}
    for child in event:
        name = child.tag.removeprefix("log4j:")
        if name == "locationInfo":
            record["location"] = dict(child.attrib)
        elif name == "properties":
            record["properties"] = {each.get("name", ""): each.get("value") for each in child}
        else:
            record[{"message": "body", "NDC": "ndc", "throwable": "exception"}.get(name, name)] = child.text or ""
    return record


def _windows(event: Element) -> Record:
    parts = {child.tag: child for child in event}
    record: dict[str, JsonValue] = {}
    system = _fields(parts["System"]) if "System" in parts else {}
    created = system.get("TimeCreated")
    if isinstance(created, dict) and (time := str(created.get("SystemTime", ""))):
        record["timestamp"] = timestamps("%Y-%m-%dT%H:%M:%S%z")[time.replace(" ", "T", 1).removesuffix(" UTC")]
    level = str(system.get("Level", "0"))
    record |= {"severity_text": _LEVEL_NAMES.get(level, level), "severity_number": _LEVELS.get(level)}
    message = parts["RenderingInfo"].findtext("Message") if "RenderingInfo" in parts else None
    if message is not None:
        record["body"] = message
    record["system"] = system
    for name, key in (("EventData", "event_data"), ("UserData", "user_data")):
        if name in parts:
            record[key] = _fields(parts[name])
    return record


def _fields(element: Element) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {}
    for name, value in element.attrib.items():
        if name != "xmlns":
            _add(fields, name, value)
    for child in element:
        if child.tag == "Data" and "Name" in child.attrib:
            _add(fields, child.attrib["Name"], child.text or "")
        else:
            _add(fields, child.tag, _value(child))
    return fields


def _value(element: Element) -> JsonValue:
    text = (element.text or "").strip()
    if not len(element) and not element.attrib.keys() - {"xmlns"}:
        return text
    return _fields(element) | ({"text": text} if text else {})


def _add(fields: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    known = fields.get(name)
    if name not in fields:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def new_processor() -> Processor:
    return each_record(parse)
