"""Dead letters as text for people. What a plugin or its input says is shown so that no terminal obeys it."""

import base64
from collections.abc import Iterable
from typing import Any

from hostd.cli.printing import printable, table

REASON_CHARACTERS = 100
HEXDUMP_WIDTH = 16


def listed(letters: list[dict[str, Any]]) -> Iterable[str]:
    """Yield a line for each letter, under a heading."""
    if not letters:
        yield "no dead letters"
        return
    yield from table(
        ("ID", "AT", "PLUGIN", "GENERATION", "SOURCE", "OFFSET", "LENGTH", "REASON"),
        [
            (
                letter["id"],
                letter["at"],
                letter["plugin"],
                letter["generation"],
                letter["source"],
                letter["offset"],
                letter["length"],
                _short(letter["note"] or letter["reason"]),
            )
            for letter in letters
        ],
    )


def shown(letter: dict[str, Any]) -> Iterable[str]:
    """Yield all that is known of a letter."""
    raw = base64.b64decode(letter["raw_base64"])
    cut = f", of which the first {letter['kept']} are kept" if letter["kept"] < letter["length"] else ""
    yield f"dead letter {letter['id']}, since {letter['at']}"
    yield f"source: {printable(letter['source'])}, {letter['length']} bytes from {letter['offset']}{cut}"
    yield f"plugin: {letter['plugin']}, generation {letter['generation']}"
    yield f"reason: {printable(letter['reason'])}"
    if letter["note"]:
        yield f"not tried by generation {letter['tried_by']}: {printable(letter['note'])}"
    yield f"framing: {_framing(letter['framing'])}"
    if letter["traceback"]:
        yield "traceback:"
        yield from (f"  {printable(line)}" for line in letter["traceback"].splitlines())
    if letter["header_base64"] is None:
        yield "header: not known, it is from an older hostd"
    elif header := base64.b64decode(letter["header_base64"]):
        yield "header:"
        yield from (f"  {line}" for line in content(header))
    yield "bytes:"
    yield from (f"  {line}" for line in content(raw))


def replayed(answer: dict[str, Any]) -> Iterable[str]:
    """Yield what became of letters that were parsed again."""
    yield (
        f"{answer['letters']} dead letters parsed, {answer['records']} records;"
        f" {answer['rejected']} rejected again, {answer['kept']} not tried"
    )
    if answer["reason"]:
        yield f"the first of these: {printable(answer['reason'])}"
    for reason in answer["postponed"]:
        yield f"not done: {printable(reason)}"


def content(raw: bytes) -> Iterable[str]:
    """Yield bytes as lines of text where they are text, as a hexdump otherwise."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        yield from hexdump(raw)
        return
    lines = text.removesuffix("\n").split("\n")
    if all(printable(line) == line for line in lines):
        yield from lines
    else:
        yield from hexdump(raw)


def hexdump(raw: bytes) -> Iterable[str]:
    """Yield bytes as `hexdump -C` does: offset, bytes, and what of them is ASCII."""
    for start in range(0, len(raw), HEXDUMP_WIDTH):
        row = raw[start : start + HEXDUMP_WIDTH]
        numbers = " ".join(f"{byte:02x}" for byte in row).ljust(3 * HEXDUMP_WIDTH - 1)
        yield f"{start:08x}  {numbers}  |{''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}|"


def _short(text: str) -> str:
    line = printable(text)
    return line if len(line) <= REASON_CHARACTERS else f"{line[: REASON_CHARACTERS - 1]}…"


def _framing(declared: dict[str, Any] | None) -> str:
    if declared is None:
        return "not known, it is from an older hostd"
    more = ", ".join(f"{name} = {value!r}" for name, value in declared.items() if value is not None and name != "kind")
    return f"{declared['kind']}{f' ({more})' if more else ''}"
