# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "xml"
# version = "1.1.0"
# contract = ">=1.0,<2"
# summary = "XML in general: the elements below the root, or elements one after another, are the records."
# framing = "stream"
# limits = { snapshot_kib = 16384 }
#
# [tool.hostd.accepts]
# head = """\
#   \\A\\s*(<\\?xml[ \\t]|<!--|<!DOCTYPE\\s|\
#   <[A-Za-z_:\\x80-\\xff][\\w:.\\-\\x80-\\xff]*(\
#   (\\s+[^\\s<>/\\"'=]+\\s*=\\s*(\\"[^\\"<]*\\"|'[^'<]*'))+\\s*(/>\\s*|>[^<]*)(<[^\\s<>]|\\z)|\
#   \\s*/>\\s*(<[^\\s<>]|\\z)|\
#   \\s*>[^<]*</[^\\s<>]+\\s*>|\
#   \\s*>(\\s*|[^<\\s][^<]*)<([^\\s<>/\\"'=]+(\\s+[^\\s<>/\\"'=]+\\s*=\\s*(\\"[^\\"<]*\\"|'[^'<]*'))*\\s*/?>|!|\\?)\
#   [\\x00-\\xff]*?(</|/>)))\
# """
# unless = """\
#   \\A\\s*(<!--([^-]|-[^-]|--+[^->])*--+>\\s*)*<(?i:!DOCTYPE\\s+html|html|head|body|meta|title|link|base|script|style|\
#   div|span|p|br|hr|h[1-6]|img|ul|ol|center|font|pre)[\\s/>]\
# """
# priority = -18
#
# [[tool.hostd.samples]]
# name = "a.xml"
# input = '''
# <?xml version="1.0" encoding="UTF-8"?>
# <!DOCTYPE log SYSTEM "logger.dtd">
# <log>
# <!-- <record> -->
# <record seq="7">
#   <date>2024-05-17T12:05:03.143+02:00</date> <level>SEVERE</level> <id>7</id> <message>no &lt;disk&gt;</message>
#   <param>a</param><param n="2">b</param><![CDATA[</record>]]>
# </record>
# <record><message>&boom;</message></record>
# <empty/>
# </log>
# '''
# records = [
#   '''{"element": "record", "timestamp": "2024-05-17T10:05:03.143Z", "severity_text": "SEVERE", "severity_number": 17,
#    "body": "no <disk>", "seq": "7", "id": "7", "param": ["a", {"n": "2", "text": "b"}], "text": "</record>"}''',
#   '''{"element": "empty"}''',
# ]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "b.xml"
# input = '''
# <!-- fragments -->
# <entry at="1"><level>7</level></entry>
# <entry at="2">said</entry> nonsense
# '''
# records = [{ element = "entry", at = "1", level = "7" }, { element = "entry", at = "2", text = "said" }]
# rejected = 1
#
# [[tool.hostd.samples]]
# name = "c.xml"
# input = '''
# <meter>
#   <unit>kWh</unit>
#   <reading at="1"><value>7</value></reading>
#   <reading at="2"><value>8</value></reading>
# </meter>
# '''
# records = [
#   { element = "unit", text = "kWh" },
#   { element = "reading", at = "1", value = "7" },
#   { element = "reading", at = "2", value = "8" },
# ]
# ///
"""XML in general, read as it grows: no document need be whole, or fit into memory.

Of a document each element below the root is a record, and so is the root when it has attributes; of anything else each
element. A document begins with `<?xml` or a DOCTYPE, or with an element that has two neighbours of one name in it, the
first of which has attributes or elements, and before them no time, level or message of its own. The option `record`
names an element, and then those are the records, wherever they are, and nothing else is.

Keys: `element` (its name), its attributes and children (one that occurs again makes a list; below, one that has text
alone is that text), `text`; and in place of `timestamp`, `time` or `date`, of `level` or `severity`, and of `message`
or `msg`, where they hold such: `timestamp`, `severity_text` with `severity_number`, `body`. Entities are never declared
here, so none can expand without end or read a file: an element that uses one is rejected, and so are declarations.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pydantic import BaseModel, ConfigDict, Field

from contract import ByteStream, Context, JsonValue, Record, StreamProcessor, each_stream, severity_number, timestamps

_ATTRIBUTES: Final = rb"""(?:[^<>"'/]++|"[^"<]*+"|'[^'<]*+'|/(?!>))*"""
_TOKEN: Final = re.compile(
    rb"<(?:/(?P<closed>[^\s<>/]++)\s*+>"
    rb"|!--(?P<comment>.*?)-->|!\[CDATA\[(?P<cdata>.*?)\]\]>|\?(?P<instruction>.*?)\?>"
    rb"""|!DOCTYPE(?P<doctype>[^\[<>"']*+(?:"[^"]*+"[^\[<>"']*+|'[^']*+'[^\[<>"']*+)*)"""
    rb"""(?:\[(?P<subset>[^\]"']*+(?:"[^"]*+"[^\]"']*+|'[^']*+'[^\]"']*+)*)\]\s*+)?>"""
    rb"""|(?P<opened>[^\s<>/!?"'=][^\s<>/"'=]*+)(?P<attributes>""" + _ATTRIBUTES + rb")(?P<empty>/)?>)",
    re.DOTALL,
)
_PART_OF_TAG: Final = re.compile(
    rb"""<(?:/[^\s<>/]*+\s*+|[^\s<>/!?"'=][^\s<>/"'=]*+""" + _ATTRIBUTES + rb"""(?:/|"[^"<]*+|'[^'<]*+)?)?\Z"""
)
_LONG_TOKENS: Final = (b"<!--", b"<![CDATA[", b"<?", b"<!DOCTYPE")
_ENCODINGS: Final = re.compile(
    r"utf-?8|us-ascii|(iso-?8859|windows|cp|koi8|shift|euc|gb|big5)[\w-]*", re.ASCII | re.IGNORECASE
)
_ENCODING: Final = re.compile(rb"""\Axml\s[^?]*?encoding\s*=\s*["']([\w.-]{1,40})["']""")
_BOM: Final = b"\xef\xbb\xbf"
_MOST_BYTES: Final = 8 << 20
_MOST_DEPTH: Final = 100
_MOST_OPEN: Final = 1000
_TIME_NAMES: Final = ("timestamp", "time", "date")
_LEVEL_NAMES: Final = ("level", "severity")
_BODY_NAMES: Final = ("message", "msg")
_OF_A_RECORD: Final = frozenset(name.encode() for name in (*_TIME_NAMES, *_LEVEL_NAMES, *_BODY_NAMES))
_ATTRIBUTE_OF_A_RECORD: Final = re.compile(rb"\s(?:" + b"|".join(sorted(_OF_A_RECORD - {b"date"})) + rb")\s*+=")
"""A root may have the date of what it holds."""


class Options(BaseModel):
    """The operator's `[plugins.options.xml]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str | None = Field(
        default=None,
        min_length=1,
        description="The name of the elements that are records, with its prefix if any; else those below the root.",
    )


def _beginning() -> dict[str, Any]:
    return {
        "open": [],
        "in": [],
        "seen": 0,
        "document": False,
        "encoding": "utf-8",
        "bom": True,
        "deepest": 0,
        "asked": True,
        "child": ["", False],
    }


class XmlStream(ByteStream):
    """`kept`: the names of the elements that are `open` around records, and of those that we are `in` within one.

    `seen` says how far into what is not used yet the tokens were read, `document` whether there is a root, `encoding`
    what the declaration says, `bom` whether a byte order mark may come, and `deepest` how deep a record was nested.
    `asked` says whether the first element may still turn out to be a root, and `child` is the name of the last element
    in it, and whether that has attributes or elements.
    """

    def __init__(self, ctx: Context, state: bytes | None) -> None:
        super().__init__(ctx, state)
        self.kept = _beginning() | ({"asked": False} | self.kept if self.kept else {})
        name = ctx.options.record
        self._record: bytes | None = name.encode() if name is not None else None

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        position = self.kept["seen"]
        while True:
            start = data.find(b"<", position)
            if not self.kept["in"]:
                self._outside(data, len(data) if start < 0 else start)
            if start < 0:
                break
            found = _TOKEN.match(data, start)
            if found is None:
                if _may_become_whole(data, start):
                    break
                position = start + 1
                if not self.kept["in"]:
                    self._reject(data, position, "a < that begins no markup")
                continue
            if self.kept["asked"] and self._shows_a_root(found):
                # Nothing of it is used yet: it is read again, as what it is.
                self.kept |= {"document": True, "asked": False, "in": [], "deepest": 0}
                position = self.used
                continue
            position = found.end()
            record = self._token(data, found)
            if record is not None:
                yield record
        self.kept["seen"] = max(0, (len(data) if start < 0 else start) - self.used)
        if len(data) - self.used > _MOST_BYTES and not final:
            raise ValueError(
                f"an element of over {_MOST_BYTES >> 20} MiB: set the option record to the name of a smaller one"
            )
        if final:
            self.kept = _beginning()

    def _outside(self, data: bytes, end: int) -> None:
        """Use what is between records: white space in silence, text with a rejection once it is whole."""
        if end == self.used:
            return
        if self.kept["bom"] and (data.startswith(_BOM, self.used) or not _BOM.startswith(data[self.used :])):
            self.used += 3 if data.startswith(_BOM, self.used) else 0
            self.kept["bom"] = False
        self.used = end - len(data[self.used : end].lstrip(b" \t\r\n"))
        if self.used < end < len(data):
            self._between(data, end)

    def _between(self, data: bytes, end: int) -> None:
        if self._record is not None and self.kept["open"]:
            self.used = end  # of what the operator has not asked for
        else:
            self._reject(data, end, "text outside of a record")

    def _reject(self, data: bytes, end: int, reason: str) -> None:
        raw, self.used = data[self.used : end], end
        self.ctx.reject(raw, reason)

    def _shows_a_root(self, found: re.Match[bytes]) -> bool:
        """Tell whether a token in the first element shows that this is a root. Where it cannot be one, ask no more."""
        depth, name, attributes = len(self.kept["in"]), found["opened"], found["attributes"]
        if found["closed"] is not None:
            self.kept["asked"] = depth != 1
        elif name is None:
            return False
        elif depth == 0:
            is_one = self._record is not None or found["empty"] or _ATTRIBUTE_OF_A_RECORD.search(attributes)
            self.kept["asked"] = not (is_one or self.kept["document"])
        elif depth == 1:
            child = _text(name)
            if self.kept["child"] == [child, True]:
                return True
            self.kept["child"] = [child, attributes.strip() != b""]
            self.kept["asked"] = name not in _OF_A_RECORD
        elif depth == 2:
            self.kept["child"][1] = True
        return False

    def _token(self, data: bytes, found: re.Match[bytes]) -> Record | None:
        if self.kept["in"]:
            return self._inside(data, found)
        if found["opened"] is not None:
            return self._opened(data, found)
        end = found.end()
        if found["closed"] is not None:
            if self.kept["open"][-1:] != [_text(found["closed"])]:
                self._reject(data, end, "closes what is not open")
            else:
                self.kept["open"].pop()
        elif found["instruction"] is not None:
            self._declared(found["instruction"])
        elif found["doctype"] is not None:
            self.kept["document"] = True
            if found["subset"]:
                self._reject(data, end, "declares entities or elements, which are not read")
        elif found["cdata"] is not None:
            self._between(data, end)
        self.used = end
        return None

    def _declared(self, instruction: bytes) -> None:
        if instruction.startswith(b"xml") and not self.kept["open"]:
            self.kept["document"] = True
            encoding = _ENCODING.match(instruction)
            # UTF-16 has become UTF-8 on its way here.
            name = encoding[1].decode().lower() if encoding else "utf-8"
            self.kept["encoding"] = "utf-8" if name.startswith("utf-16") else name

    def _opened(self, data: bytes, found: re.Match[bytes]) -> Record | None:
        depth = len(self.kept["open"])
        is_record = found["opened"] == self._record if self._record is not None else depth or not self.kept["document"]
        if is_record:
            if not found["empty"]:
                self.kept["in"] = [_text(found["opened"])]
                return None
            return self._whole(data, found.end())
        raw, self.used = data[self.used : found.end()], found.end()
        if not found["empty"]:
            if depth >= _MOST_DEPTH:
                raise ValueError(f"nested over {_MOST_DEPTH} deep")
            self.kept["open"].append(_text(found["opened"]))
        if self._record is None and found["attributes"].strip():
            return self._parsed(raw, raw if found["empty"] else raw[:-1] + b"/>")
        return None

    def _inside(self, data: bytes, found: re.Match[bytes]) -> Record | None:
        names = self.kept["in"]
        if found["opened"] is not None and not found["empty"]:
            names.append(_text(found["opened"]))
            self.kept["deepest"] = max(self.kept["deepest"], len(names))
            if len(names) > _MOST_OPEN:
                raise ValueError(f"nested over {_MOST_OPEN} deep: the document is damaged here")
        elif found["closed"] is not None:
            name = _text(found["closed"])
            if name in names:  # mostly the last; else expat tells what is wrong
                del names[len(names) - 1 - names[::-1].index(name) :]
                return None if names else self._whole(data, found.end())
            if name in self.kept["open"]:
                self.kept["in"], self.kept["deepest"] = [], 0
                self._reject(data, found.start(), f"an element without an end before </{name}>")
                return self._token(data, found)
        return None

    def _whole(self, data: bytes, end: int) -> Record | None:
        raw, self.used = data[self.used : end], end
        deepest, self.kept["deepest"] = self.kept["deepest"], 0
        if deepest > _MOST_DEPTH:
            self.ctx.reject(raw, f"not XML that is safe to read: nested over {_MOST_DEPTH} deep")
            return None
        return self._parsed(raw, raw)

    def _parsed(self, raw: bytes, document: bytes) -> Record | None:
        try:
            element = _tree(_decoded(document, self.kept["encoding"]))
            return _normal(element.tag, _fields(element) | ({"text": text} if (text := _own_text(element)) else {}))
        except (expat.ExpatError, ValueError) as error:
            self.ctx.reject(raw, f"not XML that is safe to read: {error}")
            return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _may_become_whole(data: bytes, start: int) -> bool:
    """Tell whether what begins with `<`, and is no token, can become one when more follows."""
    begins = data[start : start + 9]
    if any(token.startswith(begins) or begins.startswith(token) for token in _LONG_TOKENS):
        return True
    return _PART_OF_TAG.match(data, start) is not None


def _decoded(raw: bytes, encoding: str) -> str:
    if not _ENCODINGS.fullmatch(encoding):
        raise ValueError(f"its encoding {encoding} is not one that is read")
    try:
        return raw.decode(encoding)
    except LookupError as error:
        raise ValueError(f"its encoding {encoding} is not known") from error


def _tree(document: str) -> Element:
    # xml.etree's own parser would want each prefix declared, which the root may have done.
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(document.encode(), True)  # noqa: FBT003 - expat takes it by position only
    root: Element = builder.close()
    return root


def _fields(element: Element) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {}
    for name, value in element.attrib.items():
        if name != "xmlns" and not name.startswith("xmlns:"):
            _add(fields, name, value)
    for child in element:
        _add(fields, child.tag, _value(child))
    return fields


def _value(element: Element) -> JsonValue:
    fields = _fields(element)
    text = _own_text(element)
    if not fields:
        return text
    return fields | ({"text": text} if text else {})


def _own_text(element: Element) -> str:
    """Return the text of an element and between its children, without the white space that lays it out."""
    parts = [element.text, *(child.tail for child in element)]
    return " ".join(stripped for part in parts if part and (stripped := part.strip()))


def _add(fields: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    known = fields.get(name)
    if name not in fields:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def _normal(name: str, fields: dict[str, Any]) -> Record:
    """Put what has a normal form in its place."""
    record: dict[str, JsonValue] = {"element": name}
    for time in _TIME_NAMES:
        if isinstance(fields.get(time), str) and (utc := _timestamp(fields[time])) is not None:
            del fields[time]
            record["timestamp"] = utc
            break
    for level in _LEVEL_NAMES:
        if isinstance(fields.get(level), str) and (number := severity_number(fields[level])) is not None:
            record |= {"severity_text": fields.pop(level), "severity_number": number}
            break
    for body in _BODY_NAMES:
        if isinstance(fields.get(body), str):
            record["body"] = fields.pop(body)
            break
    for key, value in fields.items():
        _add(record, key, value)
    return record


def _timestamp(text: str) -> str | None:
    try:
        return timestamps("%Y-%m-%dT%H:%M:%S%z")[text.replace(" ", "T", 1)]
    except ValueError:
        return None


def new_processor() -> StreamProcessor:
    return each_stream(XmlStream)
