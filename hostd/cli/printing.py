"""Lines for people. What a file is called, or a plugin says, is shown so that no terminal obeys it."""

import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO


def say(lines: Iterable[str], out: TextIO | None = None) -> None:
    """Print lines, to standard output if nowhere else; one that has line ends in it is as many."""
    for line in lines:
        for part in line.split("\n"):
            _write(f"{printable(part)}\n", out or sys.stdout)


def say_json(value: Any) -> None:
    """Print a value for machines."""
    _write(f"{json.dumps(value, ensure_ascii=False, indent=2)}\n", sys.stdout)


def _write(text: str, out: TextIO) -> None:
    try:
        out.write(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def complain(message: str) -> None:
    """Print what went wrong on standard error."""
    say([f"hostd: {message}"], sys.stderr)


def printable(text: str) -> str:
    """Return text with what a terminal would act upon spelled out; a tab stays."""
    return "".join(
        mark if mark.isprintable() or mark == "\t" else mark.encode("unicode_escape", "backslashreplace").decode()
        for mark in text
    )


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterable[str]:
    """Yield rows in columns, each on one line."""
    cells = [header, *[tuple(printable(str(cell)) for cell in row) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
