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
from collections.abc import Callable, Iterator

from contract import Context, JsonValue, LineStream, Record, StreamProcessor, each_stream, from_epoch

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

    def at_once(self, text: str, ctx: Context) -> list[Record] | None:
        names, types = self.kept.get("fields"), self.kept.get("types")
        if (
            text[0] == "#"
            or "\n#" in text
            or "\\x" in text
            or names is None
            or types is None
            or len(names) != len(types)
        ):
            return None
        unset, separator = self.kept.get("unset", "-"), self.kept.get("separator", "\t")
        empty = self.kept.get("empty", "(empty)")
        columns = [
            (name, self._maker(kind, empty if empty in text else None)) for name, kind in zip(names, types, strict=True)
        ]
        time_at = names.index("ts") if "ts" in names and types[names.index("ts")] == "time" else None
        begun: dict[str, JsonValue] = {"log": self.kept["path"]} if "path" in self.kept else {}
        width = len(names)
        records: list[Record] = []
        for line in text.split("\n"):
            values = line.split(separator)
            if len(values) != width or not line:
                return None
            record: dict[str, JsonValue] = {}
            try:
                if time_at is not None and values[time_at] != unset:
                    record["timestamp"] = from_epoch(values[time_at])
                record |= begun
                for (name, make), value in zip(columns, values, strict=False):
                    record[name] = None if value == unset else value if make is None else make(value)
            except ValueError:  # a value that is not of its type, which stays text
                return None
            records.append(record)
        return records

    def _maker(self, kind: str, empty: str | None) -> Callable[[str], JsonValue] | None:
        """Return what makes a column's values of their text; None for text that stays as it is.

        `empty` is the word for an empty value, None when it does not occur. One that is a number's has no maker here.
        """
        if kind in _NUMBERS and empty in {None, "(empty)"}:
            return _NUMBERS[kind]
        if kind == "bool":
            return "T".__eq__ if empty is None else lambda text: "" if text == empty else text == "T"
        if kind.startswith(_CONTAINERS):
            return lambda text: [] if text == empty else self._value(text, kind)
        if kind in _NUMBERS:
            return lambda text: self._value(text, kind)
        return None if empty is None else lambda text: "" if text == empty else text

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
