"""Asking a running daemon, over its control socket."""

import http.client
import json
import socket
import struct
from pathlib import Path
from typing import Any

from hostd.control.address import TIMEOUT_S, short_name
from hostd.errors import HostdError, NoDaemonError


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("hostd", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        # With a timeout of Python's it would not wait for its turn, but fail at once while many ask.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(TIMEOUT_S), 0))
        with short_name(self._path) as name:
            try:
                self.sock.connect(name)
            except BlockingIOError as error:
                raise TimeoutError("timed out") from error
        self.sock.settimeout(self.timeout)


def ask(path: Path, method: str, target: str) -> Any:
    """Return a daemon's answer. Raises NoDaemonError when none runs, HostdError with what it refuses."""
    connection = _UnixConnection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoDaemonError(
            str(path.parent),
            "no hostd is running on this state folder",
            "start one: hostd run; or name its --config",
        ) from error
    except PermissionError as error:
        raise HostdError(str(path), "the control socket is another user's", "run this as the daemon's user") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HostdError(str(path), f"the daemon did not answer: {error}", "look at its log") from error
    finally:
        connection.close()
    if response.status == http.client.CONFLICT:
        raise HostdError(answer["where"], answer["problem"], answer["remedy"])
    if response.status == http.client.SERVICE_UNAVAILABLE:
        raise HostdError(str(path), answer["error"], "look at the daemon's log if it stays so")
    if response.status != http.client.OK:
        raise HostdError(str(path), str(answer.get("error", answer)), "use the hostd that the daemon runs")
    return answer
