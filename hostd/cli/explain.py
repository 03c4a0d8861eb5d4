"""Say where a record comes from: source, bytes, plugin, version, digest, and when. Works with and without a daemon."""

import argparse
import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hostd.cli.asking import state_folder
from hostd.cli.printing import printable, say, say_json
from hostd.errors import HostdError
from hostd.pipeline.explain import Explanation, explain
from hostd.pipeline.explain_row import explain_row
from hostd.pipeline.ledger.reader import reading
from hostd.plugins.kept import framing_of

EPILOG = """examples:
  hostd explain out/access.ndjson:17            line 17, counted from 1
  hostd explain out/access.ndjson.1:17 --json   also after the file was renamed
  hostd explain records.db:access:17            the row of table access whose _id is 17
"""

SHOWN_BYTES = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "line",
        metavar="OUT:LINE",
        help="a sink's file and the number of a line in it; DATABASE:TABLE:ID for a row",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(options: argparse.Namespace) -> int:
    """Look it up and print."""
    output, table, number = _split(options.line)
    with reading(state_folder(options).ledger) as ledger:
        if table is None:
            explanation = explain(output, number, ledger, framing_of)
        else:
            explanation = explain_row(output, table, number, ledger, framing_of)
            output = Path(f"{output}:{table}")
    if options.json:
        say_json(as_json(output, number, explanation))
        return 0
    say(describe(output, number, explanation))
    return 0


def _split(text: str) -> tuple[Path, str | None, int]:
    name, colon, number = text.rpartition(":")
    if not colon or not name or not number.isdecimal() or int(number) < 1:
        raise HostdError(text, "names no line of a file", "write it as out/access.ndjson:17, counted from 1")
    path, colon, table = name.rpartition(":")
    if colon and path and table.isidentifier() and not Path(name).exists():
        return Path(path), table, int(number)
    return Path(name), None, int(number)


def describe(output: Path, number: int, found: Explanation) -> Iterable[str]:
    """Yield an explanation as lines for people."""
    source, past = found.source, found.past
    yield f"{printable(str(output))}:{number}"
    yield f"  record      {_text(found.record)}"
    name = source.name if source else "not known any more"
    where = (
        f" (now {printable(str(found.source_path))})"
        if source and found.source_path not in {None, Path(source.path)}
        else ""
    )
    yield f"  source      {printable(name)}{where}"
    yield f"  bytes       {found.begin} to {found.until}{_which(found)}"
    version = f" {past.version}" if past else ""
    yield f"  plugin      {found.plugin}{version}, generation {found.generation}"
    yield f"  digest      {past.digest if past else 'not known'}"
    yield f"  committed   {found.committed}"
    if found.input is not None and found.is_exact:
        yield f"  input       {_text(found.input)}"
    if found.why is not None:
        yield f"  {'not exact' if found.input is not None else 'no input':<10}  {found.why}"


def _which(found: Explanation) -> str:
    if found.is_exact:
        return ""
    return f", record {found.nth + 1} of the {found.records} made of them"


def _text(content: bytes) -> str:
    shown = content[:SHOWN_BYTES].decode("utf-8", "backslashreplace").rstrip("\r\n")
    more = len(content) - SHOWN_BYTES
    text = printable(shown).replace("\t", "\\t")  # whether it is one is what somebody may want to know
    return f"{text} … and {more} bytes more" if more > 0 else text


def as_json(output: Path, number: int, found: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON values. Input is text where it is UTF-8, else base64."""
    source, past = found.source, found.past
    answer: dict[str, Any] = {
        "output": str(output),
        "line": number,
        "sink": found.sink.folder,
        "record": found.record.decode("utf-8", "backslashreplace").rstrip("\n"),
        "source": source.name if source else None,
        "source_path": str(found.source_path) if found.source_path else None,
        "begin": found.begin,
        "until": found.until,
        "exact": found.is_exact,
        "nth": found.nth + 1,
        "of_records": found.records,
        "plugin": found.plugin,
        "version": past.version if past else None,
        "generation": found.generation,
        "digest": past.digest if past else None,
        "committed": found.committed,
        "why": found.why,
    }
    if found.input is None or not found.is_exact:
        return {**answer, "input": None}
    try:
        return {**answer, "input": found.input.decode()}
    except UnicodeDecodeError:
        return {**answer, "input": None, "input_base64": base64.b64encode(found.input).decode()}
