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
# head = '\A(\xef\xbb\xbf)?\s*\{[ \t]*[^\s]'
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

A line that is not one is rejected alone. Half a surrogate pair, such as "\ud83e" on its own, is no character
and cannot be written as UTF-8: it becomes U+FFFD.
"""

import json
import math
from collections.abc import Iterable
from typing import NoReturn

from contract import Context, JsonValue, Record


class JsonLinesProcessor:
    def __init__(self) -> None:
        decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
        # json.loads() would look for these hooks, and for the encoding, once per line.
        self._decode = decoder.raw_decode

    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        decode = self._decode
        for raw in data.split(b"\n"):
            if not raw:
                continue
            try:
                line = raw.decode().strip("\ufeff \t\r")
                if not line:
                    continue
                record, end = decode(line)
                if end != len(line):
                    ctx.reject(raw, f"not one JSON value: column {end + 1} begins something else")
                elif type(record) is not dict:
                    ctx.reject(raw, f"a JSON {_JSON_NAMES[type(record)]}, where an object is expected")
                else:
                    yield _with_whole_characters(record) if "\\ud" in line or "\\uD" in line else record
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is Python's, not JSON's")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is out of range")
    return value


def _with_whole_characters(record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {_whole(name): _whole_value(value) for name, value in record.items()}


def _whole_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, list):
        return [_whole_value(item) for item in value]
    if isinstance(value, dict):
        return _with_whole_characters(value)
    return value


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def new_processor() -> JsonLinesProcessor:
    return JsonLinesProcessor()
