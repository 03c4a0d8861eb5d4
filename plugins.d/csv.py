# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic"]
#
# [tool.hostd]
# name = "csv"
# version = "2.0.0"
# contract = ">=1.0,<2"
# summary = "Comma-, semicolon-, tab- and pipe-separated values with a header row."
# accepts = { names = ["*.csv", "*.tsv", "*.psv"], priority = -40 }
# framing = { kind = "lines", quote = '"' }
# header = 1
#
# [[tool.hostd.samples]]
# header = "item,price,note\n"
# input = '''
# lamp,12.50,"tall, ""antique"" and
# a little bent"
# chair,40.00
# desk,95.00,
# '''
# rejected = 1
# records = [
#   { item = "lamp", price = "12.50", note = "tall, \"antique\" and\na little bent" },
#   { item = "desk", price = "95.00", note = "" },
# ]
#
# [[tool.hostd.samples]]
# header = "\"item\"|  \"price\"\n"
# name = "a.psv"
# input = "lamp| 12,50\n"
# records = [{ item = "lamp", price = "12,50" }]
#
# [[tool.hostd.samples]]
# header = "item;price;note\n"
# input = "lamp;12,50;\n"
# records = [{ item = "lamp", price = "12,50", note = "" }]
#
# [[tool.hostd.samples]]
# header = "item\tprice\tnote\n"
# name = "a.tsv"
# input = "lamp\t12,50\t\n"
# records = [{ item = "lamp", price = "12,50", note = "" }]
# ///
"""Comma-separated values (RFC 4180) with a header row, and their like with semicolons, tabs or pipes.

Keys: the names in the header row; every value is a string. Which of `,`, `;`, tab and `|` separates is what occurs
most often in the header row, outside of quotes, and if a space follows each one there, spaces after them are
dropped.

A line feed between quotes does not end a row. A row with more or fewer fields than the header is rejected alone,
and so is a line whose quotes do not close. Blank lines are no rows.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contract import Context, Record, Rows

# The standard library's limit of 128 KiB guards programs that have no limit of their own; a worker has.
csv.field_size_limit(2**31 - 1)
_QUOTED = re.compile(r'"[^"]*"')


class Options(BaseModel):
    """The operator's `[plugins.options.csv]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: str | None = Field(
        default=None, pattern=r'^[^"\r\n]$', description="What separates two fields; else what the header row says."
    )
    skip_initial_space: bool | None = Field(
        default=None, description="Drop the spaces that follow a delimiter; else what the header row says."
    )

    def dialect(self, header: bytes) -> dict[str, Any]:
        """Return the arguments of `csv.reader` that the options, or the header row, stand for."""
        row = _QUOTED.sub('"', header.decode("utf-8", "backslashreplace"))
        delimiter = self.delimiter or max(",;\t|", key=row.count)
        spaces = self.skip_initial_space
        if spaces is None:
            spaces = 0 < row.count(delimiter) == row.count(f"{delimiter} ")
        return {"delimiter": delimiter, "skipinitialspace": spaces, "strict": True}


class CsvProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        dialect = (ctx.options or Options()).dialect(ctx.header)
        names = _unique(_header_row(ctx.header, dialect))
        records = _at_once(data, dialect, names)
        return records if records is not None else self._row_by_row(data, ctx, dialect, names)

    def _row_by_row(self, data: bytes, ctx: Context, dialect: dict[str, Any], names: list[str]) -> Iterator[Record]:
        lines = io.BytesIO(data).readlines()
        start = 0
        while start < len(lines):
            reader = csv.reader(_decoded(lines, start), **dialect)
            row_start = start
            try:
                for row in reader:
                    row_end = start + reader.line_num
                    if len(row) == len(names):
                        yield dict(zip(names, row, strict=True))
                    elif row:
                        raw = b"".join(lines[row_start:row_end])
                        ctx.reject(raw, f"expected {len(names)} fields, found {len(row)}")
                    row_start = row_end
                start = len(lines)
            except csv.Error as error:
                # A quote that does not close costs its own line; the reader has gone too far to go on from.
                ctx.reject(lines[row_start], f"not CSV: {error}")
                start = row_start + 1


def _at_once(data: bytes, dialect: dict[str, Any], names: list[str]) -> Rows | None:
    """Return all rows when each has a field for each name, None otherwise."""
    text = data.decode("utf-8", "backslashreplace")
    if "\r" in text and text.count("\r") != text.count("\r\n"):  # the reader would take one alone for a line's end
        return None
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), **dialect) if row]
    except csv.Error:
        return None
    return Rows(names, rows) if set(map(len, rows)) <= {len(names)} else None


def _decoded(lines: list[bytes], start: int) -> Iterator[str]:
    return (lines[number].decode("utf-8", "backslashreplace") for number in range(start, len(lines)))


def _header_row(header: bytes, dialect: dict[str, Any]) -> list[str]:
    lines = io.BytesIO(header.removeprefix(b"\xef\xbb\xbf")).readlines()
    try:
        names = next(csv.reader(_decoded(lines, 0), **dialect), [])
    except csv.Error as error:
        raise ValueError(f"the header row is not CSV: {error}") from error
    if not names:
        raise ValueError("there is no header row to name the fields")
    return names


def _unique(names: list[str]) -> list[str]:
    """Give each column a name of its own: a second `id` is `id_2`, a nameless third column `column_3`."""
    unique: dict[str, None] = {}
    for number, name in enumerate(names, 1):
        candidate = base = name or f"column_{number}"
        count = 1
        while candidate in unique or (candidate != base and candidate in names):
            count += 1
            candidate = f"{base}_{count}"
        unique[candidate] = None
    return list(unique)


def new_processor() -> CsvProcessor:
    return CsvProcessor()
