"""Dissect templates, `%{time} [%{level}] %{message}`: texts cut at what stands between their keys.

The notation is that of Logstash's dissect filter and of Elasticsearch's: `%{}` and `%{?name}` skip, `%{+name}` and
`%{+name/2}` append, `%{name->}` also takes the delimiters that repeat after it, and `%{?key}` or `%{*key}` names the
field that `%{&key}` fills.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from contract.declared.expression import FIELD
from contract.declared.linewise import LinesReader
from contract.declared.problem import RecipeError
from contract.declared.steps import UNLIMITED

_SHOWN = 40
MOST_KEYS = 300

_KEY = re.compile(r"%\{(?P<kind>[?+&*]?)(?P<name>[^{}]{0,200}?)(?:/(?P<order>\d{1,3}))?(?P<pad>->)?\}")


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a template; `before` and `after` are the delimiters around it."""

    kind: str
    name: str
    order: int
    is_padded: bool
    before: str
    after: str


class Template:
    """A template, taken apart. Raises RecipeError for what is none."""

    def __init__(self, text: str, path: tuple[str, ...], append_separator: str | None = None) -> None:
        self._path = path
        found = list(_KEY.finditer(text))
        if not found:
            raise RecipeError(path, "has no %{key}", "write for example '%{time} [%{level}] %{message}'")
        if len(found) > MOST_KEYS:
            raise RecipeError(path, f"has {len(found)} keys, more than {MOST_KEYS}", "keep the end in one")
        ends = [0, *(key.end() for key in found)]
        starts = [*(key.start() for key in found), len(text)]
        between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        keys = [self._key(key, *between[number : number + 2]) for number, key in enumerate(found)]
        for key, following in zip(keys, found[1:], strict=False):
            if not key.after:
                raise RecipeError(
                    path,
                    f"has nothing between %{{{key.name}}} and {following[0]}",
                    "write what stands between them",
                    near=following[0],
                )
        self._start, self._end = between[0], between[-1]
        self._cuts = [(key.after, key.is_padded) for key in keys[:-1]]
        self._last_padded = keys[-1].is_padded
        self._separator = append_separator
        self._check(keys)
        self._keys = keys
        self._referred = {key.name for key in keys if key.kind == "&"}
        self.names = tuple(dict.fromkeys(key.name for key in keys if key.kind in {"", "+"} and key.name))
        places = [number for number, key in enumerate(keys) if key.kind == "" and key.name]
        is_plain = len(places) == len(self.names) and not self._referred and not any(k.kind == "+" for k in keys)
        self._places = None if not is_plain else places if len(places) < len(keys) else []
        self.is_dynamic = bool(self._referred)
        self.optional: frozenset[int] = frozenset()
        python, quick = (self._as_expression(keys, besides) for besides in (r"\n", ""))
        self.lines = LinesReader(python, len(self.names), optional=False, longest=UNLIMITED, quick=quick)

    def read(self, text: str) -> tuple[str | None, ...] | None:
        """Return each field's text, in the order of `names`; None when a delimiter is not there."""
        parts = self._split(text)
        if parts is None:
            return None
        if self._places is not None:
            return tuple([parts[place] for place in self._places] if self._places else parts)
        return self._assemble(parts)

    def read_all(self, texts: list[str]) -> Iterator[tuple[str | None, ...] | None]:
        """Return what `read` does of each text."""
        return map(self.read, texts)

    def explain(self, text: str) -> str:
        """Return which delimiter a text that is not read lacks."""
        if not text.startswith(self._start):
            return f": it does not begin with {self._start!r}"
        position, last = len(self._start), ""
        for delimiter, _ in self._cuts:
            end = text.find(delimiter, position)
            if end < 0:
                after = f" after {last!r}" if last else ""
                return f": it has no {delimiter!r}{after}"
            last = text[max(position, end - _SHOWN) : end + len(delimiter)]
            position = end + len(delimiter)
        return f": it does not end with {self._end!r}"

    def _as_expression(self, keys: list[_Key], besides: str) -> str | None:
        """Return an expression of Python's that reads a line as `read` does; None where that takes more.

        A part ends where what follows it stands first, so there is one way through it, and nothing is tried twice.
        `besides` are the characters that no part has. Where a line has what follows each of its parts, none goes beyond
        the line, whether it may have a line feed or not.
        """
        if self._places is None or self._last_padded or not all(self._cuts):
            return None
        written = [re.escape(self._start)]
        for key in keys[:-1]:
            first, rest = key.after[0], key.after[1:]
            other = rf"[^{besides}{re.escape(first)}]*"
            part = rf"{other}(?:{re.escape(first)}(?!{re.escape(rest)}){other})*" if rest else other
            after = re.escape(key.after)
            written.append(f"({part})" if key.kind == "" and key.name else f"(?:{part})")
            written.append(f"{after}(?:{after})*+" if key.is_padded else after)
        last = keys[-1]
        written.append("(.*)" if last.kind == "" and last.name else "(?:.*)")
        return "".join([*written, re.escape(self._end)])

    def read_pairs(self, text: str) -> dict[str, str] | None:
        """Return the fields that the text itself names, by `%{?key}` and `%{&key}`; None as `read`."""
        parts = self._split(text)
        if parts is None:
            return None
        named = {key.name: part for key, part in zip(self._keys, parts, strict=True) if key.kind in {"?", "*"}}
        return {named[key.name]: part for key, part in zip(self._keys, parts, strict=True) if key.kind == "&"}

    def _split(self, text: str) -> list[str] | None:
        if self._start:
            if not text.startswith(self._start):
                return None
            text = text[len(self._start) :]
        if self._end:
            if not text.endswith(self._end):
                return None
            text = text[: -len(self._end)]
            while self._last_padded and text.endswith(self._end):
                text = text[: -len(self._end)]
        parts = []
        for delimiter, is_padded in self._cuts:
            part, found, text = text.partition(delimiter)
            if not found:
                return None
            parts.append(part)
            while is_padded and text.startswith(delimiter):
                text = text[len(delimiter) :]
        parts.append(text)
        return parts

    def _assemble(self, parts: list[str]) -> tuple[str | None, ...]:
        pieces: dict[str, list[tuple[int, str, str]]] = {name: [] for name in self.names}
        for key, part in zip(self._keys, parts, strict=True):
            if key.kind in {"", "+"} and key.name:
                between = key.before if self._separator is None else self._separator
                pieces[key.name].append((key.order, between, part))
        texts = []
        for name in self.names:
            joints = [before for _, before, _ in pieces[name][1:]]
            first, *rest = [part for _, _, part in sorted(pieces[name], key=lambda piece: piece[0])]
            texts.append(first + "".join(map("".join, zip(joints, rest, strict=True))))
        return tuple(texts)

    def _key(self, found: re.Match[str], before: str, after: str) -> _Key:
        kind, name = found["kind"], found["name"]
        if (name or kind in {"+", "&", "*"}) and not FIELD.fullmatch(name):
            raise RecipeError(
                self._path,
                f"names a field {name!r} in {found[0]}",
                "write letters, digits, _ . - @, or [outer][inner]",
                near=found[0],
            )
        if found["order"] and kind != "+":
            raise RecipeError(
                self._path, f"has an order without a +, {found[0]}", f"write %{{+{name}/{found['order']}}}", found[0]
            )
        return _Key(kind, name, int(found["order"] or 0), bool(found["pad"]), before, after)

    def _check(self, keys: list[_Key]) -> None:
        for key in keys:
            alike = [each for each in keys if each.name == key.name]
            if key.kind == "&" and not any(each.kind in {"?", "*"} for each in alike):
                raise RecipeError(
                    self._path,
                    f"has %{{&{key.name}}} and nothing that names its field",
                    f"write %{{?{key.name}}} where the name stands",
                    near=f"%{{&{key.name}}}",
                )
            if key.kind == "*" and not any(each.kind == "&" for each in alike):
                raise RecipeError(
                    self._path,
                    f"has %{{*{key.name}}} and no %{{&{key.name}}}",
                    f"write %{{?{key.name}}} to skip it",
                    near=f"%{{*{key.name}}}",
                )
            plain = [each for each in alike if each.kind == ""]
            if key.name and key.kind == "" and len(plain) > 1:
                raise RecipeError(
                    self._path,
                    f"has %{{{key.name}}} twice",
                    f"write %{{+{key.name}}} to append to it",
                    near=f"%{{{key.name}",
                )
