"""The control socket: HTTP/1.1 on a Unix socket of mode 0600, so that curl can ask what `hostd status` asks.

curl --unix-socket state/hostd.sock http://hostd/status
"""

import asyncio
import json
import os
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import h11

from hostd import events
from hostd.control.address import TIMEOUT_S, short_name
from hostd.errors import HostdError

Arguments = dict[str, str]
"""What a request's query string says: each name once."""

Handler = Callable[[Arguments], Awaitable[Any]]


class ControlServer:
    """Answers `method path?arguments` by calling its handler; what that returns is sent as JSON.

    A handler raises HostdError for what cannot be done, KeyError for an argument that it needs.
    """

    def __init__(self, path: Path, handlers: dict[tuple[str, str], Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, in place of a socket that an earlier daemon left. The caller holds the state folder's lock."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            with short_name(self._path) as name:
                listener.bind(name)
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def close(self) -> None:
        """Take no more requests, and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                request = await _read_request(connection, reader)
                if request is not None:
                    status, body = await self._answer(request)
                    await _write_response(connection, writer, status, body)
        except (h11.ProtocolError, OSError, TimeoutError) as error:
            events.emit(events.CONTROL_FAILED, reason=f"{type(error).__name__}: {error}")
        finally:
            writer.close()

    async def _answer(self, request: h11.Request) -> tuple[int, Any]:
        method, target = request.method.decode(), request.target.decode()
        path, _, query = target.partition("?")
        handler = self._handlers.get((method, path))
        if handler is None:
            known = ", ".join(f"{verb} {path}" for verb, path in self._handlers)
            return 404, {"error": f"{method} {target} is not known; known are {known}"}
        try:
            return 200, await handler(_arguments(query))
        except HostdError as error:
            return 409, {
                "error": str(error),
                "where": error.where,
                "problem": error.problem,
                "remedy": error.remedy,
            }
        except (OSError, sqlite3.Error) as error:
            events.emit(events.CONTROL_FAILED, reason=f"{method} {path}: {type(error).__name__}: {error}")
            return 503, {"error": f"it cannot be told now: {error}; ask again in a moment"}
        except KeyError as error:
            return 400, {"error": f"{method} {path} needs the argument {error}; for example {path}?name=csv"}


def _arguments(query: str) -> Arguments:
    """Return what a query string says. Raises HostdError for a name without a value: it would count as not given."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    empty = next((name for name, value in given.items() if not value), None)
    if empty is not None:
        raise HostdError(f"argument {empty!r}", "is empty", "give it a value, or leave it out")
    return given


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return request


async def _write_response(connection: h11.Connection, writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    content = json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace") + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
    ]
    for event in (
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=content),
        h11.EndOfMessage(),
    ):
        writer.write(connection.send(event) or b"")
    await writer.drain()
