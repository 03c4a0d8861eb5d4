"""The settings of each kind of sink: one model a kind, every field with its description.

A kind that needs an extra says so while the settings are read, so that nothing starts that could not write.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, Union
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hostd.extras import missing

PROCESSORS = "Globs on processor names whose records go here."


def needs(module: str, extra: str) -> None:
    """Raise ValueError when a library is not there that comes with an extra."""
    if lack := missing(module, extra):
        raise ValueError("; ".join(lack))


class _Sink(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    on_disk: ClassVar[str | None] = None
    """Which of its settings is the folder or the file that it writes to, if one is."""

    @property
    def own(self) -> tuple[Path, ...]:
        """What it writes: never read as a source."""
        return (getattr(self, self.on_disk),) if self.on_disk else ()

    @property
    def place(self) -> str:
        """Where its records go: no two sinks may share it. Empty where that does not matter."""
        return str(getattr(self, self.on_disk)) if self.on_disk else ""

    def joined(self, join: Callable[[Path], Path]) -> Self:
        """Return the same with absolute paths."""
        return self.model_copy(update={self.on_disk: join(getattr(self, self.on_disk))}) if self.on_disk else self


class NdjsonSink(_Sink):
    """One file of JSON lines for each processor."""

    on_disk = "folder"
    kind: Literal["ndjson"] = Field("ndjson", description='"ndjson".')
    folder: Path = Field(Path("out"), description="Records go to `<folder>/<processor>.ndjson`.")
    processors: tuple[str, ...] = Field(("*",), description=PROCESSORS)
    direct: bool = Field(
        default=True,
        description="Whether 4 MiB or more that are committed at once go to the disk past the system's cache, where the"
        " file system lets them. With false a reader that follows closely has them from the cache, and a file system"
        " that compresses can.",
    )
    rotate_mib: float = Field(0, ge=0, description="MiB from which on a file is rotated; 0 for never.")
    rotate_hours: float = Field(
        0,
        ge=0,
        le=8784,
        description="Hours, counted from midnight UTC, that one file is for: 24 for a file a day; 0 for no limit. It is"
        " rotated when the next record comes.",
    )
    keep: int = Field(0, ge=0, description="How many rotated files of a processor are kept; 0 for all.")
    compress: Literal["none", "zstd"] = Field(
        "none", description='"zstd" compresses what is rotated, which needs Python 3.14, or hostd[zstd].'
    )

    @field_validator("compress")
    @classmethod
    def _check_compress(cls, compress: str) -> str:
        if compress == "zstd" and sys.version_info < (3, 14):
            needs("backports.zstd", "zstd")
        return compress


class SqliteSink(_Sink):
    """One table for each processor in a SQLite database, readable while hostd writes. Faster with hostd[sqlite]."""

    on_disk = "path"
    kind: Literal["sqlite"] = Field("sqlite", description='"sqlite".')
    path: Path = Field(
        Path("records.db"),
        description="The database. A table is named like its processor; it has the record as JSON in `_record`, a"
        " number in `_id`, and a column for each top-level key that holds text, numbers or booleans.",
    )
    processors: tuple[str, ...] = Field(("*",), description=PROCESSORS)

    @property
    def own(self) -> tuple[Path, ...]:
        return tuple(self.path.with_name(f"{self.path.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal"))


class ParquetSink(_Sink):
    """Parquet files in folders by processor and date, which appear whole. Needs hostd[parquet]."""

    on_disk = "folder"
    kind: Literal["parquet"] = Field("parquet", description='"parquet".')
    folder: Path = Field(
        Path("parquet"), description="Files are `<folder>/processor=NAME/date=YYYY-MM-DD/part-….parquet`."
    )
    processors: tuple[str, ...] = Field(("*",), description=PROCESSORS)
    flush_records: int = Field(
        200_000, ge=1, le=10_000_000, description="From how many records of a processor on a file is written."
    )
    flush_s: float = Field(
        60.0, gt=0, description="Seconds after which a file is written of what there is; until then it is staged."
    )
    backlog_mib: int = Field(
        4096, ge=1, description="MiB of records that may be staged in the state folder; beyond, reading waits."
    )

    @field_validator("kind")
    @classmethod
    def _check_library(cls, kind: str) -> str:
        needs("pyarrow", "parquet")
        return kind


class HttpSink(_Sink):
    """Batches of JSON lines, POSTed with an Idempotency-Key that is the same at every try, across restarts too."""

    kind: Literal["http"] = Field("http", description='"http".')
    url: str = Field(pattern=r"^https?://[^/\s]+", description="Where batches are POSTed to, http or https.")
    headers: dict[str, str] = Field({}, description='More headers, such as `Authorization = "Bearer …"`.')
    ca: Path | None = Field(
        None,
        description="A file with the certificate of whoever signs the server's, in PEM, for https; without it those"
        " that the system trusts.",
    )
    certificate: Path | None = Field(
        None, description="A file with a certificate to show to the server, in PEM, where it asks for one (mTLS)."
    )
    key: Path | None = Field(None, description="A file with the certificate's key, where that is not in the same file.")
    processors: tuple[str, ...] = Field(("*",), description=PROCESSORS)
    batch_kib: int = Field(1024, ge=1, le=65536, description="KiB of records in one request at most.")
    linger_s: float = Field(1.0, gt=0, description="Seconds that records may wait for more to go with them.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds that a server may take to answer.")
    backlog_mib: int = Field(
        1024, ge=1, description="MiB of records that may be staged in the state folder; beyond, reading waits."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.port == 0 or not parts.hostname:  # `port` raises ValueError for what is none
            raise ValueError("names no host, or no port")
        return url

    @field_validator("ca", "certificate", "key")
    @classmethod
    def _check_file(cls, path: Path, info: ValidationInfo) -> Path:
        if str(info.data.get("url")).startswith("http:"):
            raise ValueError("is of no use without TLS; set an https url, or leave it out")
        if info.field_name == "key" and info.data.get("certificate") is None:
            raise ValueError("is of no use without a certificate; set certificate, too")
        return path

    @property
    def place(self) -> str:
        return self.url

    def joined(self, join: Callable[[Path], Path]) -> Self:
        given = {name: getattr(self, name) for name in ("ca", "certificate", "key")}
        return self.model_copy(update={name: join(path) for name, path in given.items() if path is not None})


class StdoutSink(_Sink):
    """JSON lines on the daemon's standard output; a restart may repeat the last ones."""

    kind: Literal["stdout"] = Field("stdout", description='"stdout".')
    processors: tuple[str, ...] = Field(("*",), description=PROCESSORS)


Sink = Annotated[Union[NdjsonSink, SqliteSink, ParquetSink, HttpSink, StdoutSink], Field(discriminator="kind")]  # noqa: UP007

KINDS: dict[str, type[BaseModel]] = {
    "ndjson": NdjsonSink,
    "sqlite": SqliteSink,
    "parquet": ParquetSink,
    "http": HttpSink,
    "stdout": StdoutSink,
}
