"""Batches to a server that fails in every way: each is taken once by its key, in order, and nobody is waited for."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd import sink_settings
from hostd.pipeline.intake.secrets import server_context
from hostd.pipeline.sinks import http, staged
from hostd.pipeline.sinks.http import batches, retry_after_s
from hostd.pipeline.sinks.staged import StagedSink
from tests.live.harness import eventually
from tests.live.senders import certificates
from tests.pipeline.sinks.kinds import Kind, Record, World
from tests.pipeline.sinks.server import Answer, Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(staged, "RETRY_S", (0.01, 0.05))
    world = World(kind(server), tmp_path)
    yield world
    server.behave = lambda _key, _body: None
    world.stop()


def kind(server: Server, **keys: Any) -> Kind:
    settings = {"url": server.url, "linger_s": 0.01, "timeout_s": 5.0, "headers": {"Authorization": "Bearer x"}, **keys}
    return Kind(
        "http",
        lambda _folder, processors: sink_settings.HttpSink(processors=processors, **settings),
        "",
        lambda _folder, processor: server.records(processor),
    )


def numbered(*numbers: int) -> list[Record]:
    return [{"n": number} for number in numbers]


def test_batches_are_posted_in_order_with_a_key_each(world: World, server: Server) -> None:
    sink = world.start()
    for number in range(5):
        world.commit(sink, "demo", *numbered(number))
    world.commit(sink, "other", *numbered(9))
    eventually("all is there", lambda: len(world.read()) + len(world.read("other")) == 6)
    assert (world.read(), world.read("other")) == (numbered(*range(5)), numbered(9))
    headers = server.headers[0]
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Authorization"] == "Bearer x"
    assert headers["X-Hostd-Processor"] in ("demo", "other")


def test_a_batch_is_no_larger_than_the_settings_say(world: World, server: Server) -> None:
    """Whole lines; and a line that is larger is a batch by itself."""
    world.kind = kind(server, batch_kib=1)
    world.commit(world.start(), "demo", *numbered(*range(1000)), {"long": "x" * 5000}, *numbered(1000))
    eventually("all is there", lambda: len(world.read()) == 1002)
    assert sorted(len(body) > 1024 for _, body in server.asked)[-2:] == [False, True]
    assert all(body.endswith(b"\n") for _, body in server.asked)


@pytest.mark.parametrize("failure", ["500", "401", "redirect", "close", "close after"])
def test_what_fails_is_sent_again_with_the_same_key_and_the_same_bytes(
    world: World, server: Server, failure: str
) -> None:
    """Also where the server has taken it, and its answer was lost."""
    left = [1, 1, 1]

    def behave(key: str, body: bytes) -> Answer | None:
        if not left:
            return None
        left.pop()
        if failure == "close after":
            server.note(key, body)
        if failure.startswith("close"):
            raise ConnectionResetError
        return {"500": (500, {}, b"broken"), "401": (401, {}, b"who?")}.get(failure) or (302, {"Location": "/x"}, b"")

    server.behave = behave
    with capture_logs() as logged:
        sink = world.start()
        world.commit(sink, "demo", *numbered(1, 2))
        eventually("it is there", lambda: not left and len(world.read()) == 2)
        eventually("it is said", lambda: [each for each in logged if each["event"] == "sink.delivered"])
    assert len({key for key, _ in server.asked}) == 1
    assert len({body for _, body in server.asked}) == 1
    failed = [each for each in logged if each["event"] == "sink.undelivered"]
    assert len(failed) == 3
    if failure == "500":
        assert failed[0]["reason"] == f"[Errno 71] {server.url} answered 500 Internal Server Error: broken"


def test_a_server_that_asks_to_wait_is_not_asked_before(world: World, server: Server) -> None:
    """429 and 503 with Retry-After; other processors wait for their own answers alone."""
    times: list[float] = []

    def behave(key: str, _body: bytes) -> Answer | None:
        if key.startswith('"demo'):
            times.append(time.monotonic())
            if len(times) == 1:
                return (429, {"Retry-After": "1"}, b"")
        return None

    server.behave = behave
    sink = world.start()
    world.commit(sink, "demo", *numbered(1))
    eventually("it was asked", lambda: times)
    world.commit(sink, "other", *numbered(2))
    eventually("the other is there", lambda: world.read("other"))
    assert len(times) == 1
    eventually("it is there", lambda: world.read())
    assert times[1] - times[0] >= 1


def test_what_the_server_refuses_for_what_it_is_is_set_aside_and_the_rest_goes_on(world: World, server: Server) -> None:
    server.behave = lambda _key, body: (422, {}, b"bad n") if b'"n": 2' in body else None
    with capture_logs() as logged:
        sink = world.start()
        for number in (1, 2, 3):
            world.commit(sink, "demo", *numbered(number))
            eventually("it was asked", lambda number=number: len(server.asked) >= number)
        eventually("the last is there", lambda: len(world.read()) == 2)
    assert world.read() == numbered(1, 3)
    [refused] = [each for each in logged if each["event"] == "sink.batch_refused"]
    assert refused["reason"] == f"{server.url} answered 422 Unprocessable Entity: bad n"
    assert [json.loads(line) for line in Path(refused["kept"]).read_text().splitlines()] == numbered(2)


def test_after_a_restart_what_was_not_acknowledged_has_the_same_key(world: World, server: Server) -> None:
    """What was acknowledged of the same sealed file is not sent again, whatever the settings are by then."""
    world.kind = kind(server, batch_kib=1)
    served = 0

    def behave(key: str, body: bytes) -> Answer | None:
        nonlocal served
        served += 1
        if served == 3:
            server.note(key, body)  # it takes it, and the answer is lost
        if served >= 3:
            raise ConnectionResetError
        return None

    server.behave = behave
    world.commit(world.start(), "demo", *numbered(*range(500)))
    eventually("it fails", lambda: served > 3)
    world.stop()
    third = server.asked[2]
    server.behave = lambda _key, _body: None
    world.kind = kind(server, batch_kib=64)
    server.asked.clear()
    world.start()
    eventually("all is there", lambda: len(world.read()) == 500)
    assert server.asked[0] == third
    assert world.read() == numbered(*range(500))


def test_a_server_that_hangs_holds_up_neither_commits_nor_the_end(world: World, server: Server) -> None:
    """The records stay staged; commits go on until the backlog is full."""
    released = threading.Event()
    asked = threading.Event()

    def behave(_key: str, _body: bytes) -> Answer | None:
        asked.set()
        released.wait(20)
        raise ConnectionResetError

    server.behave = behave
    world.kind = kind(server, timeout_s=600.0)
    sink = world.start()
    world.commit(sink, "demo", *numbered(1))
    assert asked.wait(20)
    began = time.monotonic()
    world.commit(sink, "demo", *numbered(2))
    sink.interrupt()
    sink.close()
    assert time.monotonic() - began < 5
    released.set()
    server.behave = lambda _key, _body: None
    world.opened.pop()[1].close()
    world.start()
    eventually("all is there", lambda: len(world.read()) == 2)
    assert world.read() == numbered(1, 2)


def test_a_server_that_does_not_answer_in_time_is_asked_again(world: World, server: Server) -> None:
    released = threading.Event()
    server.behave = lambda _key, _body: released.wait(20) and None
    world.kind = kind(server, timeout_s=0.1)
    with capture_logs() as logged:
        world.commit(world.start(), "demo", *numbered(1))
        eventually("it is said", lambda: [each for each in logged if each["event"] == "sink.undelivered"])
        released.set()
        eventually("it is there", lambda: world.read())
    assert "timed out" in next(each["reason"] for each in logged if each["event"] == "sink.undelivered")


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Server]:
    """A server whose certificate an authority of its own has signed, and that asks for one of the same authority."""
    folder = tmp_path / "tls"
    folder.mkdir()
    certificates(folder)
    with Server(server_context(folder / "server.pem", folder / "server.key", folder / "ca.pem")) as server:
        yield server


def test_a_server_of_an_authority_of_its_own_is_trusted_when_the_settings_name_it(
    world: World, tls: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "tls"
    keys = {"ca": folder / "ca.pem", "certificate": folder / "client.pem", "key": folder / "client.key"}
    world.kind = kind(tls, **keys)
    world.commit(world.start(), "demo", *numbered(1, 2))
    eventually("it is there", lambda: world.read())
    assert world.read() == numbered(1, 2)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "certificate verify failed"),
        ({"ca": "ca.pem"}, "TLSV13_ALERT_CERTIFICATE_REQUIRED|CERTIFICATE_REQUIRED|Connection|EOF|EPIPE|Broken pipe"),
        ({"ca": "none.pem"}, r"ca = .*none\.pem cannot be used: No such file or directory"),
        ({"ca": "server.key"}, r"ca = .*server\.key cannot be used: .*NO_CERTIFICATE_OR_CRL_FOUND"),
        ({"ca": "ca.pem", "certificate": "client.pem", "key": "server.key"}, "cannot be used: .*KEY_VALUES_MISMATCH"),
    ],
    ids=["unknown authority", "no certificate", "no file", "no certificate in it", "another's key"],
)
def test_without_trust_nothing_is_sent_and_it_is_said_until_it_is_mended(
    world: World, tls: Server, tmp_path: Path, keys: dict[str, str], reason: str
) -> None:
    """The records stay staged, and are delivered by the right settings."""
    folder = tmp_path / "tls"
    world.kind = kind(tls, **{name: folder / file for name, file in keys.items()})
    with capture_logs() as logged:
        sink = world.start()
        world.commit(sink, "demo", *numbered(1))
        eventually("it is said", lambda: [each for each in logged if each["event"] == "sink.undelivered"])
    assert re.search(reason, next(each["reason"] for each in logged if each["event"] == "sink.undelivered"))
    assert tls.asked == []
    assert isinstance(sink, StagedSink)
    backlog = sink.backlog()
    assert (backlog.kind, backlog.sink, backlog.bytes) == ("http", tls.url, len(b'{"n": 1}\n'))
    assert re.search(reason, backlog.failing["demo"][0])
    right = {"ca": folder / "ca.pem", "certificate": folder / "client.pem", "key": folder / "client.key"}
    world.kind = kind(tls, **right)
    fixed = world.start()
    eventually("it is there", lambda: world.read())
    assert isinstance(fixed, StagedSink)
    eventually("nothing waits", lambda: fixed.backlog().bytes == 0)
    assert world.read() == numbered(1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("5", 5.0), ("999999", 3600.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """An hour at most."""
    assert retry_after_s(header) == seconds


def test_a_file_is_cut_into_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1\n22\n" + b"x" * 50 + b"\n333\n4\n")
    with path.open("rb") as file:
        assert list(batches(file.fileno(), 0, 6)) == [b"1\n22\n", b"x" * 50 + b"\n", b"333\n4\n"]
        assert list(batches(file.fileno(), 2, 100)) == [path.read_bytes()[2:]]
    assert http.OF_CONTENT == (400, 413, 415, 422)


def test_what_is_not_known_to_be_sent_is_sent_again_with_the_same_key(world: World, server: Server) -> None:
    """A loss of power may leave the note of it empty, or with anything in it."""
    server.behave = lambda _key, _body: (503, {}, b"")
    sink = world.start()
    world.commit(sink, "demo", *numbered(1, 2))
    stage = next(world.folder.glob("sinks/http-*"))
    eventually("it is sealed and tried", lambda: server.asked and next(stage.glob("*.sealed"), None))
    world.stop()
    for left in ("", "x", "-3"):
        for sealed in stage.glob("*.sealed"):
            sealed.with_name(f"{sealed.name}.sent").write_text(left)
        if left == "-3":
            server.behave = lambda _key, _body: None
        world.start()
        if left != "-3":
            before = len(server.asked)
            eventually("it is tried", lambda before=before: len(server.asked) > before)
            world.stop()
    assert eventually("all is there", world.read) == numbered(1, 2)
    assert len({key for key, _ in server.asked}) == 1


def test_one_that_leaves_while_the_server_thinks_holds_up_nobody_and_the_next_goes_on(
    world: World, server: Server
) -> None:
    """What it has staged is delivered before what the next one takes, and nothing of that goes with it."""
    released, asked = threading.Event(), threading.Event()

    def behave(_key: str, _body: bytes) -> Answer | None:
        asked.set()
        released.wait(20)
        return None

    server.behave = behave
    old = world.start()
    world.commit(old, "demo", *numbered(1))
    assert asked.wait(20)
    world.commit(old, "demo", *numbered(2))
    coming = world.another()
    coming.recover()
    began = time.monotonic()
    assert old.leave()
    assert time.monotonic() - began < 5
    ledger = world.ledger
    world.opened[-1] = coming, ledger
    coming.write("demo", world.kind.chunks(*numbered(3)))
    released.set()
    eventually("the one before has left", lambda: not old.leave())
    assert world.read() == numbered(1, 2)
    ledger.commit([], coming.sync())
    coming.accept()
    eventually("all is there", lambda: len(world.read()) == 3)
    assert world.read() == numbered(1, 2, 3)
    old.close()
