"""Syslog over TCP: messages/s from the first that is sent to the last that is committed, none lost.

Counted and ended by line feeds, over two connections each, parsed by the plugin that ships. The senders are threads of
this process, on the cores that the daemon and its workers run on.
"""

import random
import socket
import tempfile
import time
from pathlib import Path

from benchmarks.host import SHIPPED, Host
from benchmarks.http import at_once, wait_ready
from benchmarks.measure import Report, Target

TARGET_A_SECOND = 100_000
CONNECTIONS = 2
BLOCK = 2000
SETTINGS = '[[sources]]\nkind = "syslog"\nlisten = ["tcp://127.0.0.1:0"]\n'


class Sent:
    """Turns of messages in one framing."""

    def __init__(self, scratch: Path, blocks: int, *, counted: bool) -> None:
        self.a_second: list[float] = []
        self.wrong = 0
        self._scratch = scratch
        self._blocks = blocks
        self._counted = counted

    def turn(self) -> None:
        """Send all, and wait until they are committed. Raises RuntimeError."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as name, Host(Path(name), SETTINGS) as host:
            (host.plugins / "syslog.py").write_bytes((SHIPPED / "syslog.py").read_bytes())
            host.start()
            wait_ready(host)
            port = int(host.event("intake.started")["listening"][0].rpartition(":")[2])
            count = CONNECTIONS * self._blocks * BLOCK
            began = time.monotonic()
            at_once(CONNECTIONS, lambda number: self._send(port, number))
            found = wait_records(host, host.out / "syslog.ndjson", count)
            self.a_second.append(count / (time.monotonic() - began))
            host.stop()
            self.wrong += abs(found - count)

    def _send(self, port: int, number: int) -> None:
        block = b"".join(framed(each, counted=self._counted) for each in messages(number))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(self._blocks):
                connection.sendall(block)


def messages(seed: int) -> list[bytes]:
    """Return a block of messages of RFC 5424."""
    chosen = random.Random(seed)
    return [
        f"<{chosen.randrange(192)}>1 2024-05-17T10:05:03.{chosen.randrange(1000):03}Z host{chosen.randrange(9)}.example"
        f" app{chosen.randrange(20)} {chosen.randrange(1, 65536)} - - request {chosen.randrange(1 << 32):08x} took"
        f" {chosen.randrange(4000)} ms".encode()
        for _ in range(BLOCK)
    ]


def framed(message: bytes, *, counted: bool) -> bytes:
    """Return a message as RFC 6587 sends it."""
    return b"%d %s" % (len(message), message) if counted else message + b"\n"


def wait_records(host: Host, path: Path, count: int) -> int:
    """Return how many lines a file has, once it has so many or gets no more for a while."""
    found, position, last = 0, 0, time.monotonic()
    while found < count and time.monotonic() - last < 10 and host.running:
        if path.exists() and path.stat().st_size > position:
            with path.open("rb") as file:
                file.seek(position)
                content = file.read()
            position += len(content)
            found += content.count(b"\n")
            last = time.monotonic()
        time.sleep(0.01)
    return found


def run(*, quick: bool) -> Report:
    """Measure, and compare with the targets."""
    report = Report("syslog")
    with tempfile.TemporaryDirectory() as name:
        for counted in (True, False):
            what = "counted" if counted else "ended by a line feed"
            sent = Sent(Path(name), 10 if quick else 100, counted=counted)
            sent.turn()
            sent.a_second.clear()
            for _ in range(1 if quick else 5):
                sent.turn()
            rates = report.add(f"messages {what}", "/s", sent.a_second)
            report.targets += [
                Target(f"messages {what}", rates.median, TARGET_A_SECOND, "/s", at_least=True),
                Target(f"messages {what} lost or doubled", sent.wrong, 0, ""),
            ]
    return report
