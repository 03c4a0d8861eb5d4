"""What a plugin says of itself, read without running it.

A `.py` plugin carries it in a PEP 723 block, as the table `[tool.hostd]`; a wheel in `plugin.toml`, beside its
own metadata. Every error names the field, the value, the line, and what to write instead.
"""

import base64
import difflib
import json
import posixpath
import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from contract.framing import Framing, FramingKind
from contract.pattern import Pattern
from contract.toml_lines import MOST_PARTS, line_of, line_of_long_key
from contract.version import mismatch, negotiate
from contract.wording import in_words

_OPEN = re.compile(r"# /// (?P<type>[a-zA-Z0-9-]+)")

ModelT = TypeVar("ModelT", bound=BaseModel)
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"


class ManifestError(ValueError):
    """A manifest that cannot be used: what is wrong, at which line, and what to write instead."""

    def __init__(self, problem: str, remedy: str, line: int | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.line = line
        super().__init__(f"{problem}; {remedy}")


class MisuseError(ValueError):
    """A value that does not go with the others, and what to write instead."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(problem)


def _regex(pattern: str) -> str:
    Pattern(pattern)
    return pattern


Regex = Annotated[str, AfterValidator(_regex)]

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
"""RFC 6838, 4.2, in lower case."""


def _media_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text.lower()):
        raise ValueError('is no media type, which has a "/" and no parameters; write for example "text/csv"')
    return text.lower()


MediaType = Annotated[str, AfterValidator(_media_type)]


def _readable_path(path: str) -> str:
    if path in {"/", "//"} or path.split("/")[1:2] == ["proc"]:
        raise ValueError("is more than can be granted; name a file or a folder")
    if not path.startswith("/") or posixpath.normpath(path) != path or "\0" in path:
        raise ValueError('is not an absolute path without "." and ".."; write for example "/usr/share/GeoIP"')
    return path


ReadablePath = Annotated[str, AfterValidator(_readable_path)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accepts(_Table):
    """Which sources the plugin takes by itself: every criterion that is given must hold."""

    names: tuple[str, ...] = Field(
        (),
        description="Globs on the source's file name, for example `*.csv`; upper and lower case are one, and `.1` or a"
        " date that rotation appends does not count. The last one that fits decides; `!` before it says no.",
    )
    head: Regex | None = Field(
        None,
        description="A regular expression (RE2) found in the first 8 KiB, once is enough: what a source begins"
        " with (`\\A`, also of bytes that are no text), or a line that no other format has (`^` is a line's start).",
    )
    lines: Regex | None = Field(
        None,
        description="A regular expression (RE2) found in the lines that begin a record: of the plugins that accept a"
        " source, one whose lines are less than a tenth of the first 50, or half of another's, is ranked last.",
    )
    unless: Regex | None = Field(
        None,
        description="A regular expression (RE2) that must not be found in the first 8 KiB: what begins likewise, and is"
        " something else.",
    )
    media_types: tuple[MediaType, ...] = Field(
        (),
        description="Media types, for example `text/csv`, of sources that declare one, as posts do; files do not. Where"
        " one of them is declared, the name need not fit.",
    )
    priority: int = Field(0, ge=-1000, le=1000, description="The higher wins when several plugins accept a source.")
    fallback: bool = Field(
        default=False,
        description="It takes only what no other plugin accepts, or has samples of; and by its name alone nothing that"
        " is not text.",
    )


class FramingTable(_Table):
    """How the input is cut into records."""

    kind: FramingKind = Field(description="`lines`, `multiline`, `whole` or `stream`.")
    start: Regex | None = Field(None, description="`multiline`: a line that this (RE2) matches starts a record.")
    quote: str | None = Field(
        None,
        pattern=r"^[\x21-\x7e]$",
        description="`lines`: a line feed between two of these ends no record.",
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind == "multiline") != (self.start is not None):
            raise ValueError('`start` goes with kind "multiline", and only with it')
        if self.quote is not None and self.kind != "lines":
            raise ValueError('`quote` goes with kind "lines"')
        return self


class Sample(_Table):
    """An input and the records that must come of it, checked before the plugin goes live."""

    input: str = Field(description="The input, as text.")
    encoding: Literal["utf-8", "base64"] = Field("utf-8", description="`base64` for input that is not text.")
    header: str = Field("", description="What `ctx.header` holds, as text.")
    name: str = Field("sample", description="The source's name.")
    records: tuple[dict[str, JsonValue], ...] = Field(
        description="The records expected, in order: tables, or their JSON as text (TOML has no null)."
    )
    rejected: int = Field(0, ge=0, description="How many times the input must be rejected.")

    @field_validator("records", mode="before")
    @classmethod
    def _from_json(cls, records: object) -> object:
        if not isinstance(records, list):
            return records
        return [json.loads(record) if isinstance(record, str) else record for record in records]

    @model_validator(mode="after")
    def _is_what_it_claims(self) -> Self:
        self.content()
        return self

    def content(self) -> bytes:
        """Return the input as bytes."""
        return base64.b64decode(self.input, validate=True) if self.encoding == "base64" else self.input.encode()

    def cut(self, framing: Framing) -> tuple[bytes, bytes]:
        """Return what `ctx.header` holds, and the rest of the input."""
        data, header = self.content(), self.header.encode()
        if header:
            return header, data
        end = framing.header_end(data, final=True) or 0
        return data[:end], data[end:]


class Limits(_Table):
    """What a worker may use."""

    time_s: float = Field(
        10.0, gt=0, le=3600, description="Seconds for what `parse` is handed at once; then the worker is killed."
    )
    memory_mib: int = Field(512, ge=16, le=65536, description="MiB of memory that a worker may allocate.")
    batch_kib: int = Field(256, ge=1, le=16384, description="KiB of input that `parse` is handed at once.")
    output_mib: int = Field(
        16,
        ge=1,
        le=1024,
        description="MiB of records, as JSON lines, that it may yield of that; a large document four times its size.",
    )
    record_mib: int = Field(16, ge=1, le=1024, description="MiB that one record (or whole document) may have.")
    snapshot_kib: int = Field(
        1024, ge=1, le=16384, description="`stream`: KiB that the snapshot of one source may have."
    )


class Needs(_Table):
    """What it needs beyond its input; the operator grants it, or the plugin is refused."""

    network: bool = Field(False, description="The network.")  # noqa: FBT003
    paths: tuple[ReadablePath, ...] = Field((), description="Absolute paths of files and folders that it reads.")


class Manifest(_Table):
    """A plugin's account of itself."""

    name: str = Field(pattern=NAME_PATTERN, description="The processor's name: lower case, digits, underscore.")
    version: str = Field(description="PEP 440 version.")
    contract: str = Field(description="PEP 440 specifier of the contract versions it works with; the highest counts.")
    summary: str = Field("", max_length=200, description="One line for people.")
    accepts: Accepts = Field(Accepts(), description="Which sources it takes by itself.")
    framing: FramingTable = Field(FramingTable(kind="lines"), description="How its input is cut into records.")
    header: int | str | None = Field(
        None,
        description="The leading lines handed to every batch: how many, or a regular expression (RE2) they match.",
    )
    samples: tuple[Sample, ...] = Field((), description="Inputs with the records expected.")
    limits: Limits = Field(Limits(), description="What a worker may use.")
    needs: Needs = Field(Needs(), description="What it needs beyond its input.")

    @field_validator("version")
    @classmethod
    def _is_pep440(cls, version: str) -> str:
        try:
            Version(version)
        except InvalidVersion as error:
            raise ValueError('is not a PEP 440 version; write for example "1.0.0"') from error
        return version

    @field_validator("contract")
    @classmethod
    def _is_specifier(cls, specifier: str) -> str:
        try:
            SpecifierSet(specifier)
        except InvalidSpecifier as error:
            raise ValueError('is not a PEP 440 specifier; write for example ">=1.0,<2"') from error
        return specifier

    @field_validator("framing", mode="before")
    @classmethod
    def _short_framing(cls, framing: object) -> object:
        return {"kind": framing} if isinstance(framing, str) else framing

    @field_validator("framing")
    @classmethod
    def _is_spoken(cls, framing: FramingTable, info: ValidationInfo) -> FramingTable:
        if framing.kind == "stream" and (negotiate(info.data.get("contract", "")) or "").startswith("0."):
            raise MisuseError("contract 0 has no streams", 'write contract = ">=1.0,<2", and define open(ctx, state)')
        return framing

    @field_validator("header")
    @classmethod
    def _is_count_or_regex(cls, header: int | str | None, info: ValidationInfo) -> int | str | None:
        framing = info.data.get("framing")
        if header is not None and framing is not None and framing.kind == "stream":
            raise MisuseError("a stream is fed its source from the first byte on", "remove it, and read it in feed")
        if isinstance(header, str):
            return _regex(header)
        if isinstance(header, int) and not 1 <= header <= 1000:
            raise ValueError("is not a number of lines from 1 to 1000")
        return header

    @property
    def parsed_version(self) -> Version:
        """The version, comparable."""
        return Version(self.version)

    def compiled_framing(self) -> Framing:
        """Return the framing that the manifest declares, ready to cut."""
        table = self.framing
        return Framing(
            kind=table.kind,
            start=Pattern(table.start) if table.start is not None else None,
            quote=(table.quote or "").encode(),
            header_lines=self.header if isinstance(self.header, int) else 0,
            header_pattern=Pattern(self.header) if isinstance(self.header, str) else None,
        )


class ScriptMetadata(BaseModel):
    """The part of PEP 723 that is not hostd's own table."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requires_python: str | None = Field(None, alias="requires-python")
    dependencies: tuple[str, ...] = ()


def _blocks(lines: list[str]) -> Iterator[tuple[str, int, list[str]]]:
    """Yield the type, the first line's number and the lines of each block of PEP 723, "Inline script metadata".

    As its reference expression finds them, but in a time that the length allows.
    """
    number = 0
    while number < len(lines):
        opened = _OPEN.fullmatch(lines[number])
        number += 1
        if opened is None:
            continue
        end = number
        while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
            end += 1
        last = next((at for at in range(end - 1, number, -1) if lines[at] == "# ///"), None)
        if last is not None:
            yield opened["type"], number + 1, lines[number:last]
        number = end if last is None else last + 1


def read_script(text: str) -> tuple[Manifest, ScriptMetadata]:
    """Read the manifest of a `.py` plugin from its source.

    Raises ManifestError with a line number of `text`.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n") + "\n"
    blocks = [(line, content) for kind, line, content in _blocks(text.split("\n")) if kind == "script"]
    if len(blocks) != 1:
        count = "no" if not blocks else "more than one"
        raise ManifestError(
            f"has {count} PEP 723 block", "begin the file with one: # /// script … [tool.hostd] … # ///", 1
        )
    first_line, content = blocks[0]
    # Not splitlines: U+2028 and its like end no line of Python or TOML.
    toml = "\n".join(line.removeprefix("#").removeprefix(" ") for line in content)
    document = _load_toml(toml, first_line)
    tool = document.get("tool", {})
    table = tool.get("hostd") if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise ManifestError(
            "has no [tool.hostd] table in its PEP 723 block",
            "add one with name, version, contract",
            first_line,
        )
    manifest = _validate(Manifest, table, toml, first_line, prefix=("tool", "hostd"))
    return manifest, _validate(ScriptMetadata, document, toml, first_line, prefix=())


def read_plugin_toml(text: str, *, name: str, version: str) -> Manifest:
    """Read the manifest of a wheel from its `plugin.toml`.

    `name` is that of its entry point and `version` that of its metadata; the file may repeat them, and must
    then agree. Raises ManifestError with a line number of `text`.
    """
    table = _load_toml(text, 1)
    for field, known in (("name", name), ("version", version)):
        if table.get(field, known) != known:
            raise ManifestError(
                f"field {field!r} is {table[field]!r}, but the wheel says {known!r}",
                f"make them agree, or remove {field!r} from plugin.toml",
                line_of(text, (field,), 1),
            )
    return _validate(Manifest, {**table, "name": name, "version": version}, text, 1, prefix=())


def read_document(text: str) -> dict[str, Any]:
    """Read a file that is a manifest from its first line to its last. Raises ManifestError."""
    return _load_toml(text, 1)


def validate_document(model: type[ModelT], table: dict[str, Any], text: str) -> ModelT:
    """Return the model of a table that `text` holds. Raises ManifestError with a line number of `text`."""
    return _validate(model, table, text, 1, prefix=())


def _load_toml(toml: str, first_line: int) -> dict[str, Any]:
    if (line := line_of_long_key(toml)) is not None:
        problem = f"the manifest has a key of more than {MOST_PARTS} parts"
        raise ManifestError(problem, "shorten it", first_line + line - 1)
    try:
        return tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = first_line + (int(at[1]) - 1 if at else toml.rstrip("\n").count("\n"))
        raise ManifestError(f"the manifest is not TOML: {error}", "mend that line", line) from error
    except (ValueError, RecursionError) as error:  # a number, or a nesting, that nobody means
        raise ManifestError(f"the manifest cannot be read: {error}", "make it simpler", first_line) from error


def _validate(
    model: type[ModelT], table: dict[str, Any], toml: str, first_line: int, prefix: tuple[str, ...]
) -> ModelT:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        if issubclass(model, Manifest) and (asked := _unspoken(table)) is not None:
            # A manifest of another contract: what it says otherwise may be right there.
            raise ManifestError(*mismatch(asked), line_of(toml, (*prefix, "contract"), first_line)) from error
        errors = error.errors(include_url=False)
        # A misspelled field is missing too; its name is the better hint.
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        path = tuple(part for part in first["loc"] if not (isinstance(part, str) and part in {"int", "str"}))
        field = ".".join(str(part) for part in path)
        written = path[:-1] if first["type"] == "missing" else path
        line = line_of(toml, (*prefix, *written), first_line)
        raise _explain(model, field, path, first, line) from error


def _unspoken(table: dict[str, Any]) -> str | None:
    """Return the contract that a manifest asks for if no supported version meets it."""
    asked = table.get("contract")
    try:
        return asked if isinstance(asked, str) and negotiate(asked) is None else None
    except InvalidSpecifier:
        return None


def _explain(model: type[BaseModel], field: str, path: tuple[int | str, ...], error: Any, line: int) -> ManifestError:
    if error["type"] == "missing":
        example = {"name": '"my_format"', "version": '"1.0.0"', "contract": '">=1.0,<2"', "kind": '"lines"'}
        return ManifestError(f"field {field!r} is missing", f"add {path[-1]} = {example.get(str(path[-1]), '…')}", line)
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"remove it; known are {', '.join(known)}"
        return ManifestError(f"field {field!r} is not known", remedy, line)
    remedy = getattr(error.get("ctx", {}).get("error"), "remedy", "correct that value")
    return ManifestError(f"field {field!r} = {error['input']!r}: {in_words(error)}", remedy, line)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:  # one of a list, or of a table by name
            continue
        annotation: Any = model.model_fields[part].annotation
        inner = [a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type)]
        model = next((a for a in (annotation, *inner) if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return list(model.model_fields)
