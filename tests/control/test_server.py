"""The control socket: private, reachable however deep it lies, and clear about what it does not know."""

import asyncio
import json
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd.control.address import short_name
from hostd.control.client import ask
from hostd.control.server import Arguments, ControlServer
from hostd.errors import HostdError


async def answer(_: Arguments) -> Any:
    """Answer like a daemon."""
    return {"name": "é", "list": [1, None]}


async def fail(_: Arguments) -> Any:
    """Fail like a handler with an operating system error."""
    raise OSError("disk is gone")


HANDLERS = {("GET", "/status"): answer, ("POST", "/rescan"): answer, ("GET", "/fail"): fail}


def served(path: Path, *requests: tuple[str, str]) -> list[Any]:
    """Start a server, ask it, and return its answers or the errors that the client raises."""

    def each(method: str, target: str) -> Any:
        try:
            return ask(path, method, target)
        except HostdError as error:
            return error

    async def scenario() -> list[Any]:
        server = ControlServer(path, HANDLERS)
        await server.start()
        try:
            return [await asyncio.to_thread(each, method, target) for method, target in requests]
        finally:
            await server.close()

    return asyncio.run(scenario())


def test_a_known_target_is_answered_with_what_its_handler_returns(tmp_path: Path) -> None:
    """As JSON, text as it is; one request after the other."""
    path = tmp_path / "s.sock"
    assert served(path, ("GET", "/status"), ("POST", "/rescan")) == [{"name": "é", "list": [1, None]}] * 2
    assert not path.exists(), "closing removes the socket"


def test_more_clients_than_may_wait_get_their_answers(tmp_path: Path) -> None:
    """One whose connection finds the queue full waits for its turn."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(10)
        with ThreadPoolExecutor(16) as clients:
            answers = [clients.submit(ask, path, "GET", "/status") for _ in range(16)]
            for _ in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            assert [answer.result() for answer in answers] == [{}] * 16


def test_an_unknown_target_is_told_the_known_ones(tmp_path: Path) -> None:
    """Method and target both count."""
    first, second = served(tmp_path / "s.sock", ("GET", "/nothing"), ("POST", "/status"))
    known = "known are GET /status, POST /rescan, GET /fail"
    assert first.problem == f"GET /nothing is not known; {known}"
    assert second.problem == f"POST /status is not known; {known}"
    assert first.remedy == "use the hostd that the daemon runs"


def test_an_unknown_target_is_404_for_any_client(tmp_path: Path) -> None:
    """curl sees a status and a JSON body."""

    async def scenario() -> bytes:
        server = ControlServer(tmp_path / "s.sock", HANDLERS)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s.sock")
        writer.write(b"GET /x HTTP/1.1\r\nHost: hostd\r\n\r\n")
        response = await reader.read()
        writer.close()
        await server.close()
        return response

    head, _, body = asyncio.run(scenario()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"application/json" in head
    assert json.loads(body)["error"].startswith("GET /x is not known")


def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600 from the first moment, and the umask is as it was."""
    path = tmp_path / "s.sock"
    before = os.umask(0o022)

    async def scenario() -> int:
        server = ControlServer(path, HANDLERS)
        await server.start()
        mode = path.stat().st_mode
        await server.close()
        return mode

    try:
        mode = asyncio.run(scenario())
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("length", [90, 99, 100, 107, 108, 109, 200])
def test_a_path_of_any_length_works(tmp_path: Path, length: int) -> None:
    """The kernel's 108 bytes are not the operator's problem."""
    folder = tmp_path
    while len(str(folder)) < length - 40:
        folder /= "x" * 20
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("s" * max(1, length - len(str(folder)) - 1))
    assert served(path, ("GET", "/status")) == [{"name": "é", "list": [1, None]}]


def test_short_name_holds_no_descriptor_afterwards(tmp_path: Path) -> None:
    """Whatever it needed is closed."""
    before = set(Path("/proc/self/fd").iterdir())
    with short_name(tmp_path / ("x" * 120)) as name:
        assert len(name) > 0
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_socket_that_an_earlier_daemon_left_is_replaced(tmp_path: Path) -> None:
    """kill -9 leaves one behind."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert served(path, ("GET", "/status")) == [{"name": "é", "list": [1, None]}]


@pytest.mark.parametrize("left", [False, True], ids=["no socket", "a dead one"])
def test_no_daemon_is_said_with_the_way_out(tmp_path: Path, left: bool) -> None:
    """Not a traceback about a socket."""
    path = tmp_path / "s.sock"
    if left:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    with pytest.raises(HostdError) as caught:
        ask(path, "GET", "/status")
    assert str(caught.value) == (
        f"{tmp_path}: no hostd is running on this state folder; start one: hostd run; or name its --config"
    )


def test_a_request_that_cannot_be_answered_is_said_on_both_ends(tmp_path: Path) -> None:
    """The client gets an error, the daemon an event, and the next request an answer."""
    with capture_logs() as logged:
        failed, fine = served(tmp_path / "s.sock", ("GET", "/fail"), ("GET", "/status"))
    assert failed.problem == "it cannot be told now: disk is gone; ask again in a moment"
    assert fine == {"name": "é", "list": [1, None]}
    assert [(event["event"], event["reason"]) for event in logged] == [
        ("control.failed", "GET /fail: OSError: disk is gone")
    ]


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"GET /status HTTP/1.1\r\n\r\n", b"GET", b""])
def test_garbage_neither_ends_the_server_nor_goes_unanswered_for_ever(tmp_path: Path, garbage: bytes) -> None:
    """The connection is closed, and the next one is served."""

    async def scenario() -> Any:
        server = ControlServer(tmp_path / "s.sock", HANDLERS)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s.sock")
        writer.write(garbage)
        writer.write_eof()
        async with asyncio.timeout(10):
            assert b"200" not in await reader.read()
        writer.close()
        found = await asyncio.to_thread(ask, tmp_path / "s.sock", "GET", "/status")
        await server.close()
        return found

    with capture_logs():
        assert asyncio.run(scenario()) == {"name": "é", "list": [1, None]}


@pytest.mark.parametrize("query", ["plugin=&since=1h", "plugin", "to="])
def test_an_argument_without_a_value_is_refused(tmp_path: Path, query: str) -> None:
    """It would count as not given, which is all, or the default."""
    [said] = served(tmp_path / "hostd.sock", ("POST", f"/rescan?{query}"))
    assert isinstance(said, HostdError)
    name = query.partition("=")[0]
    assert str(said) == f"argument {name!r}: is empty; give it a value, or leave it out"
