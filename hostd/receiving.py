"""The settings of sources whose bytes lie in no file: what `[[sources]]` of the kinds stdin, exec, http and syslog say.

What a field alone cannot tell, such as that an address is open to everybody, `check` refuses.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hostd.extras import missing

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SCHEMES = ("udp", "tcp", "tls", "unix")


class Address(NamedTuple):
    """Where to listen. `host` is a path for the scheme unix, and `port` 0 then; a port 0 is any that is free."""

    scheme: str
    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.scheme == "unix" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.host}"
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address(text: str, scheme: str = "") -> Address:
    """Read `HOST:PORT`, or with its scheme `udp://HOST:PORT`, `unix:PATH`. Raises ValueError."""
    if not scheme:
        scheme, _, text = text.partition(":")
        if scheme not in SCHEMES:
            raise ValueError('is no address; write "udp://HOST:PORT", "tcp://…", "tls://…", or "unix:PATH"')
        if scheme == "unix":
            return Address(scheme, text, 0)
        if not text.startswith("//"):
            raise ValueError(f'is no address; write "{scheme}://HOST:PORT"')
        text = text[2:]
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError('is no address; write "HOST:PORT", such as "127.0.0.1:8080"')
    try:
        host.encode("idna")  # as whoever looks it up does, and raises what is no OSError
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no name of a host") from error
    return Address(scheme, host.removeprefix("[").removesuffix("]"), int(port))


def _is_address(text: str) -> str:
    address(text)
    return text


def _is_tcp(text: str) -> str:
    address(text, "tcp")
    return text


def _is_network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


class Received(BaseModel):
    """What all of these have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    name: str
    processor: str | None = Field(None, description="The processor for it, instead of routing.")
    spool_mib: int = Field(
        64,
        ge=1,
        le=65536,
        description="MiB that may wait, received and not committed, in the state folder; beyond it whoever sends waits"
        " too. The disk holds up to 8 MiB more.",
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The fields that name files."""
        return ()


class StdinSource(Received):
    """What comes on standard input, at most once; `hostd run --once` reads it to its end."""

    kind: Literal["stdin"] = Field("stdin", description='"stdin".')
    name: Literal["stdin"] = Field("stdin", description="The source is called `stdin`.")


class ExecSource(Received):
    """What a command prints, at most once."""

    kind: Literal["exec"] = Field("exec", description='"exec".')
    name: str = Field(pattern=NAME, description="The source is called `exec:NAME`.")
    command: tuple[str, ...] = Field(
        min_length=1, description='The program and its arguments; no shell, unless it is one: `["sh", "-c", "…"]`.'
    )
    folder: Path = Field(Path(), description="Where it is run.")
    restart: Literal["always", "on-failure", "never"] = Field(
        "always",
        description="When it is started again after it has ended: after a second at first, and up to a minute if it"
        " ends again and again within a minute.",
    )
    stderr: Literal["events", "source"] = Field(
        "events",
        description="What becomes of its standard error: `exec.said` events, or a source `exec:NAME.stderr`.",
    )


class HttpSource(Received):
    """What is posted over HTTP, `POST /v1/logs/SOURCE`, each answered once it is committed."""

    kind: Literal["http"] = Field("http", description='"http"; needs the extra `hostd[http]`.')
    name: str = Field(
        "http", pattern=NAME, description="What it is called in the status; OTLP's source is `otlp:NAME`."
    )
    listen: Annotated[str, AfterValidator(_is_tcp)] = Field(
        "127.0.0.1:8080", description="`HOST:PORT`; a port 0 is any that is free, and the log says which."
    )
    sources: tuple[str, ...] = Field(("*",), description="Globs on the names SOURCE that may be posted to.")
    otlp: bool = Field(
        default=False,
        description="Whether OTLP logs are taken too, on `POST /v1/logs`, as protobuf and as JSON; needs the extra"
        " `hostd[otlp]`.",
    )
    token_file: Path | None = Field(
        None, description="A file of mode 0600 with the token that each request must bear: `Authorization: Bearer …`."
    )
    certificate: Path | None = Field(None, description="A file with the server's certificate, in PEM: HTTPS alone.")
    key: Path | None = Field(None, description="A file with the certificate's key, where that is not in the same file.")
    client_ca: Path | None = Field(
        None, description="A file with the certificate of whoever signs the clients', which must then have one (mTLS)."
    )
    max_body_mib: int = Field(16, ge=1, le=1024, description="MiB that a body may have, unpacked.")
    timeout_s: float = Field(
        30.0, gt=0, description="Seconds after which a post that is not committed is answered by 503."
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The fields that name files."""
        return "token_file", "certificate", "key", "client_ca"


class SyslogSource(Received):
    """What is sent as syslog, over UDP, TCP, TLS, or to a Unix socket. One message is one line."""

    kind: Literal["syslog"] = Field("syslog", description='"syslog".')
    name: str = Field("net", pattern=NAME, description="The source is called `syslog:NAME`.")
    listen: tuple[Annotated[str, AfterValidator(_is_address)], ...] = Field(
        min_length=1,
        description='`"udp://HOST:PORT"`, `"tcp://HOST:PORT"`, `"tls://HOST:PORT"`, `"unix:PATH"` (datagrams), any of'
        " them.",
    )
    allow: tuple[Annotated[str, AfterValidator(_is_network)], ...] = Field(
        (), description='Networks, such as `"10.0.0.0/8"`, that may send; all others are refused. Empty for any.'
    )
    certificate: Path | None = Field(None, description="A file with the server's certificate, in PEM, for `tls://`.")
    key: Path | None = Field(None, description="A file with the certificate's key, where that is not in the same file.")
    client_ca: Path | None = Field(
        None, description="A file with the certificate of whoever signs the clients', which must then have one (mTLS)."
    )
    max_message_kib: int = Field(
        64, ge=1, le=16384, description="KiB that a message over TCP or TLS may have; the rest of it is cut off."
    )
    receive_buffer_kib: int = Field(
        8192, ge=4, le=1 << 20, description="KiB that the kernel is asked to hold of datagrams, as far as it allows."
    )
    mode: int = Field(
        0o666,
        ge=0,
        le=0o777,
        description="Of a Unix socket, such as `0o660`; by default everybody may log, as to `/dev/log`: `0o666`.",
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The fields that name files."""
        return "certificate", "key", "client_ca"


KINDS: dict[str, type[Received]] = {
    "stdin": StdinSource,
    "exec": ExecSource,
    "http": HttpSource,
    "syslog": SyslogSource,
}


def absolute(source: Received, join: Callable[[Path | str], Path]) -> Received:
    """Return the settings of a source with absolute paths."""
    paths: dict[str, Any] = {
        field: join(value) for field in source.secrets if (value := getattr(source, field)) is not None
    }
    if isinstance(source, ExecSource):
        paths["folder"] = join(source.folder)
    if isinstance(source, SyslogSource):
        paths["listen"] = tuple(
            f"unix:{join(each.removeprefix('unix:'))}" if each.startswith("unix:") else each for each in source.listen
        )
    return source.model_copy(update=paths)


class Fault(NamedTuple):
    """What is wrong with a source's settings, in which key, and what to do."""

    key: str
    problem: str
    remedy: str


def check(sources: Iterable[Received]) -> Iterator[tuple[Received, Fault]]:
    """Tell what is wrong with sources, and could not be seen from one field alone."""
    seen: set[tuple[str, str]] = set()
    for source in sources:
        if (source.kind, source.name) in seen:
            problem = f"there are two of kind {source.kind!r} with the name {source.name!r}"
            yield source, Fault("name", problem, "give one of them another name")
        seen.add((source.kind, source.name))
        yield from ((source, fault) for fault in _faults(source))


def _faults(source: Received) -> Iterator[Fault]:
    if isinstance(source, HttpSource):
        yield from _missing(source)
        if not address(source.listen, "tcp").is_local and source.token_file is None and source.client_ca is None:
            yield Fault(
                "listen",
                f"everybody could post to {source.listen}",
                "set token_file, or certificate and client_ca, or listen on 127.0.0.1",
            )
    if isinstance(source, SyslogSource):
        for where in map(address, source.listen):
            guarded = source.allow or (where.scheme == "tls" and source.client_ca)
            if not where.is_local and not guarded:
                remedy = "set allow to the networks that may, or for tls:// client_ca, or listen on 127.0.0.1"
                yield Fault("listen", f"everybody could send to {where}", remedy)
            if where.scheme == "tls" and source.certificate is None:
                yield Fault("listen", f"{where} needs a certificate", "set certificate, and key")
    if isinstance(source, HttpSource | SyslogSource):
        for field in ("key", "client_ca"):
            if getattr(source, field) is not None and source.certificate is None:
                yield Fault(field, f"{field} is of no use without a certificate", "set certificate")


def _missing(source: HttpSource) -> Iterator[Fault]:
    needed = [("kind", '"http"', "aiohttp", "http")]
    if source.otlp:
        needed.append(("otlp", "true", "opentelemetry.proto", "otlp"))
    for key, value, module, extra in needed:
        if lack := missing(module, extra):
            problem, remedy = lack
            yield Fault(key, f"{key} = {value} {problem}", remedy)
