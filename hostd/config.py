"""hostd.toml: every key validated, every path made absolute, every error with its line and a way out."""

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from contract.manifest import ReadablePath
from contract.toml_lines import line_of
from hostd import early, receiving
from hostd.config_errors import explain
from hostd.early import find as find
from hostd.errors import ConfigError, SourceError, StateError
from hostd.receiving import ExecSource, HttpSource, Received, StdinSource, SyslogSource
from hostd.sink_settings import KINDS
from hostd.sink_settings import NdjsonSink as NdjsonSink
from hostd.sink_settings import Sink as Sink
from hostd.sink_settings import SqliteSink as SqliteSink
from hostd.sink_settings import StdoutSink as StdoutSink


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Table):
    """Recent input, parsed by a new version aside before it goes live."""

    mode: Literal["refuse", "warn", "off"] = Field(
        "refuse", description="What to do about a version that no longer parses what the current one does."
    )
    regressions: int = Field(0, ge=0, description="How many records it may fail that the current version parses.")
    keep_kib: int = Field(64, ge=0, le=4096, description="KiB of recent input kept for each plugin.")


class Probation(_Table):
    """The time after a swap in which the version before stays ready, and takes what the new one fails."""

    length_s: float = Field(60.0, ge=0, description="Seconds until a version counts as proven; 0 for no probation.")
    allowance: int = Field(
        0, ge=0, description="How many batches may fail on the new version alone before it is rolled back."
    )


def _digest(text: str) -> str:
    if re.fullmatch("[0-9a-fA-F]{64}", text) is None:
        raise ValueError("is not a SHA-256, 64 hexadecimal digits as sha256sum prints them")
    return text.lower()


class Trust(_Table):
    """Which artifacts may run here. Whatever is set must hold, all of it."""

    ownership: bool = Field(
        default=True,
        description="The folder, those above it, and each artifact belong to root or the daemon's user, and nobody "
        "else may write them; a sticky folder above, like `/tmp`, passes.",
    )
    sha256: tuple[Annotated[str, AfterValidator(_digest)], ...] = Field(
        (), description="Only artifacts with one of these SHA-256 digests are taken; empty for any."
    )
    allowed_signers: Path | None = Field(
        None,
        description="An OpenSSH `allowed_signers` file: only artifacts with a signature beside them (`csv.py.sig`, as "
        "`ssh-keygen -Y sign -n hostd` makes it) by a key in it are taken.",
    )


class Grant(_Table):
    """What one plugin may reach beyond its input, if its manifest's `needs` asks for it."""

    network: bool = Field(False, description="The network.")  # noqa: FBT003
    paths: tuple[ReadablePath, ...] = Field((), description="Files and folders that it may read.")


class Sandbox(_Table):
    """How plugins are confined."""

    mode: early.SandboxMode = Field(
        early.SANDBOX_MODE,
        description='"auto": under bubblewrap where that works; "required": there, or not at all; "off": not.',
    )
    grants: dict[str, Grant] = Field(
        {}, description="`[plugins.sandbox.grants.NAME]`: what that plugin may reach, of what it needs."
    )


class Plugins(_Table):
    """Where plugins are dropped, and what the operator sets for them."""

    folder: Path = Field(Path("plugins.d"), description="The folder that is watched for plugins.")
    find_links: tuple[Path, ...] = Field(
        (), description="Folders of wheels that plugins may depend on, beside the indexes that uv knows."
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="`[plugins.options.NAME]`: handed to that processor, validated by its `Options`."
    )
    trial: Trial = Field(Trial(), description="What a new version must parse before it goes live.")
    probation: Probation = Field(Probation(), description="How long a new version can still be rolled back by itself.")
    trust: Trust = Field(Trust(), description="`[plugins.trust]`: which artifacts may run here.")
    sandbox: Sandbox = Field(Sandbox(), description="How plugins are confined, and what they may reach beyond that.")


class FileSource(_Table):
    """Files that are read as they grow."""

    kind: Literal["file"] = Field("file", description='"file".')
    paths: tuple[str, ...] = Field(description="Globs, `**` included; files that appear later are found too.")
    processor: str | None = Field(None, description="The processor for these files, instead of routing.")
    decode: bool = Field(
        default=True,
        description="Whether files that begin as gzip, zstd, bzip2, xz or zip do are unpacked, and those that begin"
        " with the mark of UTF-16 are handed over as UTF-8; false hands all bytes over as they are.",
    )
    partial_line_s: float = Field(
        0.0,
        ge=0,
        description="Seconds without a write after which a last line that has no end is taken as it is; 0 for never:"
        " it is held until its end is written, or the file has ended.",
    )


def kind(source: Any) -> str | None:
    """Return the kind of a source, which need not be named for files; None of what is no source."""
    if isinstance(source, dict):
        return str(source.get("kind", "file"))
    return getattr(source, "kind", None)


Source = Annotated[
    Union[  # noqa: UP007
        Annotated[FileSource, Tag("file")],
        Annotated[StdinSource, Tag("stdin")],
        Annotated[ExecSource, Tag("exec")],
        Annotated[HttpSource, Tag("http")],
        Annotated[SyslogSource, Tag("syslog")],
    ],
    Discriminator(kind),
]


class Pipeline(_Table):
    """How bytes move."""

    source_field: str = Field(
        "@source", max_length=64, description="The record field that names the source; empty for none."
    )
    memory_mib: int = Field(128, ge=8, le=65536, description="MiB of input and records under way at once.")


class Provenance(_Table):
    """What is remembered of where each record comes from, for `hostd explain` and `hostd reparse`."""

    keep_mib: int = Field(
        64, ge=1, le=65536, description="MiB of the ledger for where records lie; beyond, the oldest are forgotten."
    )
    keep_days: int = Field(
        90, ge=1, le=36500, description="Days after which that, and sources whose files are gone, are forgotten."
    )


class Workers(_Table):
    """The processes that run plugins."""

    busy: int = Field(0, ge=0, le=1024, description="Workers parsing at once; 0 for the number of cores.")
    idle_s: float = Field(30.0, gt=0, description="Seconds after which an idle worker ends.")
    start_timeout_s: float = Field(
        30.0, gt=0, description="Seconds in which a plugin must be imported, make its processor, and pass its samples."
    )
    losses: int = Field(
        5, ge=1, description="How many batches a generation may lose its worker with, within `losses_window_s`."
    )
    losses_window_s: float = Field(60.0, gt=0, description="Seconds in which `losses` count; more, and it is failing.")


class State(_Table):
    """What must survive a restart."""

    folder: Path = Field(
        Path(early.STATE_FOLDER), description="Ledger, private copies of plugins, control socket; mode 0700."
    )


class DeadLetters(_Table):
    """How long input that could not be parsed is kept. The oldest goes first."""

    keep_days: float = Field(90.0, ge=0, description="Days for which a dead letter is kept; 0 for ever.")
    keep_mib: int = Field(
        512, ge=0, le=1 << 20, description="MiB that all dead letters may take in the ledger; 0 for no limit."
    )


class Daemon(_Table):
    """The daemon itself."""

    grace_s: float = Field(10.0, gt=0, description="Seconds that SIGTERM leaves for what is under way.")
    watch: Literal["auto", "poll"] = Field(
        "auto",
        description='"auto" waits for the kernel\'s events, and polls a folder that it gives none for; "poll" looks at'
        " all folders every second, for network and virtual machine mounts.",
    )


class Log(_Table):
    """The daemon's own log, on standard error."""

    format: Literal["auto", "console", "json"] = Field(
        "auto", description='"console" for people, "json" for machines, "auto" by whether it is a terminal.'
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The lowest level shown.")


class Config(_Table):
    """The settings of one daemon. `path` is the file they came from, None for the defaults."""

    plugins: Plugins = Plugins()
    sources: tuple[Source, ...] = ()
    sinks: tuple[Sink, ...] = (NdjsonSink(),)
    pipeline: Pipeline = Pipeline()
    workers: Workers = Workers()
    provenance: Provenance = Provenance()
    state: State = State()
    dead_letters: DeadLetters = DeadLetters()
    daemon: Daemon = Daemon()
    log: Log = Log()

    @property
    def files(self) -> tuple[FileSource, ...]:
        """The sources that are files."""
        return tuple(source for source in self.sources if isinstance(source, FileSource))

    @property
    def received(self) -> tuple[Received, ...]:
        """The sources that are not."""
        return tuple(source for source in self.sources if isinstance(source, Received))

    @property
    def busy_workers(self) -> int:
        """How many workers may parse at once."""
        return (
            self.workers.busy or len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (self.workers.busy or os.cpu_count() or 1)
        )


MOST_NESTED = 100
"""How deep tables and lists may lie in each other: what looks through them does so call by call."""


def load(path: Path | None) -> Config:
    """Read the settings in `path`, or the defaults; relative paths are the file's (or this folder's).

    Raises ConfigError.
    """
    if path is None:
        return _absolute(Config(), Path.cwd())
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        by = ", which HOSTD_CONFIG names" if os.environ.get("HOSTD_CONFIG") == str(path) else ""
        raise ConfigError(
            str(path), f"cannot be read: {error.strerror}", f"check its path{by}, and its mode"
        ) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}", "is not UTF-8", "save it as UTF-8") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}", "mend that line") from error
    except (ValueError, RecursionError) as error:  # a number, or a nesting, that nobody means
        raise ConfigError(str(path), f"cannot be read: {error}", "make it simpler") from error
    try:
        _check_values(table)
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"cannot be used: {error}", "correct that value") from error
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise explain(path, text, error, _known_keys) from error
    for source, fault in receiving.check(config.received):
        number = next(at for at, each in enumerate(config.sources) if each is source)
        where = f"{path}:{line_of(text, ['sources', number, fault.key])}"
        raise ConfigError(where, f"setting 'sources.{number}.{fault.key}': {fault.problem}", fault.remedy)
    config = _absolute(config, path.absolute().parent)
    _check_sinks(config, path, text)
    return config


def _check_values(value: object, depth: int = 0) -> None:
    """Raise ValueError for what no setting means: it would be found only where it is used."""
    if depth > MOST_NESTED:
        raise ValueError(f"it is nested deeper than {MOST_NESTED}")
    if isinstance(value, dict):
        _check_values(list(value), depth + 1)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check_values(each, depth + 1)
    elif isinstance(value, str) and "\0" in value:
        raise ValueError(f"{value!r} has a NUL")


@contextmanager
def placing(path: Path | None, sources: Sequence[Source]) -> Iterator[None]:
    """Have an error of a source that cannot be begun name the line of the settings at `path` that asks for it."""
    try:
        yield
    except SourceError as error:
        number = next((at for at, each in enumerate(sources) if _is_of(each, error)), None)
        if path is None or number is None:
            raise
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it is gone since it was read
            raise error from None
        line = line_of(text, ["sources", number, error.key])
        raise StateError(f"{path}:{line}", f"{error.where}: {error.problem}", error.remedy) from error


def _is_of(source: Source, error: SourceError) -> bool:
    return isinstance(source, Received) and (source.kind, source.name) == (error.kind, error.name)


def _absolute(config: Config, base: Path) -> Config:
    def join(path: Path | str) -> Path:
        return Path(os.path.normpath(base / path))

    trust = config.plugins.trust
    if trust.allowed_signers is not None:
        trust = trust.model_copy(update={"allowed_signers": join(trust.allowed_signers)})
    return config.model_copy(
        update={
            "plugins": config.plugins.model_copy(
                update={
                    "folder": join(config.plugins.folder),
                    "trust": trust,
                    "find_links": tuple(join(folder) for folder in config.plugins.find_links),
                }
            ),
            "state": config.state.model_copy(update={"folder": join(config.state.folder)}),
            "sources": tuple(
                source.model_copy(update={"paths": tuple(str(join(glob)) for glob in source.paths)})
                if isinstance(source, FileSource)
                else receiving.absolute(source, join)
                for source in config.sources
            ),
            "sinks": tuple(sink.joined(join) for sink in config.sinks),
        }
    )


def _check_sinks(config: Config, path: Path, text: str) -> None:
    """Raise ConfigError when two sinks would write to the same place: each would undo what the other wrote."""
    places: set[str] = set()
    for number, sink in enumerate(config.sinks):
        if sink.place in places:
            raise ConfigError(
                f"{path}:{line_of(text, ['sinks', number])}",
                f"two of 'sinks' write to {sink.place}",
                "give each a place of its own, or make one of them, with the processors of both",
            )
        if sink.place:
            places.add(sink.place)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    if len(location) > 2 and location[0] == "sources":
        return list(receiving.KINDS.get(str(location[2]), FileSource).model_fields)
    tables: dict[str, type[BaseModel]] = {
        "grants": Grant,
        **KINDS,
    }
    model: type[BaseModel] = Config
    for part in location:
        if part in tables:
            model = tables[str(part)]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
    return list(model.model_fields)
