# /// script
# requires-python = ">=3.11"
# dependencies = ["msgspec"]
#
# [tool.hostd]
# name = "json_lines"
# version = "1.1.0"
# contract = ">=1.0,<2"
# summary = "JSON Lines: one JSON object per line."
# framing = "lines"
#
# # A brace alone on the first line begins a document that is spread over lines, which is another format.
# [tool.hostd.accepts]
# lines = '^[ \t]*\{[ \t]*["}]'
# media_types = ["application/x-ndjson", "application/jsonl"]
# priority = -10
#
# [[tool.hostd.samples]]
# input = '''
# {"timestamp": "2024-05-17T10:05:03Z", "level": "info", "took_s": 0.25, "tags": ["a", "b"]}
# {"timestamp": "2024-05-17T10:05:04Z", "level": "in
# ["not", "an", "object"]
# {"emoji": "\ud83e\udd25", "half of one": "\ud83e"}
# '''
# rejected = 2
# records = [
#   { timestamp = "2024-05-17T10:05:03Z", level = "info", took_s = 0.25, tags = ["a", "b"] },
#   { emoji = "🤥", "half of one" = "�" },
# ]
# ///
r"""JSON Lines (jsonlines.org), also known as NDJSON: one JSON object (RFC 8259) per line, in UTF-8.

Keys: those of each object. A line that is not one is rejected alone. Half a surrogate pair, such as "\ud83e" on its
own, is no character and cannot be written as UTF-8: it becomes U+FFFD. Other lines are stored as they are written, a
number of any size too, and a key that comes twice.
"""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from contract import Context, JsonLines, Record, decode_json

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_LINES_IN_A_PIECE = 32


class JsonLinesProcessor:
    """Looks through a batch in C; where that fails, piece by piece; there, line by line, to say what is wrong."""

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record | JsonLines]:
        records = _at_once(data)
        return records if records is not None else self._pieces(data.split(b"\n"), ctx)

    def _pieces(self, lines: list[bytes], ctx: Context) -> Iterator[Record | JsonLines]:
        for start in range(0, len(lines), _LINES_IN_A_PIECE):
            piece = lines[start : start + _LINES_IN_A_PIECE]
            records = _at_once(b"\n".join(piece))
            if isinstance(records, JsonLines):
                yield records
            else:
                yield from records if records is not None else self._line_by_line(piece, ctx)

    def _line_by_line(self, lines: list[bytes], ctx: Context) -> Iterator[Record | JsonLines]:
        for raw in lines:
            if not raw:
                continue
            try:
                line = raw.decode().strip("\ufeff \t\r")
                if not line:
                    continue
                if (as_it_is := _as_it_is(line.encode())) is not None:
                    yield as_it_is
                    continue
                record, end = decode_json(line)
                if end != len(line):
                    ctx.reject(raw, f"not one JSON value: column {end + 1} begins something else")
                elif type(record) is not dict:
                    ctx.reject(raw, f"a JSON {_JSON_NAMES[type(record)]}, where an object is expected")
                else:
                    yield record
            except UnicodeDecodeError as error:
                ctx.reject(raw, f"not UTF-8 at byte {error.start + 1}")
            except json.JSONDecodeError as error:
                ctx.reject(raw, f"not JSON: {error.msg} at column {error.colno}")
            except ValueError as error:
                ctx.reject(raw, f"not JSON: {error}")
            except RecursionError:
                ctx.reject(raw, "nested too deeply")


def _as_it_is(data: bytes) -> JsonLines | None:
    """Return lines that are records already, None when there is a line that is not just an object."""
    try:
        return JsonLines(data)
    except ValueError:
        return None


def _at_once(data: bytes) -> JsonLines | list[dict[str, Any]] | None:
    """Return the object of each line, None when there is a line that is not just that."""
    if b"\r" in data:  # which no string holds
        data = data.replace(b"\r\n", b"\n")
    records = _as_it_is(data)
    if records is not None or data.startswith(b'{"') or b'\n{"' in data:  # such a line is stored as it is written
        return records
    try:
        return list(map(_decode, io.BytesIO(data).readlines()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_JSON_NAMES = {
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def new_processor() -> JsonLinesProcessor:
    return JsonLinesProcessor()
