"""hostd.toml: every key validated, every path made absolute, every error with its line and a way out."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.manifest import ReadablePath, line_of
from hostd import early
from hostd.early import find as find
from hostd.errors import ConfigError


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    options: dict[str, dict[str, Any]] = Field(
        {}, description="`[plugins.options.NAME]`: handed to that processor, validated by its `Options`."
    )
    sandbox: Sandbox = Field(Sandbox(), description="`[plugins.sandbox]`: how plugins are confined.")


class FileSource(_Table):
    """Files that are read as they grow."""

    kind: Literal["file"] = Field("file", description='"file".')
    paths: tuple[str, ...] = Field(description="Globs, `**` included; files that appear later are found too.")
    processor: str | None = Field(None, description="The processor for these files, instead of routing.")


class NdjsonSink(_Table):
    """One file of JSON lines for each processor."""

    kind: Literal["ndjson"] = Field("ndjson", description='"ndjson".')
    folder: Path = Field(Path("out"), description="Records go to `<folder>/<processor>.ndjson`.")
    processors: tuple[str, ...] = Field(("*",), description="Globs on processor names whose records go here.")


class StdoutSink(_Table):
    """JSON lines on the daemon's standard output; a restart may repeat the last ones."""

    kind: Literal["stdout"] = Field("stdout", description='"stdout".')
    processors: tuple[str, ...] = Field(("*",), description="Globs on processor names whose records go here.")


Sink = Annotated[Union[NdjsonSink, StdoutSink], Field(discriminator="kind")]  # noqa: UP007


class Pipeline(_Table):
    """How bytes move."""

    source_field: str = Field(
        "@source", max_length=64, description="The record field that names the source; empty for none."
    )
    memory_mib: int = Field(128, ge=8, le=65536, description="MiB of input and records under way at once.")


class Workers(_Table):
    """The processes that run plugins."""

    busy: int = Field(0, ge=0, le=1024, description="Workers parsing at once; 0 for the number of cores.")
    idle_s: float = Field(30.0, gt=0, description="Seconds after which an idle worker ends.")


class State(_Table):
    """What must survive a restart."""

    folder: Path = Field(
        Path(early.STATE_FOLDER), description="Ledger, private copies of plugins, control socket; mode 0700."
    )


class Daemon(_Table):
    """The daemon itself."""

    grace_s: float = Field(10.0, gt=0, description="Seconds that SIGTERM leaves for what is under way.")


class Log(_Table):
    """The daemon's own log, on standard error."""

    format: Literal["auto", "console", "json"] = Field(
        "auto", description='"console" for people, "json" for machines, "auto" by whether it is a terminal.'
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The lowest level shown.")


class Config(_Table):
    """The settings of one daemon. `path` is the file they came from, None for the defaults."""

    plugins: Plugins = Plugins()
    sources: tuple[FileSource, ...] = ()
    sinks: tuple[Sink, ...] = (NdjsonSink(),)
    pipeline: Pipeline = Pipeline()
    workers: Workers = Workers()
    state: State = State()
    daemon: Daemon = Daemon()
    log: Log = Log()

    @property
    def busy_workers(self) -> int:
        """How many workers may parse at once."""
        return (
            self.workers.busy or len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (self.workers.busy or os.cpu_count() or 1)
        )


def load(path: Path | None) -> Config:
    """Read the settings in `path`, or the defaults; relative paths are the file's (or this folder's).

    Raises ConfigError.
    """
    if path is None:
        return _absolute(Config(), Path.cwd())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}", "check the path given with --config") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}", "mend that line") from error
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise _explain(path, text, error) from error
    return _absolute(config, path.absolute().parent)


def _absolute(config: Config, base: Path) -> Config:
    def join(path: Path | str) -> Path:
        return Path(os.path.normpath(base / path))

    return config.model_copy(
        update={
            "plugins": config.plugins.model_copy(update={"folder": join(config.plugins.folder)}),
            "state": config.state.model_copy(update={"folder": join(config.state.folder)}),
            "sources": tuple(
                source.model_copy(update={"paths": tuple(str(join(glob)) for glob in source.paths)})
                for source in config.sources
            ),
            "sinks": tuple(
                sink.model_copy(update={"folder": join(sink.folder)}) if isinstance(sink, NdjsonSink) else sink
                for sink in config.sinks
            ),
        }
    )


def _explain(path: Path, text: str, errors: ValidationError) -> ConfigError:
    found = errors.errors(include_url=False)
    # A misspelled key is missing too; its name is the better hint.
    error = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    parts = [part for part in error["loc"] if part not in ("ndjson", "stdout")]
    field = ".".join(str(part) for part in parts)
    names = [part for part in parts if isinstance(part, str)]
    where = f"{path}:{line_of(text, names)}"
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        close = difflib.get_close_matches(names[-1], known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(known)}"
        return ConfigError(where, f"setting {field!r} is not known", remedy)
    if error["type"] == "missing":
        return ConfigError(where, f"setting {field!r} is missing", "add it")
    if error["type"].startswith("union_tag"):
        return ConfigError(where, f"setting {field!r}: {error['msg']}", 'write kind = "ndjson" or kind = "stdout"')
    message = str(error["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")
    return ConfigError(where, f"setting {field!r} = {error['input']!r}: {message}", "correct that value")


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {
        "sources": FileSource,
        "grants": Grant,
        "ndjson": NdjsonSink,
        "stdout": StdoutSink,
    }
    model: type[BaseModel] = Config
    for part in location:
        if part in tables:
            model = tables[str(part)]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
    return list(model.model_fields)
