"""HTTP: MiB/s of NDJSON in posts of 1 MiB by four clients, and how long single lines take at 500 posts a second.

Each post is answered once its records are durably committed. The clients are threads of this process, on the cores that
the daemon and its workers run on; their CPU is shown. A turn is one run of a daemon of its own; the first is thrown
away. In the same turn another daemon reads the same lines from a file, with the same plugin: what that does is what
parsing, encoding and committing leave, and the ratio is what the way in by HTTP costs on top.
"""

import http.client
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.host import Host
from benchmarks.measure import MIB, Report, Target, percentile

CLIENTS = 4
TARGET_MIB_S = 100
POSTS_A_SECOND = 500
TARGET_P99_MS = 50
SENDERS = 16
"""How many connections the single lines come over: enough that none waits for the answer to the one before."""
SETTINGS = '[[sources]]\nkind = "http"\nlisten = "127.0.0.1:0"\nspool_mib = 256\n'
PLUGIN = """\
# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "ndjson"
# version = "1.0.0"
# contract = ">=1.0,<2"
# accepts = { names = ["http:*", "*.ndjson"] }
# ///
import msgspec


class Lines:
    def __init__(self):
        self._decode = msgspec.json.Decoder().decode_lines

    def parse(self, data, ctx):
        return self._decode(data)


def new_processor():
    return Lines()
"""
"""Parses JSON about as fast as Python can: it is the way in that is measured here, and not a parser."""


class Posted:
    """Turns of posts to a daemon, and what they took."""

    def __init__(self, scratch: Path, bodies: int, seconds: float) -> None:
        self.mib_s: list[float] = []
        self.client_cpu_ms: list[float] = []
        self.file_mib_s: list[float] = []
        self.answer_ms: list[float] = []
        self.wrong = 0
        self._scratch = scratch
        self._bodies = bodies
        self._seconds = seconds
        self._body, self._lines = ndjson(MIB)
        self._mib = CLIENTS * bodies * len(self._body) / MIB

    def turn(self) -> None:
        """Post once all bodies, then the single lines; count what came out. Raises RuntimeError."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name), SETTINGS) as host:
            (host.plugins / "ndjson.py").write_text(PLUGIN)
            host.start()
            wait_ready(host)
            where = urlsplit(host.event("intake.started")["listening"][0]).netloc
            post(where, b'{"a": 1}\n')  # the plugin serves, and a worker is warm
            began, used_s = time.monotonic(), time.process_time()
            at_once(CLIENTS, lambda _: self._post_bodies(where))
            took_s, used_s = time.monotonic() - began, time.process_time() - used_s
            self.mib_s.append(self._mib / took_s)
            self.client_cpu_ms.append(used_s / self._mib * 1000)
            self.answer_ms += self._pace(where)
            host.stop()
            wanted = 1 + CLIENTS * self._bodies * self._lines + int(POSTS_A_SECOND * self._seconds)
            self.wrong += abs((host.out / "ndjson.ndjson").read_bytes().count(b"\n") - wanted)

    def read_file(self) -> None:
        """Have a daemon read the same lines from a file. Raises RuntimeError."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name)) as host:
            (host.plugins / "ndjson.py").write_text(PLUGIN)
            with (host.logs / "bench.ndjson").open("wb") as log:
                for _ in range(CLIENTS * self._bodies):
                    log.write(self._body)
            host.start(once=True)
            if host.wait():
                raise RuntimeError(f"the daemon failed:\n{host.log.read_text()}")
            took_s = host.event("daemon.stopping")["at"] - host.event("daemon.ready")["at"]
            self.file_mib_s.append(self._mib / took_s)
            self.wrong += abs(
                (host.out / "ndjson.ndjson").read_bytes().count(b"\n") - CLIENTS * self._bodies * self._lines
            )

    def forget(self) -> None:
        """Throw away what was measured so far."""
        for samples in (self.mib_s, self.client_cpu_ms, self.file_mib_s, self.answer_ms):
            samples.clear()

    def _post_bodies(self, where: str) -> None:
        connection = http.client.HTTPConnection(where)
        for _ in range(self._bodies):
            while (status := send(connection, self._body)) == http.client.TOO_MANY_REQUESTS:
                time.sleep(0.01)
            if status != http.client.OK:
                raise RuntimeError(f"answered by {status}")
        connection.close()

    def _pace(self, where: str) -> list[float]:
        """Post single lines at an even pace; return the milliseconds from when each was due to its answer."""
        waited: list[float] = []
        count = int(POSTS_A_SECOND * self._seconds)
        begins = time.monotonic() + 0.05

        def paced(sender: int) -> None:
            connection = http.client.HTTPConnection(where)
            connection.connect()
            for number in range(sender, count, SENDERS):
                due = begins + number / POSTS_A_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
                if send(connection, b'{"level": "info", "message": "one line", "number": %d}\n' % number) != 200:
                    raise RuntimeError("a line was not taken")
                waited.append((time.monotonic() - due) * 1000)
            connection.close()

        at_once(SENDERS, paced)
        return waited


def ndjson(size: int) -> tuple[bytes, int]:
    """Return about `size` bytes of JSON lines, and how many they are."""
    chosen = random.Random(8)  # the same on every machine
    lines, length = [], 0
    while length < size:
        event = {
            "timestamp": f"2024-05-17T10:{chosen.randrange(10, 60)}:{chosen.randrange(10, 60)}Z",
            "level": chosen.choice(("debug", "info", "info", "info", "warning", "error")),
            "logger": f"shop.{chosen.choice(('cart', 'payment', 'search', 'login'))}",
            "message": f"{chosen.choice(('handled', 'queued', 'retried'))} request {chosen.randrange(1 << 32):08x}",
            "took_ms": chosen.randrange(1, 4000),
            "user": {"id": chosen.randrange(1 << 20), "country": chosen.choice(("DE", "FR", "US", "JP"))},
        }
        lines.append(json.dumps(event).encode() + b"\n")
        length += len(lines[-1])
    return b"".join(lines), len(lines)


def wait_ready(host: Host) -> None:
    """Wait until a daemon listens, and its plugin serves."""
    end = time.monotonic() + 30
    while not host.events("daemon.ready") or not host.events("generation.switched"):
        if time.monotonic() > end or not host.running:
            raise RuntimeError(f"the daemon is not ready:\n{host.log.read_text()}")
        time.sleep(0.01)


def post(where: str, body: bytes) -> int:
    """Post a body; return the status."""
    connection = http.client.HTTPConnection(where)
    try:
        return send(connection, body)
    finally:
        connection.close()


def send(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Post a body over an open connection; return the status."""
    connection.request("POST", "/v1/logs/bench", body)
    response = connection.getresponse()
    response.read()
    return response.status


def at_once(threads: int, function: Callable[[int], None]) -> None:
    """Call a function in several threads. Raises RuntimeError with the first failure of any."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            function(number)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            failures.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise RuntimeError(f"a client failed: {failures[0]!r}") from failures[0]


def run(*, quick: bool) -> Report:
    """Measure, and compare with the targets."""
    report = Report("http")
    with tempfile.TemporaryDirectory() as name:
        posted = Posted(Path(name), 8 if quick else 64, 1 if quick else 5)
        for number in range(2 if quick else 6):
            for measure in (posted.turn, posted.read_file) if number % 2 else (posted.read_file, posted.turn):
                measure()
            if not number:
                posted.forget()
    rates = report.add("1 MiB posts from 4 clients, acknowledged", "MiB/s", posted.mib_s)
    report.add("the same lines from a file, with start and end", "MiB/s", posted.file_mib_s)
    ratios = [ours / theirs for ours, theirs in zip(posted.mib_s, posted.file_mib_s, strict=True)]
    report.add("ratio posts / file", "x", ratios)
    report.add("CPU of the clients", "ms/MiB", posted.client_cpu_ms)
    report.add("single lines at 500/s, answered", "ms", posted.answer_ms)
    report.targets += [
        Target("1 MiB posts from 4 clients", rates.median, TARGET_MIB_S, "MiB/s", at_least=True),
        Target("single lines at 500/s, p99", percentile(posted.answer_ms, 99), TARGET_P99_MS, "ms"),
        Target("records lost or doubled", posted.wrong, 0, ""),
    ]
    return report
