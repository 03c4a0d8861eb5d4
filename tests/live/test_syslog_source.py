"""Syslog as it comes: framings mixed, messages of several lines, who may send, and what is dropped and cut."""

import socket
import subprocess

from .harness import Daemon, Home, eventually, plugin, stopped
from .senders import certificates, client_context


def start(home: Home, *listen: str, more: str = "") -> Daemon:
    home.drop("lines.py", plugin(glob="no.*"))
    addresses = ", ".join(f'"{each}"' for each in listen)
    home.configure(f'[[sources]]\nkind = "syslog"\nlisten = [{addresses}]\nprocessor = "lines"\n{more}\n', paths=())
    daemon = home.start()
    daemon.wait_event("generation.switched")
    return daemon


def port_of(daemon: Daemon, number: int = 0) -> int:
    return int(daemon.wait_event("intake.started")["listening"][number].rpartition(":")[2])


def datagrams(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(("127.0.0.1", port))
    return made


def is_hung_up_on(connection: socket.socket) -> bool:
    """Tell whether the daemon ends a connection however much is sent over it."""
    try:
        for _ in range(10_000):
            connection.sendall(b"<13>no\n" * 1000)
    except OSError:
        return True
    return False


def test_a_message_of_several_lines_is_one_line_whichever_way_it_comes(home: Home) -> None:
    daemon = start(home, "udp://127.0.0.1:0", "tcp://127.0.0.1:0", f"unix:{home.path}/log")
    with datagrams(port_of(daemon, 0)) as udp:
        udp.send(b"<13>udp one\ntwo\n")
        daemon.wait_records("lines", 1)
    with socket.create_connection(("127.0.0.1", port_of(daemon, 1))) as tcp:
        tcp.sendall(b"15 <13>tcp one\ntwo<13>plain\n<13>no end")
    daemon.wait_records("lines", 4)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        unix.sendto(b"<13>unix one\ntwo\0", f"{home.path}/log")
    daemon.wait_records("lines", 5)
    assert home.lines() == [
        "<13>udp one#012two",
        "<13>tcp one#012two",
        "<13>plain",
        "<13>no end",
        "<13>unix one#012two",
    ]
    assert {record["@source"] for record in home.records()} == {"syslog:net"}
    assert daemon.status()["intakes"][0]["messages"] == 5


def test_who_is_in_no_network_of_allow_is_refused_and_counted(home: Home) -> None:
    daemon = start(home, "udp://127.0.0.1:0", "tcp://127.0.0.1:0", more='allow = ["192.0.2.0/24", "127.0.0.2/32"]')
    with datagrams(port_of(daemon, 0)) as udp:
        udp.send(b"<13>no")
    assert daemon.wait_event("syslog.refused")["client"] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", port_of(daemon, 1))) as tcp:
        assert is_hung_up_on(tcp)
    with socket.create_connection(("127.0.0.1", port_of(daemon, 1)), source_address=("127.0.0.2", 0)) as tcp:
        tcp.sendall(b"<13>yes\n")
    daemon.wait_records("lines", 1)
    assert home.lines() == ["<13>yes"]
    assert daemon.status()["intakes"][0]["refused"] == 2


def test_datagrams_that_the_kernel_drops_are_counted_to_the_last(home: Home) -> None:
    """The daemon stands still while more are sent than the kernel holds for it."""
    daemon = start(home, "udp://127.0.0.1:0", more="receive_buffer_kib = 16")
    sent = 2000
    with datagrams(port_of(daemon)) as udp, stopped(daemon):
        for number in range(sent):
            udp.send(f"<13>{number} {'x' * 100}".encode())
    daemon.wait_event("syslog.dropped", source="syslog:net", reason="the kernel's buffer was full")
    eventually(
        "what came and what was dropped is what was sent",
        lambda: len(home.lines()) + daemon.status()["intakes"][0]["dropped"] == sent,
    )
    assert 0 < len(home.lines()) < sent
    assert daemon.seen("syslog.dropped")[-1]["total"] == sent - len(home.lines())


def test_a_message_over_the_limit_is_cut_and_said_to_be(home: Home) -> None:
    daemon = start(home, "tcp://127.0.0.1:0", more="max_message_kib = 1")
    long = "<13>" + "x" * 3000
    with socket.create_connection(("127.0.0.1", port_of(daemon))) as tcp:
        tcp.sendall(f"{len(long)} {long}{long}\n<13>short\n".encode())
    daemon.wait_records("lines", 3)
    assert home.lines() == [long[:1024], long[:1024], "<13>short"]
    assert daemon.status()["intakes"][0]["cut"] == 2
    assert daemon.seen("syslog.cut")[0]["limit_kib"] == 1


def test_without_a_certificate_nobody_sends_over_tls_with_client_ca(home: Home) -> None:
    certificates(home.path)
    daemon = start(
        home,
        "tls://127.0.0.1:0",
        more='certificate = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"',
    )
    with (
        socket.create_connection(("127.0.0.1", port_of(daemon))) as raw,
        client_context(home.path, certified=False).wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        assert is_hung_up_on(secure)
    with (
        socket.create_connection(("127.0.0.1", port_of(daemon))) as raw,
        client_context(home.path).wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"<13>yes\n")
    daemon.wait_records("lines", 1)
    assert home.lines() == ["<13>yes"]


def test_a_socket_that_a_killed_daemon_left_is_taken_over_and_one_that_is_used_is_not(home: Home) -> None:
    path = home.path / "log"
    daemon = start(home, f"unix:{path}")
    daemon.kill9()
    assert path.is_socket()
    daemon = home.start()
    subprocess.run(["logger", "--socket", str(path), "--tag", "test", "hello"], check=True)
    assert "test: hello" in daemon.wait_records("lines", 1)[0]["line"]
    other = Home(home.path / "other")
    listen = f'listen = ["udp://127.0.0.1:0", "unix:{path}"]'
    other.configure(f'[[sources]]\nkind = "syslog"\n{listen}\n', paths=())
    failed = other.start(ready=False)
    assert failed.wait_exit() == 1
    line = other.settings.read_text().splitlines().index(listen) + 1
    where = f"hostd: {other.settings}:{line}: source syslog:net: it cannot be begun: unix:{path}: "
    assert failed.noise[0].startswith(f"{where}Address already in use; see that nothing else uses it")
    assert daemon.term() == 0
    assert not path.exists()
