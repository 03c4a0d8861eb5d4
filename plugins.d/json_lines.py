# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "json_lines"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "JSON Lines: one JSON object per line."
# framing = "lines"
#
# # A brace alone on the first line begins a document that is spread over lines, which is another format.
# [tool.hostd.accepts]
# lines = '^[ \t]*\{[ \t]*["}]'
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
own, is no character and cannot be written as UTF-8: it becomes U+FFFD.
"""

import json
from collections.abc import Iterable

from contract import Context, Record, decode_json


class JsonLinesProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        for raw in data.split(b"\n"):
            if not raw:
                continue
            try:
                line = raw.decode().strip("\ufeff \t\r")
                if not line:
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
