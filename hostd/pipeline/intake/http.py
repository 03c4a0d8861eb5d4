"""Logs that are posted: `POST /v1/logs/SOURCE`, and OTLP's on `POST /v1/logs`. 200 says that they are committed.

What cannot be taken is refused before it is read where that can be told, and never in silence: by its status, with the
reason and what to do, and where it is more than pressure also by an event.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Any

import aiohttp
from aiohttp import web

from hostd import events
from hostd.pipeline.intake import otlp
from hostd.pipeline.intake.bodies import BodyError, Held, receive
from hostd.pipeline.intake.inlet import Inlet, MixedError
from hostd.pipeline.intake.intake import Doors
from hostd.pipeline.intake.posts import OtherBodyError
from hostd.pipeline.intake.secrets import read_token, server_context
from hostd.pipeline.intake.sparing import Sparing
from hostd.receiving import NAME, HttpSource, address

LOGS = "/v1/logs"
MOST_SOURCES = 1000
"""How many sources one listener opens: their names are chosen by whoever posts."""
BODIES_AT_ONCE = 4
"""How many of the largest bodies may be in memory at once."""
READ_BYTES = 1 << 20
MOST_KEY = 255
SAY_NOTHING = ("application/octet-stream", "application/x-www-form-urlencoded")
"""Media types that clients send when they are told none."""
REFUSALS_A_SECOND = 10
UNAVAILABLE = "it is kept, and will be committed; ask again with the same Idempotency-Key to know"


class HttpIntake:
    """One listener. Answers are JSON, but to protobuf protobuf."""

    def __init__(self, settings: HttpSource, doors: Doors) -> None:
        self.ended = asyncio.Event()
        self._settings = settings
        self._doors = doors
        self._posts = doors.posts
        self._held = Held(BODIES_AT_ONCE * settings.max_body_mib << 20)
        self._token: bytes | None = None
        self._runner: web.ServerRunner | None = None
        self._listening = ""
        self._inlets: dict[tuple[str, str], Inlet] = {}
        self._deadlines: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = 0
        self._is_closing = False
        self._answered: Counter[int] = Counter()
        self._sparing = Sparing(REFUSALS_A_SECOND)

    async def start(self) -> None:
        """Listen. Raises ConfigError for a token or a certificate that cannot be used, OSError."""
        settings = self._settings
        if settings.token_file is not None:
            self._token = read_token(settings.token_file)
        context: ssl.SSLContext | None = None
        if settings.certificate is not None:
            context = server_context(settings.certificate, settings.key, settings.client_ca)
        where = address(settings.listen, "tcp")
        server = web.Server(
            self._handle,
            auto_decompress=False,
            read_bufsize=READ_BYTES,
            access_log=None,
            logger=_quiet_logger(),
        )
        self._runner = runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, where.host, where.port, ssl_context=context, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        port = runner.addresses[0][1]
        self._listening = f"{'https' if context else 'http'}://{settings.listen.rpartition(':')[0]}:{port}"

    async def close(self, grace_s: float) -> None:
        """Take no more. Those who wait for the commit are told of it, or after a time that it is not done."""
        if self._runner is None:
            return
        self._is_closing = True
        for site in list(self._runner.sites):
            await site.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)
        for deadline in self._deadlines:
            deadline.reschedule(asyncio.get_running_loop().time())
        await self._runner.cleanup()
        self._runner = None

    def status(self) -> dict[str, Any]:
        """Return where it listens, and how many requests were answered with which status."""
        return {
            "listening": [self._listening] if self._listening else [],
            "otlp": self._settings.otlp,
            "answered": {str(status): count for status, count in sorted(self._answered.items())},
        }

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy += 1
        self._idle.clear()
        try:
            response = await self._answer(request)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        self._answered[response.status] += 1
        if self._is_closing:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """Take in what is posted, and answer."""
        is_otlp = request.path == LOGS
        try:
            self._check(request)
            inlet = await self._inlet(*(("otlp", self._settings.name) if is_otlp else ("http", _name(request.path))))
            if not inlet.has_room():
                why = inlet.trouble or f"{inlet.source.name} has more than it can commit in time"
                raise BodyError(503 if inlet.trouble else 429, f"{why}; send it again later")
            return await (self._take_otlp(request, inlet) if is_otlp else self._take(request, inlet))
        except BodyError as error:
            self._say_refused(request, error)
            return _refusal(error) if not is_otlp else otlp.refusal(request.content_type, error)

    def _check(self, request: web.BaseRequest) -> None:
        """Refuse what need not be looked at any further. Raises BodyError."""
        if self._token is not None:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise BodyError(401, "it needs the token: Authorization: Bearer TOKEN")
        path = request.path
        if path != LOGS and not path.startswith(f"{LOGS}/"):
            raise BodyError(404, f"there is nothing at {path}; post to {LOGS}/SOURCE")
        if request.method != "POST":
            raise BodyError(405, f"{request.method} is not known here; post to {LOGS}/SOURCE")
        if path == LOGS and not self._settings.otlp:
            raise BodyError(404, f"OTLP is not taken here (otlp = true takes it); post lines to {LOGS}/SOURCE")
        if self._is_closing:
            raise BodyError(503, "hostd is stopping; send it again later")
        length = request.content_length
        if length is not None and length > self._settings.max_body_mib << 20:
            raise BodyError(413, f"the body has {length} bytes, over max_body_mib = {self._settings.max_body_mib}")

    async def _inlet(self, kind: str, name: str) -> Inlet:
        """Return where what is posted to a name goes in. Raises BodyError."""
        inlet = self._inlets.get((kind, name))
        if inlet is not None:
            return inlet
        if kind == "http" and not any(fnmatchcase(name, glob) for glob in self._settings.sources):
            raise BodyError(
                403, f"{name!r} may not be posted to (sources); known are {', '.join(self._settings.sources)}"
            )
        if len(self._inlets) >= MOST_SOURCES:
            raise BodyError(403, f"there are {MOST_SOURCES} sources already; post to one of them")
        try:
            inlet = await self._doors.open(kind, name, self._settings, self)
        except OSError as error:
            events.emit(events.SPOOL_FAILED, source=f"{kind}:{name}", reason=error.strerror or str(error), retry_s=None)
            raise BodyError(503, f"it cannot be spooled: {error.strerror}; send it again later") from error
        self._inlets[kind, name] = inlet
        return inlet

    async def _take(self, request: web.BaseRequest, inlet: Inlet) -> web.Response:
        parts, held = await self._receive(request)
        try:
            if parts and not parts[-1].endswith(b"\n"):
                parts.append(b"\n")
            was_known = await self._commit(request, inlet, parts, _declared(request))
        finally:
            self._held.give(held)
        size = sum(map(len, parts))
        return _json(200, {"source": inlet.source.name, "bytes": size, "known": was_known})

    async def _take_otlp(self, request: web.BaseRequest, inlet: Inlet) -> web.Response:
        parts, held = await self._receive(request)
        try:
            lines = await asyncio.to_thread(otlp.to_lines, request.content_type, b"".join(parts))
            await self._commit(request, inlet, [lines] if lines else [])
        finally:
            self._held.give(held)
        return otlp.success(request.content_type)

    async def _receive(self, request: web.BaseRequest) -> tuple[list[bytes], int]:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        coding = request.headers.get("Content-Encoding", "").strip().lower()
        return await receive(_chunks(request), coding, self._settings.max_body_mib << 20, self._held)

    async def _commit(self, request: web.BaseRequest, inlet: Inlet, parts: list[bytes], media_type: str = "") -> bool:
        """Have a body committed; tell whether it had come before. Raises BodyError."""
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > MOST_KEY:
            raise BodyError(400, f"the Idempotency-Key has more than {MOST_KEY} characters; send a shorter one")
        if not key.isascii():
            raise BodyError(
                400, "the Idempotency-Key has characters that are not ASCII; send one of letters and digits"
            )
        if not parts:
            return False
        deadline = asyncio.timeout(self._settings.timeout_s)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                return await self._posts.take(inlet, parts, key, media_type)
        except TimeoutError:
            why = "hostd is stopping" if self._is_closing else f"not committed within {self._settings.timeout_s:g} s"
            raise BodyError(503, f"{why}; {UNAVAILABLE if not self._is_closing else 'send it again later'}") from None
        except MixedError as mixed:
            raise BodyError(503, f"{inlet.source.name}: {mixed}; send it again later") from None
        except OtherBodyError:
            raise BodyError(422, "this Idempotency-Key came with another body before; send a new key") from None
        except OSError as error:
            raise BodyError(503, f"it cannot be spooled: {error.strerror}; send it again later") from error
        finally:
            self._deadlines.discard(deadline)

    def _say_refused(self, request: web.BaseRequest, error: BodyError) -> None:
        if error.status == 429 or not self._sparing.may():
            return  # pressure is counted, and is what the protocol has this status for
        events.emit(
            events.POST_REFUSED,
            source=f"http:{self._settings.name}",
            client=str(request.remote),
            status=error.status,
            reason=error.reason,
            unsaid=self._sparing.take_unsaid(),
        )


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Raises BodyError when it does not come to its end."""
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, ConnectionError) as error:
        raise BodyError(400, f"the body did not come to its end: {type(error).__name__}") from error


def _declared(request: web.BaseRequest) -> str:
    """Return the media type of a body (RFC 9110, 8.3.1); empty where it says nothing, as what curl sends by itself."""
    return "" if request.content_type in SAY_NOTHING else request.content_type


def _name(path: str) -> str:
    name = path.removeprefix(f"{LOGS}/")
    if not re.fullmatch(NAME, name):
        raise BodyError(404, f"{name!r} is no name of a source; it is letters, digits, '.', '_' and '-', 64 at most")
    return name


def _refusal(error: BodyError) -> web.Response:
    response = _json(error.status, {"error": error.reason})
    response.headers.update(error.headers)
    return response


def _json(status: int, answer: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(answer).encode() + b"\n", content_type="application/json")


class _Failures(logging.Handler):
    """What the server's library logs of a request that it, or we, could not answer."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        reason = f"{record.getMessage()}: {type(error).__name__}: {error}" if error else record.getMessage()
        events.emit(events.POST_FAILED, reason=reason)


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("hostd.http")
    if not logger.handlers:
        logger.addHandler(_Failures(logging.WARNING))
        logger.propagate = False
    return logger
