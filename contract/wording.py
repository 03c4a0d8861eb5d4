"""What is wrong with a value, in words of TOML: validation's own speak of Python where a type is the wrong one."""

from typing import Any

_TEXTS = {
    "path_type": "Input should be a path, as text",
    "model_type": "Input should be a table",
    "dict_type": "Input should be a table",
    "tuple_type": "Input should be a list",
    "list_type": "Input should be a list",
    "too_short": "List should have {min_length} or more items",
    "too_long": "List should have {max_length} or fewer items",
}


def in_words(error: Any) -> str:
    """Return what an error of pydantic's says."""
    text = _TEXTS.get(error["type"])
    return text.format(**error.get("ctx", {})) if text else str(error["msg"]).removeprefix("Value error, ")
