"""What a listener is given in files: a token, certificates, keys. None of it is ever logged."""

import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

from hostd.errors import ConfigError

SHORTEST = 16


def read_token(path: Path) -> bytes:
    """Return the token in a file that nobody else can read. Raises ConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang us
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            content = file.read(4096) or b""
    except OSError as error:
        remedy = "make it: umask 077; openssl rand -hex 32 > FILE"
        raise ConfigError(str(path), f"the token cannot be read: {error.strerror}", remedy) from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            str(path),
            f"others than hostd's user can reach the token: its mode is {mode:04o} and its owner {status.st_uid}",
            f"chmod 600 it, and chown it to user {os.geteuid()}",
        )
    token = content.strip()
    if len(token) < SHORTEST or len(token.split()) != 1:
        problem = f"a token is one word of {SHORTEST} characters at least"
        raise ConfigError(str(path), problem, "make another: umask 077; openssl rand -hex 32 > FILE")
    return token


def server_context(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """Return what a server needs for TLS; with `client_ca` clients must have a certificate. Raises ConfigError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # With a password of our own it does not ask on the terminal for that of a key that has one.
    _load(certificate, lambda: context.load_cert_chain(certificate, key, lambda: b""), key)
    if client_ca is not None:
        _load(client_ca, lambda: context.load_verify_locations(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(path: Path, load: Callable[[], None], key: Path | None = None) -> None:
    try:
        load()
    except ssl.SSLError as error:
        what = f"it, or the key in {key}, is no PEM, or they do not belong together" if key else "it is no PEM"
        reason = error.reason or "unknown"
        raise ConfigError(str(path), f"{what} ({reason})", "name the right files in the settings") from error
    except OSError as error:
        which = key if key is not None and error.filename is None and path.exists() else path
        raise ConfigError(str(which), f"it cannot be read: {error.strerror}", "correct its path or its mode") from error
