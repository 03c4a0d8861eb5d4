"""What plugins depend on, in the tests: wheels of small libraries, and an index that answers when it is told to."""

import base64
import hashlib
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


def library(
    folder: Path, name: str, version: str, *, requires: tuple[str, ...] = (), files: Mapping[str, str] | None = None
) -> Path:
    """Build the wheel of a library in `folder`: a module that says its version, or `files`."""
    info = f"{name}-{version}.dist-info"
    requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        **(files or {f"{name}.py": f'VERSION = __version__ = "{version}"\n'}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD,,\n"
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


class SlowIndex:
    """A package index of the wheels in a folder, on this machine, at `url`.

    `asked` is set when somebody asks it; it answers once `release` is set.
    """

    def __init__(self, folder: Path) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.set()
                index.release.wait(60)
                name = self.path.strip("/").split("/")[-1]
                if (folder / name).is_file():
                    body, kind = (folder / name).read_bytes(), "application/octet-stream"
                else:
                    wheels = [path.name for path in folder.iterdir() if path.name.startswith(f"{name}-")]
                    body = "".join(f'<a href="/files/{wheel}">{wheel}</a>\n' for wheel in wheels).encode()
                    kind = "text/html"
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                """Tests say what went wrong."""

            def handle(self) -> None:
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    return  # whoever asked was killed

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
