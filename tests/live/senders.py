"""One sender for each kind of received source: what its settings are, and how lines get there.

`send` returns when the lines are out of the sender's hands: with an answer where the kind has one.
"""

import fcntl
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from .harness import Daemon, Home

TIMEOUT_S = 20.0


class Sender:
    """Sends to one source of a home's daemons."""

    label: str
    is_answered = False
    may_drop = False
    """Whether what there is no room for is gone, and counted."""
    is_for_daemon_alone = True
    """Whether the source can be added to a daemon that runs."""
    may_be_held_up = True

    def __init__(self, home: Home) -> None:
        self.home = home

    def settings(self, more: str = "") -> str:
        """Return the table of the source."""
        raise NotImplementedError

    def attach(self, daemon: Daemon, count: int = 1) -> None:
        """Send to this daemon from now on; `count` is how often the source was begun in it."""
        event = daemon.wait_event("intake.started", count)
        self.where = event["listening"][0] if event["listening"] else ""

    def send(self, *lines: str) -> None:
        """Send lines, in order."""
        raise NotImplementedError

    def text_of(self, line: str) -> str:
        """Return the line that was sent, of the line that came."""
        return line

    def fill(self, lines: list[str]) -> int:
        """Send as many of these lines as are taken without waiting long; return how many were."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""


class _Pipe(Sender):
    """What writes into a pipe."""

    writing = -1
    reading = -1

    def send(self, *lines: str) -> None:
        rest = "".join(f"{line}\n" for line in lines).encode()
        while rest:
            assert select.select([], [self.writing], [], TIMEOUT_S)[1], "nobody reads"
            try:
                rest = rest[os.write(self.writing, rest[:4096]) :]
            except BlockingIOError:
                continue

    def fill(self, lines: list[str]) -> int:
        for number, line in enumerate(lines):
            if not select.select([], [self.writing], [], 1.0)[1]:
                return number
            os.write(self.writing, f"{line}\n".encode())  # less than PIPE_BUF: all of it or none
        return len(lines)

    def close(self) -> None:
        for fd in {self.reading, self.writing} - {-1}:
            os.close(fd)


class Stdin(_Pipe):
    label = "stdin"
    is_for_daemon_alone = False

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        home.stdin = self.reading

    def settings(self, more: str = "") -> str:
        return f'[[sources]]\nkind = "stdin"\nprocessor = "lines"\n{more}\n'


class Exec(_Pipe):
    label = "exec:cat"

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.fifo = home.path / "fifo"
        os.mkfifo(self.fifo)
        # Held open for reading too: it is never at its end, whoever comes and goes.
        self.writing = self.reading = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.writing, 1031, 4096)  # F_SETPIPE_SZ: what is in it is not held up

    def settings(self, more: str = "") -> str:
        return f'[[sources]]\nkind = "exec"\nname = "cat"\ncommand = ["cat", "fifo"]\nprocessor = "lines"\n{more}\n'

    def attach(self, daemon: Daemon, count: int = 1) -> None:
        daemon.wait_event("exec.started", count)


class Http(Sender):
    label = "http:app"
    is_answered = True
    tables = ""
    path = "/v1/logs/app"
    secure: ssl.SSLContext | None = None
    headers: ClassVar[dict[str, str]] = {}

    def settings(self, more: str = "") -> str:
        port = free_port(self.home)
        return (
            f'[[sources]]\nkind = "http"\nlisten = "127.0.0.1:{port}"\nprocessor = "lines"\ntimeout_s = 10\n'
            f"{self.tables}{more}\n"
        )

    def body(self, lines: tuple[str, ...]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode()

    def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Post once; return the status, the headers and the body of the answer."""
        url = urlsplit(self.where)
        assert url.hostname
        kind: Any = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        more = {"context": self.secure} if self.secure else {}
        connection = kind(url.hostname, url.port, timeout=TIMEOUT_S, **more)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", self.path, body, {**self.headers, **named})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def send(self, *lines: str) -> None:
        status, _, answer = self.post(self.body(lines))
        assert status == 200, answer

    def send_surely(self, line: str, key: str | None = None) -> None:
        """Send a line with a key until it is answered, whoever dies meanwhile."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                status, _, _ = self.post(self.body((line,)), Idempotency_Key=key or line)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
                continue
            if status == 200:
                return
            assert status in (429, 503), status
        raise AssertionError(f"never taken: {line}")

    def fill(self, lines: list[str]) -> int:
        url = urlsplit(self.where)
        taken, step = 0, 400
        waiting = []
        while taken < len(lines):
            batch = tuple(lines[taken : taken + step])
            connection = socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_S)
            body = self.body(batch)
            head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            connection.sendall(head.encode() + b"\r\n" + body)
            if select.select([connection], [], [], 0.3)[0]:  # an answer at once is that there is no room
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 429 "), answer
                assert b"\r\nRetry-After: 1\r\n" in answer
                connection.close()
                break
            waiting.append(connection)
            taken += len(batch)
        self.waiting = waiting
        return taken

    def close(self) -> None:
        for connection in getattr(self, "waiting", ()):
            connection.close()


class Otlp(Http):
    label = "otlp:http"
    tables = "otlp = true\n"
    path = "/v1/logs"
    headers: ClassVar[dict[str, str]] = {"Content-Type": "application/json"}

    def body(self, lines: tuple[str, ...]) -> bytes:
        records = [{"body": {"stringValue": line}} for line in lines]
        return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()

    def text_of(self, line: str) -> str:
        record = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        return str(record["body"]["stringValue"])


class _Syslog(Sender):
    label = "syslog:net"
    scheme = "tcp"
    more = ""
    connection: socket.socket | None = None

    def settings(self, more: str = "") -> str:
        port = free_port(self.home)
        return (
            f'[[sources]]\nkind = "syslog"\nlisten = ["{self.scheme}://127.0.0.1:{port}"]\nprocessor = "lines"\n'
            f"{self.more}{more}\n"
        )

    def attach(self, daemon: Daemon, count: int = 1) -> None:
        super().attach(daemon, count)
        self.close()
        self.connection = self.connect(int(self.where.rpartition(":")[2]))

    def connect(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)

    def framed(self, line: str) -> bytes:
        return f"{line}\n".encode()

    def send(self, *lines: str) -> None:
        assert self.connection is not None
        self.connection.sendall(b"".join(map(self.framed, lines)))

    def fill(self, lines: list[str]) -> int:
        """Send until the connection takes no more; what it has of the last message is no whole one."""
        assert self.connection is not None
        self.connection.settimeout(1.0)
        for number, line in enumerate(lines):
            message = self.framed(line)
            try:
                self.connection.sendall(message)
            except TimeoutError:
                self.connection.settimeout(TIMEOUT_S)
                return number
        return len(lines)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class SyslogTcp(_Syslog):
    pass


class SyslogCounted(_Syslog):
    def framed(self, line: str) -> bytes:
        return f"{len(line) + 4} <13>{line}".encode()

    def text_of(self, line: str) -> str:
        return line.removeprefix("<13>")


class SyslogTls(SyslogCounted):
    scheme = "tls"

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        certificates(home.path)
        self.more = 'certificate = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"\n'

    def connect(self, port: int) -> socket.socket:
        return client_context(self.home.path).wrap_socket(super().connect(port), server_hostname="localhost")

    may_be_held_up = False


class SyslogUdp(_Syslog):
    scheme = "udp"
    may_drop = True

    def connect(self, port: int) -> socket.socket:
        connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        connection.connect(("127.0.0.1", port))
        return connection

    def send(self, *lines: str) -> None:
        assert self.connection is not None
        for line in lines:
            self.connection.send(line.encode())

    def fill(self, lines: list[str]) -> int:
        self.send(*lines)
        return len(lines)


class SyslogUnix(_Syslog):
    def settings(self, more: str = "") -> str:
        return f'[[sources]]\nkind = "syslog"\nlisten = ["unix:log.sock"]\nprocessor = "lines"\n{more}\n'

    def attach(self, daemon: Daemon, count: int = 1) -> None:
        Sender.attach(self, daemon, count)
        self.close()
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.connection.settimeout(TIMEOUT_S)
        self.connection.connect(self.where.removeprefix("unix:"))

    def send(self, *lines: str) -> None:
        assert self.connection is not None
        for line in lines:
            self.connection.send(line.encode())

    def fill(self, lines: list[str]) -> int:
        assert self.connection is not None
        self.connection.settimeout(1.0)
        for number, line in enumerate(lines):
            try:
                self.connection.send(line.encode())
            except (TimeoutError, BlockingIOError):
                return number
        return len(lines)


KINDS: list[type[Sender]] = [
    Stdin,
    Exec,
    Http,
    Otlp,
    SyslogTcp,
    SyslogCounted,
    SyslogTls,
    SyslogUdp,
    SyslogUnix,
]


def free_port(home: Home) -> int:
    """Return a port that is free now, the same for one home: a restart listens where the one before has."""
    kept = home.path / "port"
    if not kept.exists():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            kept.write_text(str(probe.getsockname()[1]))
    return int(kept.read_text())


def certificates(folder: Path) -> None:
    """Make an authority, and by it a server's certificate for localhost, and a client's."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name in ("server", "client"):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-days", "2", "-extfile", "names"),
        )


def client_context(folder: Path, *, certified: bool = True) -> ssl.SSLContext:
    """Return what a client needs to talk to that server."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if certified:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context
