# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "zeek"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Zeek's (Bro's) logs with separators; those in JSON are JSON lines."
# framing = "stream"
# accepts = { head = '^#separator ', priority = -10 }
#
# [[tool.hostd.samples]]
# name = "conn.log"
# input = """
# #separator \\x09
# #set_separator\t,
# #empty_field\t(empty)
# #unset_field\t-
# #path\tconn
# #fields\tts\tid.orig_p\tlocal\tduration\ttags\tnote
# #types\ttime\tport\tbool\tinterval\tset[string]\tstring
# 1715940303.500000\t443\tT\t0.25\ta,b\tx\\x09y
# 1715940304.500000\t-\tF\t-\t(empty)\t-
# 1715940305.500000\t443
# #close\t2024-05-17-10-05-06
# """
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.500000Z", "log": "conn", "ts": 1715940303.5, "id.orig_p": 443, "local":
#    true, "duration": 0.25, "tags": ["a", "b"], "note": "x\ty"}''',
#   '''{"timestamp": "2024-05-17T10:05:04.500000Z", "log": "conn", "ts": 1715940304.5, "id.orig_p": null,
#    "local": false, "duration": null, "tags": [], "note": null}''',
# ]
# rejected = 1
# ///
r"""Zeek's ASCII logs: the lines that begin with `#` say what separates, and the names and types of the columns.

Keys: `timestamp` of the column `ts`, `log` (Zeek's `#path`), and every column by its name, of its type: numbers,
booleans, and lists of sets and vectors; what is unset is null. `\x09` and the like become the characters that they
stand for.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import repeat

from contract import Context, JsonValue, LineStream, Record, Rows, StreamProcessor, each_stream, from_epoch

_ESCAPE = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_NUMBERS: dict[str, type[int] | type[float]] = {
    "count": int,
    "int": int,
    "port": int,
    "double": float,
    "interval": float,
    "time": float,
}
_CONTAINERS = ("set[", "vector[", "table[")
_SINGLE = {"#set_separator": "set_separator", "#empty_field": "empty", "#unset_field": "unset", "#path": "path"}


class ZeekStream(LineStream):
    """`kept` holds what the lines with `#` have said."""

    def parse_line(self, line: str) -> Iterator[Record]:
        if line.startswith("#separator "):
            self.kept = {"separator": _unescaped(line[11:])}
            return
        separator = self.kept.get("separator", "\t")
        if line.startswith("#"):
            name, _, rest = line.partition(separator)
            if name in _SINGLE:
                self.kept[_SINGLE[name]] = rest
            elif name in {"#fields", "#types"}:
                self.kept[name[1:]] = rest.split(separator)
            return
        names, types = self.kept.get("fields"), self.kept.get("types")
        if names is None or types is None or len(names) != len(types):
            raise ValueError("there is no #fields and #types before this row")
        values = line.split(separator)
        if len(values) != len(names):
            raise ValueError(f"expected {len(names)} columns, found {len(values)}")
        row = {name: self._value(value, kind) for name, value, kind in zip(names, values, types, strict=True)}
        begun: dict[str, JsonValue] = {}
        if isinstance(row.get("ts"), float):
            begun["timestamp"] = from_epoch(values[names.index("ts")])
        if "path" in self.kept:
            begun["log"] = self.kept["path"]
        yield {**begun, **row}

    def at_once(self, text: str, ctx: Context) -> Rows | None:
        names, types = self.kept.get("fields"), self.kept.get("types")
        if text[0] == "#" or "\n#" in text or "\\x" in text or names is None or types is None:
            return None
        separator = self.kept.get("separator", "\t")
        rows = [line.split(separator) for line in text.split("\n")]
        # An empty line is one column.
        if {len(names), len(types)} != set(map(len, rows)) or len(names) == 1:
            return None
        texts = list(zip(*rows, strict=True))
        columns = list(map(self._column, texts, types))
        begun: dict[str, Iterator[JsonValue]] = {}
        if "ts" in names:
            kinds = set(map(type, columns[names.index("ts")]))
            if float in kinds and len(kinds) > 1:  # some have a timestamp, and some have none
                return None
            if float in kinds:
                begun["timestamp"] = map(from_epoch, texts[names.index("ts")])
        if "path" in self.kept:
            begun["log"] = repeat(self.kept["path"])
        all_names = [*begun, *names]
        if len(set(all_names)) != len(all_names):
            return None
        return Rows(all_names, zip(*begun.values(), *columns, strict=False))

    def _column(self, texts: Sequence[str], kind: str) -> Sequence[JsonValue]:
        """Return what `_value` does of each of many texts."""
        unset = self.kept.get("unset", "-")
        is_empty = self.kept.get("empty", "(empty)") in texts
        if kind in _NUMBERS and not is_empty:
            make = _NUMBERS[kind]
            try:
                return [None if text == unset else make(text) for text in texts]
            except ValueError:  # masked
                return [self._value(text, kind) for text in texts]
        if kind == "bool" or kind.startswith(_CONTAINERS) or is_empty:
            values = {text: self._value(text, kind) for text in set(texts)}
            return [values[text] for text in texts]
        return [None if text == unset else text for text in texts] if unset in texts else texts

    def _value(self, text: str, kind: str) -> JsonValue:
        if text == self.kept.get("unset", "-"):
            return None
        if kind.startswith(_CONTAINERS):
            if text == self.kept.get("empty", "(empty)"):
                return []
            parts = text.split(self.kept.get("set_separator") or ",")
            inner = kind.partition("[")[2].removesuffix("]")
            return [self._value(part, inner) for part in parts]
        if text == self.kept.get("empty", "(empty)"):
            return ""
        if kind in _NUMBERS:
            try:
                return _NUMBERS[kind](text)
            except ValueError:  # masked, as in logs that are shared
                return text
        if kind == "bool":
            return text == "T"
        return _unescaped(text) if "\\x" in text else text


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", "backslashreplace"), text
    )


def new_processor() -> StreamProcessor:
    return each_stream(ZeekStream)
