"""What validation says of hostd.toml, as one line for the operator: where, what is wrong, and what to write instead."""

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contract.toml_lines import line_of
from contract.wording import in_words
from hostd import receiving
from hostd.errors import ConfigError
from hostd.sink_settings import KINDS

KnownKeys = Callable[[tuple[int | str, ...]], list[str]]


def explain(path: Path, text: str, errors: ValidationError, known_keys: KnownKeys) -> ConfigError:
    """Return the first of what is wrong with the settings that `text` holds. `known_keys` are those of a place."""
    found = errors.errors(include_url=False)
    # A misspelled key is missing too; its name is the better hint.
    error = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    # The third part of where it is in a source or a sink is the kind of that, which nobody has written there.
    parts = [p for at, p in enumerate(error["loc"]) if at != 2 or error["loc"][0] not in ("sources", "sinks")]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found", "model_attributes_type"):
        return _explain_kind(path, text, parts, error["input"])
    field = ".".join(str(part) for part in parts)
    where = f"{path}:{line_of(text, parts[:-1] if error['type'] == 'missing' else parts)}"
    if error["type"] == "extra_forbidden":
        known = known_keys(error["loc"][:-1])
        close = difflib.get_close_matches(str(parts[-1]), known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(known)}"
        return ConfigError(where, f"setting {field!r} is not known", remedy)
    if error["type"] == "missing":
        return ConfigError(where, f"setting {field!r} is missing", "add it")
    problem, _, remedy = in_words(error).partition(" is not installed; ")
    if remedy:
        return ConfigError(where, f"setting {field!r} = {error['input']!r}: {problem} is not installed", remedy)
    return ConfigError(where, f"setting {field!r} = {error['input']!r}: {problem}", "correct that value")


def _explain_kind(path: Path, text: str, parts: list[int | str], given: Any) -> ConfigError:
    """Say what is wrong with the kind of a source or a sink, or with what should be one and is no table."""
    what = str(parts[0])
    field = ".".join(map(str, parts))
    if not isinstance(given, dict):
        where = f"{path}:{line_of(text, parts)}"
        return ConfigError(
            where, f"setting {field!r} = {given!r}: Input should be a table", f"begin it with [[{what}]]"
        )
    known = ["file", *receiving.KINDS] if what == "sources" else list(KINDS)
    remedy = f"write {' or '.join(f'kind = {json.dumps(each)}' for each in known)}"
    if "kind" not in given:
        return ConfigError(f"{path}:{line_of(text, parts)}", f"setting '{field}.kind' is missing", remedy)
    where = f"{path}:{line_of(text, [*parts, 'kind'])}"
    return ConfigError(where, f"setting '{field}.kind' = {given['kind']!r}: there is no such kind", remedy)
