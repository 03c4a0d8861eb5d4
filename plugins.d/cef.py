# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "cef"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "ArcSight's CEF and QRadar's LEEF, with or without a syslog header."
# accepts = { lines = '(^|[ \t])(CEF: ?\d+|LEEF:[12]\.0)\|[^|\n]*\|[^|\n]*\|', priority = -10 }
# framing = "lines"
#
# [[tool.hostd.samples]]
# name = "cef.log"
# input = '''
# May 17 10:05:03 gw CEF:0|Acme|Wall\|Fire|9.4|201|Blocked|8|src=192.0.2.7 spt=65020 msg=two words\=2 rt=1715940303000
# LEEF:2.0|Acme|Wall|1.0|login|^|usrName=dana^sev=5^src=::1
# CEF:0|Acme|short
# '''
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.000Z", "severity_text": "8", "severity_number": 17, "format": "CEF:0",
#    "vendor": "Acme", "product": "Wall|Fire", "product_version": "9.4", "event_id": "201", "body":
#    "Blocked", "header": "May 17 10:05:03 gw", "extension": {"src": "192.0.2.7", "spt": "65020",
#    "msg": "two words=2", "rt": "1715940303000"}}''',
#   '''{"severity_text": "5", "severity_number": 13, "format": "LEEF:2.0", "vendor": "Acme", "product": "Wall",
#    "product_version": "1.0", "event_id": "login", "body": "login", "extension": {"usrName": "dana", "sev":
#    "5", "src": "::1"}}''',
# ]
# rejected = 1
# ///
r"""Common Event Format (CEF 0 and 1) and Log Event Extended Format (LEEF 1.0 and 2.0).

Keys: `timestamp` where `rt`, `end`, `start` or `devTime` counts milliseconds, `severity_text`, `severity_number`,
`body` (the name of the event), `format`, `vendor`, `product`, `product_version`, `event_id`, `header` (what was
before `CEF:`), and `extension`: its keys and values as text.
"""

import re

from contract import JsonValue, Processor, Record, each_line, from_epoch

_FIELD = r"([^|\\]*+(?:\\.[^|\\]*+)*)"
_CEF = re.compile(r"(\d+)\|" + (_FIELD + r"\|") * 6 + "(.*)", re.ASCII | re.DOTALL)
_LEEF = re.compile(r"([12]\.0)\|([^|]*\|[^|]*\|[^|]*\|[^|]*)\|(.*)", re.ASCII | re.DOTALL)
_KEY = re.compile(r"(?:^|\s)([\w.\[\]-]+)=", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORDS = {"unknown": 9, "low": 9, "medium": 13, "high": 17, "very-high": 21}
_DELIMITER = re.compile(r"(?:0?x([0-9a-fA-F]{2}))|(.)", re.DOTALL)


def parse(line: str) -> Record | None:
    header, name, rest = line.partition("LEEF:")
    if name and (leef := _LEEF.fullmatch(rest)):
        return _leef(header.rstrip(), *leef.groups())
    header, name, rest = line.partition("CEF:")
    # Some send what follows `CEF:` alone.
    found = _CEF.fullmatch(rest.removeprefix(" ") if name else line)
    if found is None:
        raise ValueError("neither CEF:VERSION| with seven fields nor LEEF:VERSION| with five")
    version, *fields, extension = found.groups()
    header = header.rstrip() if name else ""
    vendor, product, product_version, event, name, severity = (_unescaped(field) for field in fields)
    return _record(
        header, f"CEF:{version}", (vendor, product, product_version, event, name), severity, _pairs(extension)
    )


def _leef(header: str, version: str, fields: str, rest: str) -> Record:
    vendor, product, product_version, event = fields.split("|")
    delimiter = "\t"
    if version == "2.0" and (given := rest.partition("|"))[1] and len(given[0]) <= 4:
        found, rest = _DELIMITER.fullmatch(given[0]), given[2]
        if found is not None:
            delimiter = chr(int(found[1], 16)) if found[1] else found[2]
    extension: dict[str, JsonValue] = {}
    for pair in rest.split(delimiter):
        key, equals, value = pair.partition("=")
        if equals:
            extension[key.strip()] = value
    severity = str(extension.get("sev", ""))
    return _record(header, f"LEEF:{version}", (vendor, product, product_version, event, event), severity, extension)


def _pairs(text: str) -> dict[str, JsonValue]:
    keys = list(_KEY.finditer(text))
    ends = [key.start() for key in keys[1:]] + [len(text)]
    return {key[1]: _unescaped(text[key.end() : end].rstrip()) for key, end in zip(keys, ends, strict=False)}


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text)


def _record(
    header: str, kind: str, about: tuple[str, str, str, str, str], severity: str, extension: dict[str, JsonValue]
) -> Record:
    record: dict[str, JsonValue] = {}
    for name in ("rt", "end", "start", "devTime"):
        value = str(extension.get(name, ""))
        if value.isdecimal() and 12 <= len(value) <= 14:
            record["timestamp"] = from_epoch(value, 1000)
            break
    if severity:
        record |= {"severity_text": severity, "severity_number": _number(severity)}
    names = ("vendor", "product", "product_version", "event_id", "body")
    record |= {"format": kind, **dict(zip(names, about, strict=True))}
    return {**record, **({"header": header} if header else {}), "extension": extension}


def _number(severity: str) -> int | None:
    """Return the number of a severity from 0 to 10, in CEF's own bands, or of its word."""
    if severity.isdecimal() and len(severity) <= 2:
        return next((number for least, number in ((9, 21), (7, 17), (4, 13)) if int(severity) >= least), 9)
    return _WORDS.get(severity.lower())


def new_processor() -> Processor:
    return each_line(parse)
