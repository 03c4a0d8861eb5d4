"""A real HTTP server in the test: it takes batches by their keys, and fails, hangs and closes when it is told to."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Takes POSTs. `behave` says what is answered to a key and a body; None is 200, an exception closes half way."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Over TLS when given a context."""
        self.taken: dict[str, bytes] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Callable[[str, bytes], Answer | None] = lambda _key, _body: None
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers["Idempotency-Key"]
                try:
                    answer = server._take(key, body, dict(self.headers))
                except ConnectionError:
                    self.connection.close()
                    self.close_connection = True
                    return
                status, headers, text = answer or (200, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if context else "http"
        if context is not None:
            # The handshake is in the thread of its connection: a client that is refused holds up nobody.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] - whoever asked may have gone
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/logs?from=hostd"

    def _take(self, key: str, body: bytes, headers: dict[str, str]) -> Answer | None:
        with self._lock:
            self.asked.append((key, body))
            self.headers.append(headers)
        answer = self.behave(key, body)
        if answer is None:
            self.note(key, body)
        return answer

    def note(self, key: str, body: bytes) -> None:
        """Take a batch by its key: once, and a second time only with the same bytes."""
        with self._lock:
            assert self.taken.setdefault(key, body) == body, f"other bytes under {key}"

    def records(self, processor: str) -> list[dict[str, Any]]:
        """Return what was taken of a processor, in the order in which it came."""
        bodies = [body for key, body in self.taken.items() if key.startswith(f'"{processor}-')]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def hang(seconds: float) -> None:
    """Answer nothing for a while."""
    time.sleep(seconds)
