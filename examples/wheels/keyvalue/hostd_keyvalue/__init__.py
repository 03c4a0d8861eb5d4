"""Lines of key=value pairs, also known as logfmt (brandur.org/logfmt).

Values are strings; a key without `=` is true; a key that occurs again makes a list. A line that is anything
else is rejected alone.
"""

import re

from contract import JsonValue, Processor, Record, each_line

_PAIR = re.compile(r'\s*([^\s="]+)(?:=(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s"]*)))?(?=\s|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def parse(line: str) -> Record | None:
    """Parse one line. Raises ValueError with the column of what is not a pair."""
    fields: dict[str, JsonValue] = {}
    line = line.rstrip()
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        if pair is None:
            raise ValueError(f"no key=value pair at column {position + 1}: {line[position : position + 40]!r}")
        position = pair.end()
        key, quoted, bare = pair.groups()
        value = bare if quoted is None else _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted)
        _add(fields, key, True if value is None else value)
    return fields or None


def _add(fields: dict[str, JsonValue], key: str, value: JsonValue) -> None:
    known = fields.get(key)
    if key not in fields:
        fields[key] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[key] = [known, value]


def new_processor() -> Processor:
    return each_line(parse)
