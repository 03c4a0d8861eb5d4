"""A proposal as the text of a `.toml`, with samples of the file that it comes from."""

import json
import re
from pathlib import Path
from typing import Any

from hostd.propose.proposing import Proposed

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MOST_SAMPLE_CHARACTERS = 600


def document(proposed: Proposed, file: Path, samples: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the text. `samples` are records of the file, each with what comes of it."""
    lines = ['version = "0.1.0"', f'summary = "Proposed from {file.name}; say what it is."']
    accepts = [f"names = [{_text(glob(file.name))}]"]
    if proposed.head:
        accepts.append(f"head = {_expression('^' + proposed.head)}")
    lines.append(f"accepts = {{ {', '.join(accepts)} }}")
    if proposed.start is not None:
        lines.append(f'framing = {{ kind = "multiline", start = {_expression(proposed.start)} }}')
    lines.append("")
    if len(proposed.groks) == 1:
        lines.append(f"grok = {_expression(proposed.groks[0])}")
    else:
        lines += ["grok = [", *(f"  {_expression(grok)}," for grok in proposed.groks), "]"]
    if proposed.fields:
        lines += ["", "[fields]"]
        lines += [f"{_key(name)} = {_value(rule)}" for name, rule in proposed.fields.items()]
    for text, record in samples:
        if len(text) <= _MOST_SAMPLE_CHARACTERS:
            lines += ["", "[[samples]]", f"input = {_text(text)}", f"records = [{_record(record)}]"]
    return "\n".join([*lines, ""])


def glob(name: str) -> str:
    """Return a pattern for a file's name and those of its neighbours: numbers differ, and what a rotation appends."""
    kept = re.sub(r"(?:[.-]\d[\d_:.-]*)?(?:\.(?:gz|xz|bz2|zst))?$", "", name)
    pattern = re.sub(r"[0-9]+(?:[-_.:][0-9]+)*", "*", kept) + ("*" if kept != name else "")
    return re.sub(r"[\[\]?]", "?", re.sub(r"\*+", "*", pattern))


def _record(record: dict[str, Any]) -> str:
    plain = all(isinstance(value, str | int | float) for value in record.values())
    if not plain:  # TOML has no null
        return _text(json.dumps(record, ensure_ascii=False))
    return "{ " + ", ".join(f"{_key(name)} = {_value(value)}" for name, value in record.items()) + " }"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """Return a basic string of TOML: JSON's, but for the one control character that JSON lets through."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _expression(text: str) -> str:
    """Return a literal string where there can be one: in it nothing is escaped twice."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    return f"'''{text}'''" if "'''" not in text and text.isprintable() and text[-1] != "'" else _text(text)
