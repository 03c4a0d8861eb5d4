"""The processor `pcap`."""

import struct
from base64 import b64encode

import pytest

from tests.processors.support import parse

PACKET = bytes.fromhex("00000000000000000000000008004500001e00010000401100 00c00002070a000001".replace(" ", ""))
UDP = PACKET + struct.pack(">HHHH", 53000, 53, 10, 0) + b"hi"
MAGIC = {("<", 6): 0xA1B2C3D4, (">", 6): 0xA1B2C3D4, ("<", 9): 0xA1B23C4D, (">", 9): 0xA1B23C4D}


def capture(*packets: bytes, order: str = "<", digits: int = 6, link_type: int = 1) -> bytes:
    data = struct.pack(order + "IHHiIII", MAGIC[order, digits], 2, 4, 0, 0, 65535, link_type)
    for packet in packets:
        data += struct.pack(order + "IIII", 1715940303, 7, len(packet), len(packet) + 5) + packet
    return data


@pytest.mark.parametrize(("order", "digits"), list(MAGIC))
def test_every_byte_order_and_resolution_is_read(order: str, digits: int) -> None:
    data = capture(UDP, UDP, order=order, digits=digits)
    outcome = parse("pcap", data, cuts=tuple(range(1, len(data), 11)))
    assert outcome.rejected == []
    assert len(outcome.records) == 2
    one = outcome.records[0]
    assert one["timestamp"] == f"2024-05-17T10:05:03.{'7'.zfill(digits)}Z"
    assert (one["captured"], one["length"], one["data"]) == (len(UDP), len(UDP) + 5, b64encode(UDP).decode())
    assert (one["source"], one["destination"], one["protocol"]) == ("192.0.2.7", "10.0.0.1", "udp")
    assert (one["source_port"], one["destination_port"]) == (53000, 53)


def test_vlan_tags_are_stepped_over_and_what_is_no_ip_has_no_endpoints() -> None:
    tagged = UDP[:12] + b"\x81\x00\x00\x05" + UDP[12:]
    arp = UDP[:12] + b"\x08\x06" + UDP[14:]
    found = parse("pcap", capture(tagged, arp, UDP[:20])).records
    assert [one.get("source") for one in found] == ["192.0.2.7", None, None]


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


SECTION = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))


def test_interfaces_of_pcapng_have_their_own_resolution() -> None:
    micro = block(1, struct.pack("<HHI", 1, 0, 65535))
    nano = block(1, struct.pack("<HHI", 1, 0, 65535) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0))
    packets = b""
    for number, ticks in ((0, 1715940303000007), (1, 1715940303000000007)):
        packets += block(6, struct.pack("<IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(UDP), len(UDP)) + UDP)
    outcome = parse("pcap", SECTION + micro + nano + block(99, b"other") + packets)
    assert [(one["interface"], one["timestamp"]) for one in outcome.records] == [
        (0, "2024-05-17T10:05:03.000007Z"),
        (1, "2024-05-17T10:05:03.000000007Z"),
    ]


def test_a_block_that_names_no_interface_is_rejected_alone() -> None:
    bad = block(6, struct.pack("<IIIII", 7, 0, 0, 0, 0))
    outcome = parse("pcap", SECTION + bad + block(1, struct.pack("<HHI", 1, 0, 0)))
    assert outcome.rejected == [(bad, "a block of type 6 that is damaged: list index out of range")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * 24, "begins with 78 78 78 78, which is neither pcap nor pcapng"),
        (
            capture() + struct.pack("<IIII", 0, 0, 1 << 30, 0),
            "a packet of 1073741824 bytes at 24: the capture is damaged here",
        ),
        (SECTION + struct.pack("<III", 6, 13, 0), "a block of 13 bytes at 28: the capture is damaged here"),
    ],
)
def test_a_capture_that_is_damaged_ends_the_stream(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("pcap", data)


def test_a_torn_packet_is_rejected_at_the_end() -> None:
    outcome = parse("pcap", capture(UDP, UDP)[:-3])
    assert len(outcome.records) == 1
    assert outcome.rejected[0][1].startswith("the source ends inside this record, after ")
