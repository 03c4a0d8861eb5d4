"""JSON (RFC 8259) as a record may hold it: no NaN, no numbers out of range, no half characters."""

import json
import math
from typing import Any, NoReturn

from contract.record import JsonValue


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is Python's, not JSON's")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is out of range")
    return value


# json.loads() would look for these hooks, and for the encoding, once per line.
_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).raw_decode


def decode_json(text: str, start: int = 0) -> tuple[Any, int]:
    """Return the JSON value that begins at `start`, and where it ends.

    Half a surrogate pair, such as `"\\ud83e"` on its own, is no character: it becomes U+FFFD. Raises ValueError (json's
    JSONDecodeError where it has a place) for what is not JSON, and RecursionError for what is nested too deeply.
    """
    value, end = _decode(text, start)
    if "\\ud" in text or "\\uD" in text:
        value = _whole_value(value)
    return value, end


_look = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=lambda _: 0.0, parse_int=lambda _: 0).decode


def checked_object(text: str) -> dict[str, Any]:
    """Return a JSON object without its numbers, which may be of any size. Raises ValueError, RecursionError."""
    value = _look(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the type of what the text says, not of an argument
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # half a character has no UTF-8
    return value


def _whole_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, list):
        return [_whole_value(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole_value(item) for name, item in value.items()}
    return value


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
