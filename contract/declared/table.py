"""What may be written in `plugins.d/NAME.toml`: a plugin's manifest, and how a record is read. For host and tools.

Every error names the line, the key, the value, and what to write instead. Expressions are compiled by RE2 alone.
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from contract.declared.engine import compile_re2
from contract.declared.problem import RecipeError
from contract.declared.recipe import read_recipe
from contract.manifest import (
    NAME_PATTERN,
    Manifest,
    ManifestError,
    MisuseError,
    Needs,
    read_document,
    validate_document,
)
from contract.toml_lines import line_of
from contract.version import negotiate


class FieldTable(BaseModel):
    """What becomes of one captured text; the type alone may stand for a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["string", "int", "float", "bool", "timestamp", "severity", "json"] = Field(
        "string",
        description="`timestamp` becomes RFC 3339 in UTC; `severity` also yields OpenTelemetry's number.",
    )
    name: str | None = Field(
        None,
        min_length=1,
        description="The record's key, `[outer][inner]` for one in an object; else that of the field, or `timestamp`, "
        "or `severity_text` beside `severity_number`.",
    )
    format: tuple[str, ...] = Field(
        (),
        description='`timestamp`: `"rfc3339"`, `"epoch"`, `"epoch_ms"`, `"epoch_us"`, `"epoch_ns"`, or a notation in '
        "`strptime`'s codes (`contract.Timestamps`). Of a list the first that fits.",
    )
    zone: str | None = Field(
        None,
        description="`timestamp`: the zone of times that name none: `UTC`, `+02:00`, `Europe/Berlin`; else the "
        "operator's option `time_zone`, else UTC.",
    )
    null: tuple[str, ...] = Field((), description='Texts that stand for no value, such as `"-"`; one, or a list.')

    @field_validator("format", "null", mode="before")
    @classmethod
    def _one_or_more(cls, written: object) -> object:
        return (written,) if isinstance(written, str) else written


class Declaration(Manifest):
    """A plugin without code: its manifest, and how a record is read."""

    version: str = Field("1.0.0", description="PEP 440 version.")
    contract: str = Field(">=1.0,<2", description="PEP 440 specifier of the contract versions it works with.")
    regex: tuple[str, ...] = Field(
        (),
        description="A regular expression (RE2) that the whole record matches; its named groups, `(?P<name>…)` or "
        "`(?<name>…)`, are the fields. Of a list the first that matches counts.",
    )
    grok: tuple[str, ...] = Field(
        (), description="The same with patterns: `%{PATTERN:field}` or `%{PATTERN:field:type}`; one, or a list."
    )
    dissect: tuple[str, ...] = Field(
        (), description="A template, `%{time} [%{level}] %{message}`: what stands between keys cuts; one, or a list."
    )
    patterns: dict[str, str] = Field({}, description="`grok`: patterns of your own, by name; they come first.")
    anywhere: bool = Field(
        False,  # noqa: FBT003
        description="`regex`, `grok`: a part of the record that matches is enough; the rest is dropped.",
    )
    append_separator: str | None = Field(
        None, description="`dissect`: what `%{+key}` puts between; else the delimiter that stands before it."
    )
    fields: dict[str, FieldTable] = Field({}, description="What becomes of fields, by name.")
    constants: dict[str, JsonValue] = Field({}, description="Keys and values that every record has.")

    @field_validator("regex", "grok", "dissect", mode="before")
    @classmethod
    def _one_or_more(cls, written: object) -> object:
        return (written,) if isinstance(written, str) else written

    @field_validator("fields", mode="before")
    @classmethod
    def _short_fields(cls, written: object) -> object:
        if not isinstance(written, dict):
            return written
        return {name: {"type": each} if isinstance(each, str) else each for name, each in written.items()}

    @field_validator("contract")
    @classmethod
    def _is_of_today(cls, specifier: str) -> str:
        if (negotiate(specifier) or "").startswith("0."):
            raise MisuseError("contract 0 has no rejects", 'write ">=1.0,<2", or leave it out')
        return specifier

    @field_validator("framing", mode="before")
    @classmethod
    def _is_cut_by_the_host(cls, written: object) -> object:
        if (written.get("kind") if isinstance(written, dict) else written) == "stream":
            raise MisuseError("a stream needs code", 'write "lines", "multiline" or "whole"')
        return written

    @field_validator("needs")
    @classmethod
    def _needs_nothing(cls, needs: Needs) -> Needs:
        if needs != Needs():
            raise MisuseError("what has no code reads nothing but its input", "remove it")
        return needs


def read_declaration(text: str, *, name: str) -> Declaration:
    """Read a declared plugin from its source; `name` is the file's, for one that names none.

    Raises ManifestError with a line number of `text`.
    """
    document = read_document(text)
    if "name" not in document and not re.fullmatch(NAME_PATTERN, name):
        problem = f"has no name of its own, and {name!r}, the file's, is no plugin's"
        raise ManifestError(problem, 'add name = "my_format": lower case letters, digits, underscores', 1)
    declaration = validate_document(Declaration, {"name": name, **document}, text)
    try:
        recipe = read_recipe(document)
        for expression in recipe.expressions:
            compile_re2(expression, (recipe.way,), newlines=recipe.newlines)
    except RecipeError as error:
        field = f"field {'.'.join(error.path)!r} " if error.path else ""
        raise ManifestError(f"{field}{error.problem}", error.remedy, _line(text, error)) from error
    return declaration


def _line(text: str, error: RecipeError) -> int:
    """Return the line of the key, or of the part of its value that is wrong."""
    line = line_of(text, error.path)
    if not error.near:
        return line
    lines = text.split("\n")
    following = range(line - 1, len(lines))
    return next((number + 1 for number in following if error.near in lines[number]), line)
