"""Syslog: datagrams over UDP and to a Unix socket, streams over TCP and TLS. One message is one line of one source.

Syslog has no answer: what was received and not spooled when the daemon is killed is gone. TCP is held up under
pressure; datagrams are left to the kernel, which drops what it has no room for, and counts it.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Any

from hostd import events
from hostd.errors import ConfigError
from hostd.pipeline.intake.inlet import Inlet, Tap
from hostd.pipeline.intake.intake import Doors
from hostd.pipeline.intake.secrets import server_context
from hostd.pipeline.intake.sparing import Sparing
from hostd.pipeline.intake.syslog_framing import Framing, line_of
from hostd.receiving import Address, SyslogSource, address

READ_BYTES = 256 << 10
DATAGRAM_BYTES = 65536
DATAGRAMS_AT_ONCE = 512
"""How many datagrams are taken in one turn of the event loop."""
DROPS_EVERY_S = 1.0
SO_MEMINFO, MEMINFO_DROPS = 55, 8
"""Linux: what a socket's memory is, in numbers of 32 bits; the ninth is how many datagrams it has dropped."""
REFUSALS_A_SECOND = 5
BACKLOG = 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SyslogIntake:
    """All listeners of one source."""

    def __init__(self, settings: SyslogSource, doors: Doors) -> None:
        self.ended = asyncio.Event()
        self.settings = settings
        self.messages = 0
        self.cut = 0
        self.refused = 0
        self.connections: set[_Connection] = set()
        self.buffer = memoryview(bytearray(READ_BYTES))  # of which asyncio's TLS takes slices, to write into them
        """What came last over any of the connections: it is taken out before the event loop goes on."""
        self._doors = doors
        self._name = f"syslog:{settings.name}"
        self._networks = tuple(ipaddress.ip_network(each) for each in settings.allow)
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[_Datagrams] = []
        self._listening: list[str] = []
        self._sparing = Sparing(REFUSALS_A_SECOND)

    async def start(self) -> None:
        """Listen. Raises ConfigError for certificates that cannot be used, OSError."""
        inlet = await self._doors.open("syslog", self.settings.name, self.settings, self)
        inlet.end_line()
        try:
            for text in self.settings.listen:
                try:
                    await self._listen(address(text), inlet)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, text) from error
        except BaseException:
            await self.close(0)
            raise

    async def close(self, grace_s: float) -> None:  # noqa: ARG002 - nobody waits to be answered
        """Take no more. May be called twice."""
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.hang_up()
        for datagrams in self._datagrams:
            datagrams.close()
        self._servers.clear()
        self._datagrams.clear()
        self._listening.clear()

    def status(self) -> dict[str, Any]:
        """Return where it listens, how much came, and what was dropped, refused and cut."""
        return {
            "listening": list(self._listening),
            "connections": len(self.connections),
            "messages": self.messages,
            "dropped": sum(each.dropped for each in self._datagrams),
            "refused": self.refused,
            "cut": self.cut,
        }

    def allows(self, peer: Any) -> bool:
        """Tell whether a peer may send; say so when it may not."""
        if not self._networks or not isinstance(peer, tuple) or is_in(peer[0], self._networks):
            return True
        self.refused += 1
        if self._sparing.may():
            events.emit(
                events.SYSLOG_REFUSED, source=self._name, client=str(peer[0]), unsaid=self._sparing.take_unsaid()
            )
        return False

    def say_cut(self, count: int, client: str) -> None:
        """Say that messages over the limit were cut."""
        self.cut += count
        limit = self.settings.max_message_kib
        events.emit(events.SYSLOG_CUT, source=self._name, client=client, messages=count, limit_kib=limit)

    async def _listen(self, where: Address, inlet: Inlet) -> None:
        if where.scheme == "unix":
            self._datagrams.append(_Datagrams(self, inlet, _unix_socket(where.host, self.settings), where.host))
            self._listening.append(str(where))
            return
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_DGRAM if where.scheme == "udp" else socket.SOCK_STREAM
        found = await loop.getaddrinfo(where.host, where.port, type=kind, flags=socket.AI_PASSIVE)
        family, _, _, _, bound = found[0]
        listener = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if kind == socket.SOCK_STREAM:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(bound)
        except OSError:
            listener.close()
            raise
        self._listening.append(str(where._replace(port=listener.getsockname()[1])))
        if where.scheme == "udp":
            self._datagrams.append(_Datagrams(self, inlet, listener, ""))
            return
        context = None
        if where.scheme == "tls":
            assert self.settings.certificate is not None
            try:
                context = server_context(self.settings.certificate, self.settings.key, self.settings.client_ca)
            except ConfigError:
                listener.close()
                raise
        self._servers.append(
            await loop.create_server(lambda: _Connection(self, inlet), sock=listener, ssl=context, backlog=BACKLOG)
        )


class _Connection(asyncio.BufferedProtocol):
    """One sender over TCP or TLS."""

    def __init__(self, intake: SyslogIntake, inlet: Inlet) -> None:
        self._intake = intake
        self._framing = Framing(intake.settings.max_message_kib << 10)
        self._tap = Tap(inlet, self._pause, self._resume)
        self._transport: asyncio.Transport | None = None
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._transport = transport
        if not self._intake.allows(peer):
            transport.abort()
            return
        self._intake.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._intake.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._take(self._framing.feed(bytes(self._intake.buffer[:nbytes])))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - what came before is whole or cut
        if self in self._intake.connections:
            self._intake.connections.discard(self)
            self._take(self._framing.end())

    def hang_up(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, lines: bytes) -> None:
        if lines:
            self._tap.give(lines)
        self._intake.messages += self._framing.messages
        self._framing.messages = 0
        if self._framing.cut:
            self._intake.say_cut(self._framing.cut, self._client)
            self._framing.cut = 0

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class _Datagrams:
    """One socket that datagrams come to. While there is no room they stay with the kernel."""

    def __init__(self, intake: SyslogIntake, inlet: Inlet, listener: socket.socket, path: str) -> None:
        self.dropped = 0
        self._kernel_drops = 0
        self._intake = intake
        self._inlet = inlet
        self._socket = listener
        self._path = path
        self._loop = asyncio.get_running_loop()
        _widen(listener, intake.settings.receive_buffer_kib << 10)
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop.add_reader(listener, self._read)

    def close(self) -> None:
        """Take what has come, and no more. May be called twice."""
        if self._is_closed:
            return
        while self._read() and self._inlet.has_room():
            continue
        self._is_closed = True
        self._loop.remove_reader(self._socket)
        if self._timer is not None:
            self._timer.cancel()
        self._look_for_drops()
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                Path(self._path).unlink()
        self._socket.close()

    def _read(self) -> bool:
        """Take what has come; tell whether there may be more."""
        receive, allows, is_inet = self._socket.recvfrom, self._intake.allows, not self._path
        lines: list[bytes] = []
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                message, peer = receive(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            if message and (not is_inet or allows(peer)):
                lines.append(line_of(message))
        if self._timer is None:
            self._timer = self._loop.call_later(DROPS_EVERY_S, self._look_for_drops)
        if not lines:
            return False
        self._intake.messages += len(lines)
        try:
            self._inlet.append(b"".join(lines))
        except OSError:
            self._drop(len(lines), self._inlet.trouble)
        if not self._inlet.has_room():
            self._loop.remove_reader(self._socket)
            self._inlet.call_when_room(self._resume)
        return len(lines) == DATAGRAMS_AT_ONCE

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._socket, self._read)

    def _look_for_drops(self) -> None:
        """Look what the kernel has dropped, a moment after something came: without datagrams there are no drops."""
        self._timer = None
        if self._path or sys.platform != "linux":
            return  # a Unix socket's senders wait
        numbers = struct.unpack("9I", self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
        if numbers[MEMINFO_DROPS] > self._kernel_drops:
            self._drop(numbers[MEMINFO_DROPS] - self._kernel_drops, "the kernel's buffer was full")
            self._kernel_drops = numbers[MEMINFO_DROPS]

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        events.emit(
            events.SYSLOG_DROPPED, source=self._inlet.source.name, messages=count, total=self.dropped, reason=reason
        )


def is_in(host: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address is in one of some networks, also one of IPv4 that came over IPv6."""
    where = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped is not None:
        where = where.ipv4_mapped
    return any(where in network for network in networks if network.version == where.version)


def _widen(listener: socket.socket, size: int) -> None:
    """Have the kernel hold more datagrams: beyond what everybody may ask for where hostd is allowed to."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), size)
    except OSError:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _unix_socket(path: str, settings: SyslogSource) -> socket.socket:
    """Return a socket at a path, in place of one that nobody listens to any more. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode) and not _is_alive(path):
            Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)
        os.chmod(path, settings.mode)  # noqa: PTH101
    except OSError:
        listener.close()
        raise
    return listener


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
