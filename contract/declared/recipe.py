"""What a table says of how a record is read, understood: the same for the host that checks it and the worker.

The table is as TOML gives it, its shape checked by `contract.declared.table`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from contract.declared.dissect import Template
from contract.declared.expression import Expression, read_expression
from contract.declared.fields import FieldRule, as_texts, read_rule
from contract.declared.grok import MOST_CHARACTERS, Grok
from contract.declared.problem import RecipeError

MOST_EXPRESSIONS = 100
WAYS: Final = ("regex", "grok", "dissect")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a record is read: by the first of its `expressions` or `templates` that takes it."""

    way: str
    expressions: tuple[Expression, ...]
    templates: tuple[Template, ...]
    rules: Mapping[str, FieldRule]
    constants: Mapping[str, Any]
    anywhere: bool
    newlines: bool

    @property
    def needs_zone(self) -> bool:
        """Tell whether the operator may have to say in which zone times are."""
        return any(rule.needs_zone for rule in self.rules.values())

    @property
    def needs_year(self) -> bool:
        """Tell whether the operator may have to say of which year times are."""
        return any(rule.needs_year for rule in self.rules.values())


def read_recipe(table: Mapping[str, Any]) -> Recipe:
    """Take a table apart. Raises RecipeError; what only RE2 can tell of an expression is not told here."""
    way = _way(table)
    texts = as_texts(table[way])
    _check_size(way, texts)
    types: dict[str, str] = {}
    expressions: tuple[Expression, ...] = ()
    templates: tuple[Template, ...] = ()
    if way == "grok":
        grok = Grok(table.get("patterns", {}))
        expressions = tuple(read_expression(grok.expand(text, (way,)), (way,)) for text in texts)
        types = grok.types
    elif way == "regex":
        expressions = tuple(read_expression(text, (way,)) for text in texts)
    else:
        templates = tuple(Template(text, (way,), table.get("append_separator")) for text in texts)
    rules = _rules(table.get("fields", {}), types)
    constants = dict(table.get("constants", {}))
    known = [each.names for each in expressions] + [each.names for each in templates]
    _check_names(way, known, rules, constants, is_open=any(template.is_dynamic for template in templates))
    framing = table.get("framing", "lines")
    kind, quote = (framing, None) if isinstance(framing, str) else (framing.get("kind"), framing.get("quote"))
    return Recipe(
        way=way,
        expressions=expressions,
        templates=templates,
        rules=rules,
        constants=constants,
        anywhere=table.get("anywhere", False),
        newlines=kind != "lines" or bool(quote),
    )


def _check_size(way: str, texts: tuple[str, ...]) -> None:
    if len(texts) > MOST_EXPRESSIONS:
        raise RecipeError((way,), f"is a list of {len(texts)}, more than {MOST_EXPRESSIONS}", "make several formats")
    longest = max(map(len, texts))
    if longest > MOST_CHARACTERS:
        raise RecipeError((way,), f"has {longest} characters, more than {MOST_CHARACTERS}", "make it shorter")


def _way(table: Mapping[str, Any]) -> str:
    ways = [way for way in WAYS if as_texts(table.get(way))]
    if not ways:
        raise RecipeError((), "says not how a record is read", "add one of regex, grok and dissect")
    if len(ways) > 1:
        raise RecipeError((ways[1],), f"stands beside {ways[0]!r}", "keep one of them")
    for key, goes_with in (
        ("patterns", ("grok",)),
        ("append_separator", ("dissect",)),
        ("anywhere", ("regex", "grok")),
    ):
        if table.get(key) and ways[0] not in goes_with:
            raise RecipeError((key,), f"goes with {' and '.join(goes_with)}, not with {ways[0]}", "remove it")
    return ways[0]


def _rules(written: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, FieldRule]:
    rules = {name: read_rule(name, of_field) for name, of_field in written.items()}
    for name, kind in types.items():
        if name not in rules:
            rules[name] = FieldRule(kind)
        elif rules[name].type != kind:
            raise RecipeError(
                ("fields", name),
                f"is {rules[name].type} here and {kind} in the expression",
                "say it in one place",
            )
    return rules


def _check_names(
    way: str,
    known: list[tuple[str, ...]],
    rules: Mapping[str, FieldRule],
    constants: Mapping[str, Any],
    *,
    is_open: bool,
) -> None:
    names = {name for each in known for name in each}
    if not names and not is_open:
        example = {"regex": "(?P<name>…)", "grok": "%{PATTERN:name}", "dissect": "%{name}"}[way]
        raise RecipeError((way,), "names no field", f"write {example} for what is to be kept")
    for name in rules:
        if name not in names and not is_open:
            close = difflib.get_close_matches(name, names, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(names))}"
            raise RecipeError(("fields", name), f"is no field of {way}", remedy)
    for each in known:
        taken: dict[str, str] = dict.fromkeys(constants, "a constant")
        for name in dict.fromkeys(each):
            key = (rules[name].key if name in rules else None) or name
            if key in taken:
                raise RecipeError(
                    ("fields", name) if name in rules else (way,),
                    f"gives {name!r} the key {key!r}, and {taken[key]} has it already",
                    "call one of them otherwise",
                    near=name,
                )
            taken[key] = repr(name)
