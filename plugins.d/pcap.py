# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "pcap"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Captured packets: pcap (both byte orders, micro- and nanoseconds) and pcapng."
# framing = "stream"
# limits = { snapshot_kib = 16384 }
#
# [tool.hostd.accepts]
# head = """\
#   \\A(\\xd4\\xc3\\xb2\\xa1|\\xa1\\xb2\\xc3\\xd4|\\x4d\\x3c\\xb2\\xa1|\\xa1\\xb2\\x3c\\x4d\
#   |\\x0a\\x0d\\x0d\\x0a[\\x00-\\xff]{4}(\\x1a\\x2b\\x3c\\x4d|\\x4d\\x3c\\x2b\\x1a))"""
# priority = -10
#
# [[tool.hostd.samples]]
# name = "a.pcap"
# encoding = "base64"
# input = """\
#   1MOyoQIABAAAAAAAAAAAAP//AAABAAAAzytHZpguAgAsAAAALAAAAAAAAAAAAAAAAAAAAAgARQAAHgABAABAEQAAwAACBwoAAAHPCAA1AAoAAGhp"""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143000Z", "captured": 44, "length": 44, "link_type": 1, "source":
#    "192.0.2.7", "destination": "10.0.0.1", "protocol": "udp", "source_port": 53000, "destination_port": 53,
#    "data": "AAAAAAAAAAAAAAAACABFAAAeAAEAAEARAADAAAIHCgAAAc8IADUACgAAaGk="}''',
# ]
#
# [[tool.hostd.samples]]
# name = "a.pcapng"
# encoding = "base64"
# input = """\
#   Cg0NChwAAABNPCsaAQAAAP//////////HAAAAAEAAAAgAAAAZQAAAP//AAAJAAEACQAAAAAAAAAgAAAABgAAADgAAAAAAAAAnT7QF8FXnUAVAAAA\
#   HgAAAEUAABUAAQAAQAEAAMAAAgcKAAABeAAAADgAAAA="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143000001Z", "captured": 21, "length": 30, "link_type": 101, "source":
#    "192.0.2.7", "destination": "10.0.0.1", "protocol": "icmp", "data": "RQAAFQABAABAAQAAwAACBwoAAAF4",
#    "interface": 0}''',
# ]
# ///
"""Captured packets, as tcpdump (pcap) and Wireshark (pcapng) write them.

Keys: `timestamp`, `captured` and `length` in bytes, `link_type` (as https://www.tcpdump.org/linktypes.html numbers
them), `interface` (pcapng), `data` (the packet, in base64), and of IPv4 and IPv6 over Ethernet, raw IP, loopback
and Linux' cooked capture `source`, `destination`, `protocol`, `source_port`, `destination_port`.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_address

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_MOST_BYTES = 8 << 20
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_WITH_PORTS = {6, 17, 132}
_IP_AT = {0: 4, 1: 14, 12: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
"""Where the IP header begins, by link type: loopback, Ethernet, raw IP, Linux' cooked captures."""


class PcapStream(ByteStream):
    """`kept` holds the byte `order`; of pcap the `per_second` and the `link_type`, of pcapng the `interfaces`."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < 24:
                return
            if data[:4] in _MAGIC:
                order, per_second = _MAGIC[data[:4]]
                link_type = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
                self.kept = {"order": order, "per_second": per_second, "link_type": link_type}
                self.used = 24
            elif data[:4] == _SECTION:
                self.kept = {"order": "<", "interfaces": []}
            else:
                raise ValueError(f"begins with {data[:4].hex(' ')}, which is neither pcap nor pcapng")
        yield from self._blocks(data) if "interfaces" in self.kept else self._packets(data)

    def _packets(self, data: bytes) -> Iterator[Record]:
        layout = struct.Struct(self.kept["order"] + "IIII")
        per_second, link_type = self.kept["per_second"], self.kept["link_type"]
        while self.used + 16 <= len(data):
            seconds, part, captured, length = layout.unpack_from(data, self.used)
            if captured > _MOST_BYTES:
                raise ValueError(f"a packet of {captured} bytes at {self.used}: the capture is damaged here")
            start, end = self.used + 16, self.used + 16 + captured
            if end > len(data):
                return
            self.used = end
            yield _packet(seconds * per_second + part, per_second, length, link_type, data[start:end])

    def _blocks(self, data: bytes) -> Iterator[Record]:
        while self.used + 12 <= len(data):
            start = self.used
            if data[start : start + 4] == _SECTION:
                self.kept["order"] = "<" if data[start + 8 : start + 12] == b"\x4d\x3c\x2b\x1a" else ">"
                self.kept["interfaces"] = []
            order = self.kept["order"]
            kind, size = struct.unpack_from(order + "II", data, start)
            if not 12 <= size <= _MOST_BYTES or size % 4:
                raise ValueError(f"a block of {size} bytes at {start}: the capture is damaged here")
            if start + size > len(data):
                return
            self.used = start + size
            body = data[start + 8 : start + size - 4]
            try:
                yield from self._block(kind, body, order)
            except (struct.error, IndexError, ValueError) as error:
                self.ctx.reject(data[start : start + size], f"a block of type {kind} that is damaged: {error}")

    def _block(self, kind: int, body: bytes, order: str) -> Iterator[Record]:
        interfaces = self.kept["interfaces"]
        if kind == 1:
            interfaces.append([struct.unpack_from(order + "H", body)[0], _resolution(body[8:], order)])
        elif kind == 6:
            number, high, low, captured, length = struct.unpack_from(order + "IIIII", body)
            link_type, per_second = interfaces[number]
            packet = _packet(high << 32 | low, per_second, length, link_type, body[20 : 20 + captured])
            yield {**packet, "interface": number}
        elif kind == 3:
            length = struct.unpack_from(order + "I", body)[0]
            packet = _packet(None, 1, length, interfaces[0][0], body[4 : 4 + length])
            yield {**packet, "interface": 0}


def _resolution(options: bytes, order: str) -> int:
    """Return the units in a second of an interface's times; of powers of two the next power of ten."""
    position = 0
    while position + 4 <= len(options):
        code, size = struct.unpack_from(order + "HH", options, position)
        if code == 0:
            break
        if code == 9 and size == 1:
            exponent = options[position + 4]
            if exponent & 0x80:
                raise IndexError(f"times in units of 2^-{exponent & 0x7F} s are not supported")
            return int(10 ** min(exponent, 18))
        position += 4 + size + -size % 4
    return 10**6


def _packet(ticks: int | None, per_second: int, length: int, link_type: int, packet: bytes) -> dict[str, JsonValue]:
    return {
        **({"timestamp": from_epoch(ticks, per_second)} if ticks is not None else {}),
        "captured": len(packet),
        "length": length,
        "link_type": link_type,
        **_endpoints(packet, link_type),
        "data": b64encode(packet).decode(),
    }


def _endpoints(packet: bytes, link_type: int) -> dict[str, JsonValue]:
    at = _IP_AT.get(link_type, len(packet))
    if link_type == 1:
        while packet[at - 2 : at] in {b"\x81\x00", b"\x88\xa8"}:  # VLAN
            at += 4
        if packet[at - 2 : at] not in {b"\x08\x00", b"\x86\xdd"}:
            return {}
    ip = packet[at:]
    if len(ip) >= 20 and ip[0] >> 4 == 4:
        source, destination, protocol, ports = ip[12:16], ip[16:20], ip[9], (ip[0] & 15) * 4
        if int.from_bytes(ip[6:8], "big") & 0x1FFF:
            ports = len(ip)  # a later fragment has none
    elif len(ip) >= 40 and ip[0] >> 4 == 6:
        source, destination, protocol, ports = ip[8:24], ip[24:40], ip[6], 40
    else:
        return {}
    found: dict[str, JsonValue] = {
        "source": str(ip_address(source)),
        "destination": str(ip_address(destination)),
        "protocol": _PROTOCOLS.get(protocol, protocol),
    }
    if protocol in _WITH_PORTS and len(ip) >= ports + 4:
        found["source_port"], found["destination_port"] = struct.unpack_from(">HH", ip, ports)
    return found


def new_processor() -> StreamProcessor:
    return each_stream(PcapStream)
