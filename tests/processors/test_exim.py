"""The processor `exim`."""

from tests.processors.support import parse, record


def test_an_arrival_has_its_sender_client_and_fields() -> None:
    one = record(
        "exim", '2024-05-17 10:05:03 1oO0Oo-0001Xx-AB <= a@b.c H=mx.b.c (helo) [192.0.2.7]:5 P=esmtp T="x \\"y\\""'
    )
    assert (one["flag"], one["address"], one["message_id"]) == ("<=", "a@b.c", "1oO0Oo-0001Xx-AB")
    assert (one["host"], one["helo"], one["client_ip"], one["client_port"]) == ("mx.b.c", "helo", "192.0.2.7", "5")
    assert one["fields"]["T"] == r"x \"y\""


def test_times_with_and_without_a_zone() -> None:
    options = {"time_zone": "+02:00"}
    assert (
        record("exim", "2024-05-17 10:05:03 Start queue run: pid=1", options=options)["timestamp"]
        == "2024-05-17T08:05:03Z"
    )
    assert record("exim", "2024-05-17 10:05:03 +0000 [7] x", options=options)["timestamp"] == "2024-05-17T10:05:03Z"


def test_other_lines_are_rejected_alone() -> None:
    outcome = parse("exim", b"said\n2024-05-17 10:05:03 x\n")
    assert len(outcome.records) == 1
    assert outcome.rejected == [(b"said\n", "ValueError: not TIME [PID] MESSAGE-ID \u2026")]
