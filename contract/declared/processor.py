"""A recipe to a processor, and the bytes of a declared plugin to the module that a worker would have imported."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from contract.context import Context
from contract.declared.builder import Build, Groups, blame, builder
from contract.declared.dissect import Template
from contract.declared.engine import ExpressionReader
from contract.declared.fields import Convert, converter
from contract.declared.many import Gathered, LayoutOfRows, Values, layout_of_rows
from contract.declared.reach import Reach
from contract.declared.recipe import Recipe, read_recipe
from contract.normal import severity_number
from contract.record import Record
from contract.rows import Rows

Reader = ExpressionReader | Template

LEAST_BYTES, MOST_BYTES = 1 << 10, 4 << 10
"""How much is read together at first, and at most: twice as much each time, and little again after one was in vain. It
is read again, record by record, and what an expression goes astray in is no more than this."""
PIECE_RECORDS = 64
MOST_MISSES = 3
"""How many pieces may be read in vain before a batch is taken record by record."""
MOST_EXPLAINED = 20
"""Of a batch's rejects the first say how far they match: thousands are alike, and this takes a while."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How what one reader finds becomes a record: `keys` are in its order, the same one twice where a field is."""

    reader: Reader
    keys: tuple[str, ...]
    converts: Mapping[str, Convert]
    severities: tuple[tuple[str, str], ...]
    build: Build
    of_rows: LayoutOfRows | None


class DeclaredProcessor:
    """Reads each record as its recipe says. What no expression takes, or no type, is rejected by itself."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._readers: tuple[Reader, ...] = recipe.templates or tuple(
            ExpressionReader(each, (recipe.way,), newlines=recipe.newlines, anywhere=recipe.anywhere)
            for each in recipe.expressions
        )
        self._layouts: dict[tuple[str | None, int | None], tuple[_Layout, ...]] = {}
        nested = [*recipe.constants, *(name for reader in self._readers for name in reader.names)]
        self._is_nested = any(name.startswith("[") for name in nested) or any(
            (rule.name or "").startswith("[") for rule in recipe.rules.values()
        )
        self._more = self._is_nested or bool(recipe.constants) or any(each.is_dynamic for each in recipe.templates)
        self._mismatch = f"matches no {recipe.way} of its list"
        self._explain: Callable[[str], str] | None = None
        if len(self._readers) == 1:
            self._mismatch = f"does not match {recipe.way}"
            if recipe.templates:
                self._explain = recipe.templates[0].explain
            elif not recipe.anywhere:
                self._explain = Reach(recipe.expressions[0], newlines=recipe.newlines).explain
        self._left_to_explain = 0

    def parse(self, data: bytes, ctx: Context) -> Rows | list[Record | Rows]:
        """Return the records of a batch, in order: as rows, as far as names and rows can tell them."""
        options = ctx.options
        place = (getattr(options, "time_zone", None), getattr(options, "year", None))
        layouts = self._layouts.get(place) or self._lay_out(*place)
        self._left_to_explain = MOST_EXPLAINED
        gathered = Gathered(layouts[0].of_rows)
        lines = None if self._recipe.newlines or layouts[0].of_rows is None else _decoded(data)
        if lines is not None:
            self._read_lines(lines, layouts, gathered, ctx)
            return gathered.all()
        self._read_texts(*self._texts(data, ctx), layouts, gathered, ctx)
        return gathered.all()

    def _read_lines(self, lines: str, layouts: tuple[_Layout, ...], gathered: Gathered, ctx: Context) -> None:
        """Read lines, a piece of them at a time by one call, as long as that mostly succeeds."""
        read, has_returns = layouts[0].reader.lines.read, "\r" in lines
        start, size, misses = 0, LEAST_BYTES, 0
        while start < len(lines):
            end = lines.find("\n", start + size)
            piece = lines[start : end if end >= 0 else len(lines)]
            start += len(piece) + 1
            rows = None
            if misses < MOST_MISSES:
                size = min(2 * size, MOST_BYTES)
                found = read(piece if not has_returns else piece.replace("\r\n", "\n").removesuffix("\r"))
                rows = _as_rows(layouts[0], found) if found is not None else None
            if rows is not None:
                gathered.add_rows(rows)
                continue
            misses, size = misses + 1, LEAST_BYTES if misses < MOST_MISSES else MOST_BYTES
            self._read_texts(*_split(piece), layouts, gathered, ctx)

    def _read_texts(
        self,
        raws: Sequence[bytes | str],
        texts: list[str],
        layouts: tuple[_Layout, ...],
        gathered: Gathered,
        ctx: Context,
    ) -> None:
        """Read records, some at a time: together if all of these are of the first layout."""
        first = layouts[0]
        for start in range(0, len(texts), PIECE_RECORDS):
            piece = slice(start, start + PIECE_RECORDS)
            founds = list(first.reader.read_all(texts[piece]))
            rows = _as_rows(first, founds) if None not in founds else None
            if rows is not None:
                gathered.add_rows(rows)
            else:
                gathered.add(self._one_by_one(raws[piece], texts[piece], founds, layouts, ctx))

    def _one_by_one(
        self,
        raws: Sequence[bytes | str],
        texts: list[str],
        founds: list[Groups | None],
        layouts: tuple[_Layout, ...],
        ctx: Context,
    ) -> list[Record]:
        first, *others = layouts
        build, is_finished = first.build, not (self._more or first.severities)
        records: list[Record] = []
        add = records.append
        for raw, text, found in zip(raws, texts, founds, strict=True):
            try:
                record = build(found) if found is not None else None
            except ValueError:
                ctx.reject(raw, blame(first.keys, first.converts, found or ()))
                continue
            if record is None:
                self._read_otherwise(raw, text, others, records, ctx)
            else:
                add(record if is_finished else self._finish(record, first, text))
        return records

    def _texts(self, data: bytes, ctx: Context) -> tuple[Sequence[bytes | str], list[str]]:
        """Return the records that are not empty as they are, and as texts without their last line ends."""
        if self._recipe.newlines:
            records = [record for record in ctx.split(data) if record.strip(b"\r\n")]
            decoded = [record.decode("utf-8", "backslashreplace").replace("\r\n", "\n") for record in records]
            return records, [text.rstrip("\r\n") for text in decoded]
        text = _decoded(data)
        if text is not None:
            return _split(text)
        raws = [raw for raw in data.split(b"\n") if raw and raw != b"\r"]
        return raws, [raw.decode("utf-8", "backslashreplace").removesuffix("\r") for raw in raws]

    def _read_otherwise(
        self, raw: bytes | str, text: str, others: list[_Layout], records: list[Record], ctx: Context
    ) -> None:
        """Read a record that the first expression does not take."""
        for layout in others:
            found = layout.reader.read(text)
            if found is None:
                continue
            try:
                records.append(self._finish(layout.build(found), layout, text))
            except ValueError:
                ctx.reject(raw, blame(layout.keys, layout.converts, found))
            return
        if not text.isspace():
            ctx.reject(raw, self._mismatch + self._explained(text))

    def _explained(self, text: str) -> str:
        self._left_to_explain -= 1
        return self._explain(text) if self._explain is not None and self._left_to_explain >= 0 else ""

    def _finish(self, record: dict[str, Any], layout: _Layout, text: str) -> Record:
        """Add numbers of severities, what the text itself names, and the constants; put values into their objects."""
        for key, number_key in layout.severities:
            if isinstance(text_of := record.get(key), str):
                record[number_key] = severity_number(text_of)
        if isinstance(layout.reader, Template) and layout.reader.is_dynamic:
            record |= layout.reader.read_pairs(text) or {}
        record |= self._recipe.constants
        return _nest(record) if self._is_nested else record

    def _lay_out(self, zone: str | None, year: int | None) -> tuple[_Layout, ...]:
        layouts = []
        rules = self._recipe.rules
        for reader in self._readers:
            converts: dict[str, Convert] = {}
            plain: dict[str, Convert] = {}
            nulls: dict[str, frozenset[str]] = {}
            severities: dict[str, str] = {}
            keys = []
            for name in reader.names:
                rule = rules.get(name)
                key = (rule.key if rule else None) or name
                if rule is not None:
                    convert = converter(rule, zone, year)
                    if rule.type == "timestamp" and rule.name is None and rule.needs_year and year is None:
                        key = name  # what is not RFC 3339 is not called timestamp
                    if convert is not None:
                        converts[key] = convert
                    if (inner := converter(replace(rule, nulls=frozenset()), zone, year)) is not None:
                        plain[key] = inner
                    if rule.nulls:
                        nulls[key] = rule.nulls
                    if rule.type == "severity":
                        severities[key] = "severity_number" if key == "severity_text" else f"{key}_number"
                keys.append(key)
            build = builder(tuple(keys), reader.optional, converts)
            of_rows = None
            if not self._is_nested and not (isinstance(reader, Template) and reader.is_dynamic):
                of_rows = layout_of_rows(
                    *(tuple(keys), reader.optional, plain, nulls, tuple(severities.items())),
                    self._recipe.constants,
                )
            layouts.append(_Layout(reader, tuple(keys), converts, tuple(severities.items()), build, of_rows))
        self._layouts[zone, year] = laid_out = tuple(layouts)
        return laid_out


def _decoded(data: bytes) -> str | None:
    """Return lines as one text, without the last line end; None where not all is UTF-8."""
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        return None


def _split(text: str) -> tuple[list[str], list[str]]:
    """Return the lines that are not empty as they are, and without what precedes their line feeds."""
    lines = [line for line in text.split("\n") if line and line != "\r"]
    return lines, lines if "\r" not in text else [line.removesuffix("\r") for line in lines]


def _as_rows(layout: _Layout, found: Iterable[Any]) -> list[Values] | None:
    """Return rows of what was found; None where one has a text that cannot be converted, or is no row."""
    if layout.of_rows is None:
        return None
    try:
        return layout.of_rows.rows(found)
    except ValueError:
        return None


def _nest(record: dict[str, Any]) -> dict[str, Any]:
    """Put the values of keys like `[outer][inner]` into objects."""
    nested: dict[str, Any] = {}
    for key, value in record.items():
        *outer, inner = key[1:-1].split("][") if key.startswith("[") else [key]
        within = nested
        for part in outer:
            there = within.get(part)
            if not isinstance(there, dict):
                there = within[part] = {}
            within = there
        within[inner] = value
    return nested


def as_module(content: bytes, name: str) -> ModuleType:
    """Return what a worker imports of a plugin with code: a module with `new_processor`, and `Options` if it has any.

    Raises RecipeError, UnicodeDecodeError, or tomllib's TOMLDecodeError.
    """
    return module_of(tomllib.loads(content.decode("utf-8-sig")), name)


def module_of(table: Mapping[str, Any], name: str) -> ModuleType:
    """Return the module of a table, as `as_module` does of its text."""
    recipe = read_recipe(table)
    module = ModuleType(name)
    module.__dict__["new_processor"] = lambda: DeclaredProcessor(recipe)
    if recipe.needs_zone or recipe.needs_year:
        from contract import options  # needs pydantic, which few declared plugins have to wait for

        module.__dict__["Options"] = options.LocalYear if recipe.needs_year else options.LocalTime
    return module
