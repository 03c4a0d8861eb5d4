"""Sealed files of JSON lines to a server, as batches that are POSTed with an Idempotency-Key.

Batches are cut by what the sealed file is named, and its name is part of the key: a batch has the same bytes under the
same key at every try, also after a restart. A server that knows the keys it has taken takes each batch once.
"""

import errno
import http.client
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from hostd import __version__, clock, events
from hostd.pipeline.sinks.staged import PostponedError, Sealed, fsync_path

SENT = ".sent"
REFUSED = "refused"
ANSWER_BYTES = 4096
LONGEST_WAIT_S = 3600.0
SHOWN = 300

OF_CONTENT = (400, 413, 415, 422)
"""Refusals of these very records: to send them again is of no use, and others may be taken."""


class Trust(Struct, frozen=True):
    """Whose server is trusted, and what to show to it: files in PEM. Without `ca` the system's own decide."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a client needs for TLS. Raises OSError."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def __str__(self) -> str:
        given = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        return ", ".join(f"{name} = {path}" for name, path in given.items() if path is not None)


class HttpCarrier:
    """Posts to one URL over one connection, which is kept open."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        batch_bytes: int,
        timeout_s: float,
        stage: Path,
        trust: Trust | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.tag = str(batch_bytes)
        self.takes_blocks = False
        self.progress = 0
        self._url = url
        self._host, self._port = parts.hostname or "", parts.port
        self._is_secure = parts.scheme == "https"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/x-ndjson", "User-Agent": f"hostd/{__version__}", **headers}
        self._trust = trust or Trust()
        self._timeout_s = timeout_s
        self._refused = stage / REFUSED
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def begin(self) -> None:
        """What was left half done is known by its file."""

    def deliver(self, sealed: Sealed) -> None:
        progress = sealed.path.with_name(sealed.path.name + SENT)
        offset = _sent(progress)
        with sealed.path.open("rb") as file:
            for batch in batches(file.fileno(), offset, int(sealed.tag)):
                self._post(sealed, offset, batch)
                offset += len(batch)
                self.progress += 1
                # Not made durable: what is sent again after a loss of power has the same key.
                temporary = progress.with_name(f"{progress.name}.new")
                temporary.write_text(str(offset))
                temporary.replace(progress)
        progress.unlink(missing_ok=True)

    def interrupt(self) -> None:
        with self._lock:
            self._is_stopped = True
            connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(2)

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, sealed: Sealed, offset: int, batch: bytes) -> None:
        key = f"{sealed.processor}-{sealed.seal}-{offset}"
        status, reason, answer, after = self._ask(batch, {**self._headers, "Idempotency-Key": f'"{key}"'}, sealed)
        if 200 <= status < 300:
            return
        said = f"{self._url} answered {status} {reason}" + (f": {answer}" if answer else "")
        if status in OF_CONTENT:
            self._set_aside(key, batch, said, sealed.processor)
        elif status in (429, 503) and after is not None:
            raise PostponedError(said, after)
        else:
            raise OSError(errno.EPROTO, said)

    def _ask(self, batch: bytes, headers: Mapping[str, str], sealed: Sealed) -> tuple[int, str, str, float | None]:
        """Return status, reason, the beginning of the answer, and after how many seconds to come again."""
        connection = self._connect()
        try:
            connection.request("POST", self._target, batch, {**headers, "X-Hostd-Processor": sealed.processor})
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES)
            is_over = response.will_close or not response.isclosed()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise OSError(errno.ECONNABORTED, f"{self._url}: {error or type(error).__name__}") from error
        if is_over:
            self.close()
        text = answer.decode("utf-8", "replace").strip()[:SHOWN]
        return response.status, response.reason, text, retry_after_s(response.getheader("Retry-After"))

    def _connect(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._is_stopped:
                raise OSError(errno.ECANCELED, "hostd stops before all was delivered")
            if self._connection is None:
                if self._is_secure:
                    self._connection = http.client.HTTPSConnection(
                        self._host, self._port, timeout=self._timeout_s, context=self._context()
                    )
                else:
                    self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            return self._connection

    def _context(self) -> ssl.SSLContext:
        """Return whom to trust; read anew for each connection, so that a certificate may be renewed meanwhile."""
        try:
            return self._trust.context()
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(errno.EINVAL, f"{self._url}: {self._trust} cannot be used: {reason}") from error

    def _set_aside(self, key: str, batch: bytes, reason: str, processor: str) -> None:
        """Keep a batch that the server does not want, durable on return."""
        self._refused.mkdir(exist_ok=True)
        path = self._refused / f"{key}.ndjson"
        path.write_bytes(batch)
        fsync_path(path)
        fsync_path(self._refused)
        events.emit(
            events.SINK_BATCH_REFUSED,
            sink=self._url,
            processor=processor,
            records=batch.count(b"\n"),
            reason=reason,
            kept=str(path),
        )


def _sent(progress: Path) -> int:
    """Return how much of a file is delivered; 0 where that is lost, as by a loss of power: the keys are the same."""
    try:
        said = progress.read_bytes()
    except FileNotFoundError:
        return 0
    return int(said) if said.isdigit() else 0


def batches(fd: int, offset: int, most_bytes: int) -> Iterator[bytes]:
    """Yield a file from `offset` on in pieces of whole lines of at most so many bytes; a longer one is by itself."""
    while piece := os.pread(fd, most_bytes, offset):
        end = piece.rfind(b"\n") + 1
        while not end:
            more = os.pread(fd, most_bytes, offset + len(piece))
            piece += more
            end = piece.find(b"\n") + 1 or (0 if more else len(piece))
        yield piece[:end]
        offset += end


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that a server asks to wait, an hour at most; None when it asks for nothing that is known."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), LONGEST_WAIT_S)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    return min(max(0.0, when.timestamp() - clock.epoch_ms() / 1000), LONGEST_WAIT_S)
