"""Traces for the tests of streams: their bytes, the records that must come of them, and versions of the plugin."""

import runpy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from contract.testing import load, make_stream_processor, run_stream

from .harness import REPOSITORY, Home

PLUGIN = REPOSITORY / "examples" / "plugins" / "trace.py"
MAKER: dict[str, Any] = runpy.run_path(str(REPOSITORY / "examples" / "make_trace.py"))
trace: Callable[..., bytes] = MAKER["trace"]


def version(number: str, *changes: tuple[str, str], by: bool = True) -> str:
    """Return the plugin as another version, whose records say so in `by`."""
    source = PLUGIN.read_text(encoding="utf-8")
    edits = [('version = "1.0.0"', f'version = "{number}"'), *changes]
    if by:
        # The sample says what the records hold: without it a version may say who it is.
        start, end = source.index("#\n# [[tool.hostd.samples]]"), source.index("# ///\nr")
        source = source[:start] + source[end:]
        edits.append(
            ('            "number": number,\n', f'            "number": number,\n            "by": "{number}",\n')
        )
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


OTHER_LAYOUT = ('LAYOUT = b"\\x01"', 'LAYOUT = b"\\x02"')
"""A change that makes a version whose snapshots no other reads."""


def expected(data: bytes) -> list[dict[str, Any]]:
    """Return the records of a trace that is fed in one piece, without a daemon."""
    _, module = load(PLUGIN)
    return [dict(record) for record in run_stream(make_stream_processor(module.new_processor), data).records]


def records(home: Home, name: str) -> list[dict[str, Any]]:
    """Return the records of one source, without its name and the version that made them."""
    mine = [record for record in home.records("trace") if record.pop("@source") == f"logs/{name}"]
    return [{key: value for key, value in record.items() if key != "by"} for record in mine]


def dead_letters(home: Home) -> list[tuple[int, bytes]]:
    """Return places and bytes of the dead letters in the ledger of a daemon that has been stopped."""
    with closing(sqlite3.connect(home.state / "ledger.db")) as db:
        return db.execute("SELECT offset, raw FROM dead_letters ORDER BY offset").fetchall()
