"""Grok expressions, `%{PATTERN:field:type}`, to regular ones."""

import difflib
import re
from collections.abc import Mapping

from contract.declared.library import PATTERNS
from contract.declared.problem import RecipeError

MOST_CHARACTERS = 64 << 10
"""Of an expression with all its patterns put in."""
TYPES = {
    "int": "int",
    "integer": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "bool": "bool",
    "boolean": "bool",
    "string": "string",
    "text": "string",
}

MOST_NESTED = 50
"""How deep patterns may stand in patterns."""

_REFERENCE = re.compile(r"%\{(?P<pattern>[^{}:]{0,200})(?::(?P<field>[^{}:]{0,200}))?(?::(?P<type>[^{}]{0,200}))?\}")


class Grok:
    """Puts patterns into expressions: the user's own, which come first, and those of the library."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = own
        self._patterns: Mapping[str, str] = {**PATTERNS, **own}
        self.types: dict[str, str] = {}
        """What the expressions say of the types of fields."""

    def expand(self, text: str, path: tuple[str, ...]) -> str:
        """Return a regular expression, whose named groups are the fields. Raises RecipeError."""
        return self._expand(text, path, ())

    def _expand(self, text: str, path: tuple[str, ...], within: tuple[str, ...]) -> str:
        parts: list[str] = []
        position = size = 0
        for found in _REFERENCE.finditer(text):
            parts += [text[position : found.start()], self._put_in(found, path, within)]
            position = found.end()
            size += len(parts[-1])
            if size > MOST_CHARACTERS:
                raise RecipeError(
                    path, f"has more than {MOST_CHARACTERS} characters with its patterns", "repeat less", near=found[0]
                )
        return "".join([*parts, text[position:]])

    def _put_in(self, found: re.Match[str], path: tuple[str, ...], within: tuple[str, ...]) -> str:
        name, field = found["pattern"], found["field"]
        if name not in self._patterns:
            close = difflib.get_close_matches(name.upper(), self._patterns, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "add it"
            raise RecipeError(
                path,
                f"has {found[0]}, and no pattern is called {name!r}",
                f"{remedy} (your own go into [patterns])",
                near=found[0],
            )
        if name in within:
            circle = " -> ".join([*within[within.index(name) :], name])
            raise RecipeError(path, f"goes round in a circle: {circle}", "take one of them out", near=found[0])
        if len(within) == MOST_NESTED:
            raise RecipeError(
                path, f"nests patterns more than {MOST_NESTED} deep", "write one of them out", near=found[0]
            )
        if found["type"] is not None:
            self._note(found, path)
        inner_path = ("patterns", name) if name in self._own else path
        inner = self._expand(self._patterns[name], inner_path, (*within, name))
        return f"(?<{field}>{inner})" if field else f"(?:{inner})"

    def _note(self, found: re.Match[str], path: tuple[str, ...]) -> None:
        kind = TYPES.get(found["type"])
        if kind is None:
            raise RecipeError(
                path,
                f"has {found[0]}, and {found['type']!r} is no type of a pattern's",
                "write int, float or bool; any other goes into [fields]",
                near=found[0],
            )
        self.types[found["field"]] = kind
