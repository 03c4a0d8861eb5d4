"""The processor `haproxy`."""

import pytest

from tests.processors.support import parse, plainly, record

HTTP = (
    "192.0.2.7:53332 [17/May/2024:10:05:03.143] fe~ be/web1 0/0/7/14/21 200 1139"
    ' - - ---- 2/1/0/0/+3 0/0 "GET / HTTP/1.1"'
)


@pytest.mark.parametrize("header", ["", "May 17 10:05:04 lb haproxy[7]: ", "<134>2024-05-17T10:05:04Z lb haproxy[7]: "])
def test_a_request_is_read_with_and_without_a_syslog_header(header: str) -> None:
    one = record("haproxy", header + HTTP, options={"time_zone": "+02:00"})
    assert one["timestamp"] == "2024-05-17T08:05:03.143Z"
    assert (one["client_ip"], one["client_port"], one["status"], one["retries"]) == ("192.0.2.7", 53332, 200, 3)
    assert (one["method"], one["path"], one["protocol"]) == ("GET", "/", "HTTP/1.1")
    assert one.get("pid") == ("7" if header else None)


@pytest.mark.parametrize("request_line", ["<BADREQ>", "GET /cut-off"])
def test_a_request_that_is_none_is_kept_whole(request_line: str) -> None:
    one = record("haproxy", HTTP.replace("GET / HTTP/1.1", request_line))
    assert one["request"] == request_line


def test_a_connection_that_was_cut_has_timers_below_zero() -> None:
    one = record("haproxy", HTTP.replace("0/0/7/14/21", "-1/-1/-1/-1/+5").replace("be/web1", "be/<NOSRV>"))
    assert (one["time_request_ms"], one["time_total_ms"], one["server"]) == (-1, 5, "<NOSRV>")


def test_what_haproxy_never_writes_is_rejected_alone() -> None:
    outcome = parse("haproxy", f"{HTTP}\nMay 17 10:05:04 lb other[7]: x\n".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [(b"May 17 10:05:04 lb other[7]: x\n", "ValueError: no line that HAProxy writes")]


def test_a_time_of_another_form_is_told_alone_and_among_others() -> None:
    line = (
        "May 17 10:05:09 lb1 haproxy[7]: 192.0.2.7:394 [17/May/2024:10:05:09.48] http_in~ shop/till4"
        ' 0/0/7/617/1619 200 53894 - - ---- 2/1/0/0/0 0/0 {example.com} {} "GET / HTTP/1.1"\n'
    )
    together = parse("haproxy", (line * 3).encode())
    with plainly("haproxy"):
        assert parse("haproxy", (line * 3).encode()) == together
    assert [set(record) for record in together.records] == [{"time", "host", "pid", "body"}] * 3
