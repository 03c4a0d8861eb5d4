"""The field's own senders of syslog: logger(1), rsyslog and syslog-ng, over UDP, TCP and TLS."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .harness import DEADLINE_S, Daemon, Home, eventually
from .senders import certificates

SHIPPED = Path(__file__).parents[2] / "plugins.d"
COUNT = 300
WAYS = ("udp", "tcp", "tls")


def need(program: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def start(home: Home, *schemes: str) -> tuple[Daemon, dict[str, int]]:
    """Start a daemon that listens by some schemes; return it with its ports."""
    certificates(home.path)
    (home.plugins / "syslog.py").write_bytes((SHIPPED / "syslog.py").read_bytes())
    listen = ", ".join(f'"{scheme}://127.0.0.1:0"' for scheme in schemes)
    home.configure(
        f'[[sources]]\nkind = "syslog"\nlisten = [{listen}]\nprocessor = "syslog"\n'
        'certificate = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"\n',
        paths=(),
    )
    daemon = home.start()
    daemon.wait_event("generation.switched")
    found = daemon.wait_event("intake.started")["listening"]
    return daemon, {each.partition(":")[0]: int(each.rpartition(":")[2]) for each in found}


def messages(daemon: Daemon, home: Home, count: int) -> list[str]:
    """Return the messages that came, once there are so many, and that there are no more."""
    daemon.wait_records("syslog", count)
    daemon.wait_all_read()
    assert not daemon.seen("record.rejected")
    return [str(record["body"]) for record in home.records("syslog")]


@pytest.mark.parametrize(
    ("scheme", "options"), [("udp", ["--udp"]), ("tcp", ["--tcp"]), ("tcp", ["--tcp", "--octet-count", "--rfc3164"])]
)
def test_logger_sends_over_udp_and_tcp(home: Home, scheme: str, options: list[str]) -> None:
    logger = need("logger")
    daemon, ports = start(home, scheme)
    lines = [f"line {number}" for number in range(COUNT)]
    subprocess.run(
        [logger, "--server", "127.0.0.1", "--port", str(ports[scheme]), "--tag", "test", *options],
        input="".join(f"{line}\n" for line in lines).encode(),
        check=True,
    )
    assert messages(daemon, home, COUNT) == lines


@contextmanager
def running(program: str, *arguments: str, folder: Path) -> Iterator[None]:
    """Run a daemon of somebody else's while the block runs."""
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen([program, *arguments], cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n--- {program} said\n{said.read_text()}") from None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def feed(home: Home) -> list[str]:
    """Write what the others read and send; return the messages."""
    lines = [f"line {number} of {COUNT}" for number in range(COUNT)]
    (home.path / "feed").write_text("".join(f"{line}\n" for line in lines))
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", ["octet-counted", "traditional"])
def test_rsyslog_sends_over_udp_tcp_and_tls(home: Home, way: str, framing: str) -> None:
    rsyslogd = need("rsyslogd")
    if way == "udp" and framing == "octet-counted":
        pytest.skip("a datagram needs no framing")
    if way == "tls" and not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")):
        pytest.skip("rsyslog-gnutls is not installed")
    daemon, ports = start(home, way)
    lines = feed(home)
    secure = 'StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/certvalid"' if way == "tls" else ""
    work = home.path / "rsyslog"
    work.mkdir()
    (work / "rsyslog.conf").write_text(
        f'global(workDirectory="{work}" DefaultNetstreamDriverCAFile="{home.path}/ca.pem"'
        f' DefaultNetstreamDriverCertFile="{home.path}/client.pem"'
        f' DefaultNetstreamDriverKeyFile="{home.path}/client.key")\n'
        'module(load="imfile")\n'
        f'input(type="imfile" File="{home.path}/feed" Tag="test:")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{ports[way]}" protocol="{"udp" if way == "udp" else "tcp"}"'
        f' TCP_Framing="{framing}" Template="RSYSLOG_SyslogProtocol23Format" {secure})\n'
    )
    with running(rsyslogd, "-n", "-f", str(work / "rsyslog.conf"), "-i", str(work / "pid"), folder=work):
        came = eventually("all came", lambda: len(home.records("syslog")) >= COUNT and messages(daemon, home, COUNT))
    assert [line.strip() for line in came] == lines


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_syslog_ng_sends_over_udp_tcp_and_tls(home: Home, way: str) -> None:
    """Over TLS by its driver for RFC 5424, which counts; over the others by the one for RFC 3164, which does not."""
    syslog_ng = need("syslog-ng")
    daemon, ports = start(home, way)
    lines = feed(home)
    work = home.path / "syslog-ng"
    work.mkdir()
    tls = (
        f'tls(ca-file("{home.path}/ca.pem") cert-file("{home.path}/client.pem") key-file("{home.path}/client.key"))'
        if way == "tls"
        else ""
    )
    driver = "syslog" if way == "tls" else "network"
    (work / "syslog-ng.conf").write_text(
        "@version: 3.35\noptions { stats-freq(0); };\n"
        f'source s {{ file("{home.path}/feed" flags(no-parse) program-override("test")); }};\n'
        f'destination d {{ {driver}("127.0.0.1" port({ports[way]}) transport("{way}") {tls}); }};\n'
        "log { source(s); destination(d); };\n"
    )
    paths = [f"--{name}={work}/{name}" for name in ("persist-file", "pidfile", "control")]
    with running(syslog_ng, "-F", "--no-caps", "-f", str(work / "syslog-ng.conf"), *paths, folder=work):
        came = eventually("all came", lambda: len(home.records("syslog")) >= COUNT and messages(daemon, home, COUNT))
    assert [line.strip() for line in came] == lines
