# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow>=15"]
#
# [tool.hostd]
# name = "csv_columns"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Comma-separated values with a header row, by pyarrow's reader."
# accepts = { names = ["*.columns.csv"] }
# framing = { kind = "lines", quote = '"' }
# header = 1
# limits = { batch_kib = 1024 }
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
# ///
"""Comma-separated values (RFC 4180) with a header row, as columns: a whole batch is read in one call.

Keys: the names in the header row; every value is a string. A row with more or fewer fields than the header is rejected
alone, and so is one that is not UTF-8.
"""

import csv

import pyarrow as pa
from pyarrow.csv import ConvertOptions, InvalidRow, ParseOptions, ReadOptions, read_csv

from contract import Columns, Context


class CsvColumns:
    def parse(self, data: bytes, ctx: Context) -> list[Columns]:
        data.decode()  # or raise: of a row that is not UTF-8 the reader cannot tell what it is
        if not data.strip():
            return []
        names = next(csv.reader([ctx.header.decode()]))

        def reject(row: InvalidRow) -> str:
            ctx.reject(row.text, f"expected {row.expected_columns} fields, found {row.actual_columns}")
            return "skip"

        return [
            read_csv(
                pa.py_buffer(data),
                # A thread of its own for each worker is enough, and one block: the batch is in memory as it is.
                read_options=ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
                parse_options=ParseOptions(newlines_in_values=True, invalid_row_handler=reject),
                convert_options=ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        ]


def new_processor() -> CsvColumns:
    return CsvColumns()
