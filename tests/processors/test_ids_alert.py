"""The processor `ids_alert`."""

import pytest

from tests.processors.support import parse, record

ALERT = "[**] [1:7:2] said [**] [Classification: Misc] [Priority: 2] {{{}}} {} -> {}"


@pytest.mark.parametrize(
    ("protocol", "address", "ip", "port"),
    [
        ("TCP", "192.0.2.7:80", "192.0.2.7", 80),
        ("ICMP", "192.0.2.7", "192.0.2.7", None),
        ("UDP", "2001:db8:0:0:0:0:0:1:53", "2001:db8:0:0:0:0:0:1", 53),
        ("IPV6-ICMP", "2001:db8:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1", None),
    ],
)
def test_addresses_have_ports_where_their_protocol_has(protocol: str, address: str, ip: str, port: int | None) -> None:
    one = record("ids_alert", f"05/17/2024-10:05:03.5  {ALERT.format(protocol, address, address)}")
    assert (one["source_ip"], one.get("source_port"), one["destination_ip"]) == (ip, port, ip)


@pytest.mark.parametrize(
    ("time", "timestamp"),
    [
        ("05/17/2024-10:05:03.5", "2024-05-17T10:05:03.5Z"),
        ("24/05/17-10:05:03.5", "2024-05-17T10:05:03.5Z"),
        ("05/17-10:05:03.5", "2023-05-17T10:05:03.5Z"),
    ],
)
def test_times_of_each_notation_become_one(time: str, timestamp: str) -> None:
    line = f"{time} [Drop] {ALERT.format('TCP', '::1', '::1')}"
    one = record("ids_alert", line, options={"year": 2023})
    assert (one["timestamp"], one["action"], one["priority"]) == (timestamp, "Drop", 2)


def test_a_time_without_a_year_stays_as_it_is_written() -> None:
    one = record("ids_alert", f"05/17-10:05:03.5 {ALERT.format('TCP', '::1', '::1')}")
    assert (one["time"], "timestamp" in one) == ("05/17-10:05:03.5", False)


def test_other_lines_are_rejected_alone() -> None:
    outcome = parse("ids_alert", f"said\n05/17-10:05:03.5 {ALERT.format('TCP', '::1', '::1')}\n".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [
        (b"said\n", "ValueError: not TIME [**] [RULE] MESSAGE [**] \u2026 {PROTOCOL} SOURCE -> DESTINATION")
    ]
