"""Traces for the tests of streams: their bytes, the records that must come of them, and versions of the plugin."""

import json
import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from contract.testing import load, make_stream_processor, run_stream

from .harness import REPOSITORY

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


def without(records: Iterable[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return records without some keys."""
    return [{key: value for key, value in record.items() if key not in keys} for record in records]


def in_json(path: Path) -> list[dict[str, Any]]:
    """Return the records in a file of JSON lines."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
