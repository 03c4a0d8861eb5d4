# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "json_documents"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "JSON that is not one object a line: pretty-printed, concatenated, arrays of objects, CloudTrail's files."
# framing = "stream"
# limits = { snapshot_kib = 4096 }
#
# # A brace alone on its line begins an object that is spread over lines; with more on its line it is JSON Lines.
# [tool.hostd.accepts]
# head = '\A(\xef\xbb\xbf)?\s*(\[\s*\{|\{[ \t]*\r?\n|\{\s*"Records"\s*:\s*\[)'
# priority = -9
#
# [[tool.hostd.samples]]
# name = "pretty.json"
# input = '''
# {
#   "a": {"b": "}"}
# }{"c": 1}
# {
#   "d": NaN
# }
# [{"e": [1]}, 7, {"f": "\ud83e"}]
# '''
# records = [
#   '''{"a": {"b": "}"}}''',
#   '''{"c": 1}''',
#   '''{"e": [1]}''',
#   '''{"f": "�"}''',
# ]
# rejected = 2
#
# [[tool.hostd.samples]]
# name = "cloudtrail.json"
# input = '{"Records": [{"eventName": "Run"}, {"eventName": "Stop"}]}'
# records = [
#   '''{"eventName": "Run"}''',
#   '''{"eventName": "Stop"}''',
# ]
# ///
r"""JSON (RFC 8259) in UTF-8 that is not one object a line: objects spread over lines, one after another, or in
arrays.

Keys: each object's own; of an array, and of `{"Records": [...]}` as AWS CloudTrail writes it, each element is a
record. What is no object is rejected alone. Half a surrogate pair becomes U+FFFD. An object that never closes takes
what follows it.
"""

import json
import re
from collections.abc import Iterator

from contract import ByteStream, Record, StreamProcessor, decode_json, each_stream

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"|["{}\[\]]', re.DOTALL)
_SPACE = re.compile(rb"(?:\xef\xbb\xbf|[\s,])*")
_RECORDS = re.compile(rb'\{\s*"Records"\s*:\s*\[')
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"|[^\s,\[\]{}"]+|[\]}]', re.DOTALL)


class JsonStream(ByteStream):
    """`kept["inside"]` says what is open: `array`, `Records`, or `end` of a document with records."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        while True:
            self.used = _end_of(_SPACE.match(data, self.used))
            inside, first = self.kept.get("inside"), data[self.used : self.used + 1]
            if not first:
                return
            records = _RECORDS.match(data, self.used) if inside is None else None
            if (inside is None and first == b"[") or records is not None:
                self.kept["inside"] = "Records" if records else "array"
                self.used = _end_of(records) if records else self.used + 1
            elif inside in {"array", "Records"} and first == b"]":
                self.kept["inside"] = "end" if inside == "Records" else None
                self.used += 1
            elif inside == "end" and first == b"}":
                self.kept["inside"] = None
                self.used += 1
            else:
                end = _end_of_value(data, self.used, final)
                if end is None:
                    return
                raw, self.used = data[self.used : end], end
                yield from self._record(raw)

    def _record(self, raw: bytes) -> Iterator[Record]:
        try:
            text = raw.decode()
            value, end = decode_json(text)
            if type(value) is not dict or end != len(text):
                self.ctx.reject(raw, "not a JSON object")
            else:
                yield value
        except UnicodeDecodeError as error:
            self.ctx.reject(raw, f"not UTF-8 at byte {error.start + 1}")
        except json.JSONDecodeError as error:
            self.ctx.reject(raw, f"not JSON: {error.msg} at line {error.lineno} column {error.colno}")
        except ValueError as error:
            self.ctx.reject(raw, f"not JSON: {error}")
        except RecursionError:
            self.ctx.reject(raw, "nested too deeply")


def _end_of(found: re.Match[bytes] | None) -> int:
    assert found is not None
    return found.end()


def _end_of_value(data: bytes, start: int, final: bool) -> int | None:
    """Return where the value that begins at `start` ends, None when it is not all there."""
    if data[start : start + 1] not in {b"{", b"["}:
        scalar = _SCALAR.match(data, start)
        end = scalar.end() if scalar else len(data)  # a text that does not close
        return end if end < len(data) or final else None
    depth = 0
    for token in _TOKEN.finditer(data, start):
        if token[0] in {b"{", b"["}:
            depth += 1
        elif token[0] in {b"}", b"]"}:
            depth -= 1
            if not depth:
                return token.end()
        elif token[0] == b'"':
            return None
    return None


def new_processor() -> StreamProcessor:
    return each_stream(JsonStream)
