"""What is posted: who may, what is refused and why, what a key is good for, and OTLP by its own exporter."""

import gzip
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from .harness import Daemon, Home, plugin, worse
from .senders import Http, Otlp, certificates, client_context, free_port

SHIPPED = Path(__file__).parents[2] / "plugins.d"


@pytest.fixture
def sender(home: Home) -> Http:
    return Http(home)


def start(home: Home, sender: Http, more: str = "", **settings: str) -> Daemon:
    home.drop("lines.py", plugin(glob="no.*"))
    home.configure(sender.settings(more) + settings.get("beside", ""), paths=())
    daemon = home.start()
    daemon.wait_event("generation.switched")
    sender.attach(daemon)
    return daemon


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["error"]


def test_with_a_token_only_who_bears_it_may_post(home: Home, sender: Http) -> None:
    """It is in no event, and what is posted without it is in no file."""
    token = home.path / "token"
    token.write_text("0123456789abcdefghij\n")
    token.chmod(0o600)
    daemon = start(home, sender, 'token_file = "token"\n')
    for given in ({}, {"Authorization": "Bearer 0123456789abcdefghix"}, {"Authorization": "0123456789abcdefghij"}):
        answer = sender.post(b"no\n", **given)
        assert error_of(answer) == (401, "it needs the token: Authorization: Bearer TOKEN")
        assert answer[1]["WWW-Authenticate"] == "Bearer"
    assert sender.post(b"yes\n", Authorization="Bearer 0123456789abcdefghij")[0] == 200
    assert home.lines() == ["yes"]
    refused = daemon.wait_event("post.refused", 3)
    assert (refused["status"], refused["client"]) == (401, "127.0.0.1")
    assert "0123456789" not in daemon.log()


def test_a_token_that_others_can_read_stops_the_start(home: Home, sender: Http) -> None:
    token = home.path / "token"
    token.write_text("0123456789abcdefghij\n")
    token.chmod(0o644)
    home.configure(sender.settings('token_file = "token"\n'), paths=())
    daemon = home.start(ready=False)
    assert daemon.wait_exit() == 1
    said = (
        f"hostd: {token}: others than hostd's user can reach the token: its mode is 0644 and its owner {os.geteuid()}"
    )
    assert daemon.noise == [f"{said}; chmod 600 it, and chown it to user {os.geteuid()}"]
    daemon.noise.clear()
    home.daemons.clear()


def test_with_a_client_ca_only_who_has_a_certificate_may_post(home: Home, sender: Http) -> None:
    certificates(home.path)
    start(home, sender, 'certificate = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"\n')
    assert sender.where.startswith("https://127.0.0.1:")
    sender.secure = client_context(home.path)
    sender.send("yes")
    sender.secure = client_context(home.path, certified=False)
    with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
        sender.post(b"no\n")
    assert home.lines() == ["yes"]


def test_what_cannot_be_taken_is_refused_with_the_reason(home: Home, sender: Http) -> None:
    daemon = start(home, sender, 'max_body_mib = 1\nsources = ["app", "web*"]\n')
    paths = {"/": 404, "/v1/logs": 404, "/v1/logs/": 404, "/v1/logs/a/b": 404, "/v1/logs/other": 403}
    for path, status in paths.items():
        sender.path = path
        assert sender.post(b"x\n")[0] == status, path
    sender.path = "/v1/logs/other"
    assert error_of(sender.post(b"x"))[1] == "'other' may not be posted to (sources); known are app, web*"
    sender.path = "/v1/logs/app"
    assert error_of(sender.post(b"x" * (1 << 20) + b"yy"))[1].startswith("the body has 1048578 bytes, over max_body")
    assert error_of(sender.post(b"x", Content_Encoding="gzip"))[0] == 400
    assert error_of(sender.post(b"x", Content_Encoding="lzma"))[0] == 415
    assert error_of(sender.post(b"x", Idempotency_Key="k" * 256))[0] == 400
    assert error_of(sender.post(b"x", Idempotency_Key="k\xff")) == (
        400,
        "the Idempotency-Key has characters that are not ASCII; send one of letters and digits",
    )
    assert sender.post(b"")[0] == 200
    sender.path = "/v1/logs/web1"
    assert sender.post(gzip.compress(b"one\ntwo"), Content_Encoding="gzip")[0] == 200
    assert [(record["line"], record["@source"]) for record in home.records()] == [
        ("one", "http:web1"),
        ("two", "http:web1"),
    ]
    counted = daemon.status()["intakes"][0]["answered"]
    assert counted == {"200": 2, "400": 3, "403": 2, "404": 4, "413": 1, "415": 1}


def test_a_body_that_breaks_off_is_not_taken(home: Home, sender: Http) -> None:
    """Half of it came, and then its sender was gone: no line of it is in the file."""
    daemon = start(home, sender)
    host, port = sender.where.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/logs/app HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf\nof it\n")
    assert daemon.wait_event("post.refused")["reason"].startswith("the body did not come to its end")
    sender.send("whole")
    assert home.lines() == ["whole"]


def test_a_key_makes_a_body_that_is_sent_again_count_once_also_after_a_restart(home: Home, sender: Http) -> None:
    daemon = start(home, sender)
    first = sender.post(b"one\n", Idempotency_Key="a")
    again = sender.post(b"one\n", Idempotency_Key="a")
    assert [json.loads(answer[2])["known"] for answer in (first, again)] == [False, True]
    assert error_of(sender.post(b"two\n", Idempotency_Key="a")) == (
        422,
        "this Idempotency-Key came with another body before; send a new key",
    )
    daemon.kill9()
    sender.attach(home.start())
    assert json.loads(sender.post(b"one\n", Idempotency_Key="a")[2])["known"] is True
    assert json.loads(sender.post(b"one\n", Idempotency_Key="b")[2])["known"] is False
    assert home.lines() == ["one", "one"]


def test_a_key_counts_whichever_listener_the_body_comes_by(home: Home, sender: Http) -> None:
    """Also while it waits for its commit, and when settings put another listener in the place of one."""
    home.drop("lines.py", plugin(glob="no.*"))
    first = sender.settings().replace("timeout_s = 10", "timeout_s = 0.3")
    second = '[[sources]]\nkind = "http"\nname = "second"\nlisten = "127.0.0.1:0"\nprocessor = "lines"\n'
    home.configure(first + second, paths=())
    daemon = home.start()
    daemon.wait_event("generation.switched")
    sender.attach(daemon)
    home.out.write_text("in the way")
    assert error_of(sender.post(b"one\n", Idempotency_Key="k"))[0] == 503
    home.configure(first.replace("0.3", "9") + second, paths=())
    daemon.hup()
    daemon.wait_event("config.reloaded")
    home.out.unlink()
    [sender.where] = daemon.wait_event("intake.started", source="http:second")["listening"]
    assert json.loads(sender.post(b"one\n", Idempotency_Key="k")[2])["known"] is True
    assert home.lines() == ["one"]


def test_a_body_that_was_committed_in_part_when_the_daemon_died_is_gone_on_with(home: Home, sender: Http) -> None:
    """Its first batches are committed, and a later one hangs: the daemon is killed, and the body is sent again."""
    small = "limits = { batch_kib = 1, time_s = 60 }"
    home.drop("lines.py", worse("1.0.0", "hang", "import time; time.sleep(30)", glob="no.*", manifest=small))
    home.configure(sender.settings(), paths=())
    daemon = home.start()
    sender.attach(daemon)
    lines = [f"line {number:04} {'x' * 90}" for number in range(60)]
    lines[40] = f"hang {lines[40]}"
    body = "".join(f"{line}\n" for line in lines).encode()

    def give_up() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            sender.post(body, Idempotency_Key="k")

    client = threading.Thread(target=give_up)
    client.start()
    daemon.wait("some of it is committed", lambda: len(home.lines()) >= 20)
    daemon.kill9()
    client.join()
    part = len(home.lines())
    assert 0 < part < 60
    home.drop("lines.py", plugin(version="2.0.0", glob="no.*"))
    daemon = home.start()
    sender.attach(daemon)
    daemon.wait_event("generation.switched", version="2.0.0")
    assert daemon.wait_event("spool.cut")["offset"] > 0
    sender.send("between")  # what comes first takes the place of what was cut off
    assert sender.post(body, Idempotency_Key="k")[0] == 200
    assert sender.post(body, Idempotency_Key="k")[0] == 200
    came = home.lines()
    assert sorted(came) == sorted([*lines, "between"])


def test_a_post_that_takes_too_long_is_told_so_and_its_key_tells_when_it_is_done(home: Home, sender: Http) -> None:
    home.configure(sender.settings().replace("timeout_s = 10", "timeout_s = 0.3"), paths=())
    daemon = home.start()
    sender.attach(daemon)
    answer = sender.post(b"one\n", Idempotency_Key="k")
    assert error_of(answer)[0] == 503
    assert error_of(answer)[1] == (
        "not committed within 0.3 s; it is kept, and will be committed; ask again with the same Idempotency-Key to know"
    )
    assert answer[1]["Retry-After"] == "1"
    home.drop("lines.py", plugin(glob="no.*"))
    daemon.wait_records("lines", 1)
    assert json.loads(sender.post(b"one\n", Idempotency_Key="k")[2])["known"] is True
    assert home.lines() == ["one"]


def of_type(name: str, media_type: str, lines: str) -> str:
    criteria = f'media_types = ["{media_type}"], lines = "{lines}", names'
    return plugin(name, glob="no.*").replace("names", criteria)


def test_posts_are_routed_by_what_they_declare_to_be_one_kind_at_a_time(home: Home, sender: Http) -> None:
    """What curl sends by itself declares nothing. While one kind waits another has to, and is told so."""
    home.drop("a.py", of_type("a", "text/x-a", "^a"))
    home.configure(sender.settings().replace('processor = "lines"', "").replace("= 10", "= 0.3"), paths=())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="a")
    sender.attach(daemon)
    assert sender.post(b"a1\n", Content_Type="Text/X-A; charset=utf-8")[0] == 200
    assert sender.post(b"a2\n", Content_Type="application/x-www-form-urlencoded")[0] == 200
    assert daemon.wait_event("source.routed")["why"] == "media type and lines"
    assert sender.post(b"b3\n", Content_Type="text/x-b")[0] == 503  # nobody takes it yet
    daemon.wait_event("source.unrouted", source="http:app")
    assert error_of(sender.post(b"a4\n", Content_Type="text/x-a", Idempotency_Key="4")) == (
        503,
        "http:app: text/x-b is not committed yet; send it again later",
    )
    said = error_of(sender.post(b"b5\n", Content_Type="application/x-nobody-knows"))[1]
    assert said.startswith("not committed within")  # nobody knows either: it waits with the other
    home.drop("b.py", of_type("b", "text/x-b", "^b"))
    daemon.wait_records("b", 2)
    taken = daemon.wait(
        "the other kind is committed, and this one is taken",
        lambda: (answer := sender.post(b"a4\n", Content_Type="text/x-a", Idempotency_Key="4"))[0] == 200 and answer,
    )
    assert json.loads(taken[2]) == {"source": "http:app", "bytes": 3, "known": False}
    assert (home.lines("a"), home.lines("b")) == (["a1", "a2", "a4"], ["b3", "b5"])


def test_who_waits_while_it_stops_is_answered(home: Home, sender: Http) -> None:
    """No plugin takes it: it cannot be committed, and is told so before the daemon ends."""
    home.configure(sender.settings("[daemon]\ngrace_s = 1\n"), paths=())
    daemon = home.start()
    sender.attach(daemon)
    answers = []
    client = threading.Thread(target=lambda: answers.append(sender.post(b"one\n")))
    client.start()
    daemon.wait("it waits", lambda: daemon.source("http:app"))
    assert daemon.term() == 0
    client.join()
    assert error_of(answers[0]) == (503, "hostd is stopping; send it again later")


def test_a_port_that_is_taken_stops_the_start_and_leaves_a_reload_as_it_was(home: Home, sender: Http) -> None:
    daemon = start(home, sender)
    taken = free_port(home)
    second = f'[[sources]]\nkind = "http"\nname = "second"\nlisten = "127.0.0.1:{taken}"\n'
    home.configure(sender.settings("spool_mib = 7\n") + second, paths=())
    daemon.hup()
    refused = daemon.wait_event("config.refused")["reason"]
    line = len(home.settings.read_text().splitlines())  # of the second, whose last it is
    assert refused.startswith(f"sources: {home.settings}:{line}: source http:second: it cannot be begun: ")
    assert str(taken) in refused
    assert "see that nothing else uses it, and that hostd's user may; what is in force stays" in refused
    sender.attach(daemon)
    sender.send("still served")
    other = Home(home.path / "other")
    other.configure(second, paths=())
    failed = other.start(ready=False)
    assert failed.wait_exit() == 1
    assert failed.noise[0].startswith(f"hostd: {other.settings}:")
    assert ": source http:second: it cannot be begun: " in failed.noise[0]
    assert failed.noise[0].endswith("; see that nothing else uses it, and that hostd's user may")


def test_a_full_disk_is_said_and_answered_and_passes(home: Home, sender: Http) -> None:
    """The spool cannot be written for a while, as when its folder may not be."""
    daemon = start(home, sender)
    sender.send("one")
    limit = ("prlimit", "--pid", str(daemon.pid))
    subprocess.run([*limit, "--fsize=4:"], check=True)  # the spool has as many bytes already
    answer = sender.post(b"two\n" * 5)
    assert error_of(answer) == (503, "it cannot be spooled: File too large; send it again later")
    assert daemon.wait_event("spool.failed", source="http:app")["reason"] == "File too large"
    subprocess.run([*limit, "--fsize=unlimited:"], check=True)
    daemon.wait("it is taken again", lambda: sender.post(b"three\n")[0] == 200)
    daemon.wait_event("spool.recovered", source="http:app")
    assert home.lines() == ["one", "three"]


def test_otlp_is_taken_as_protobuf_and_as_json_from_the_sdks_exporter(home: Home) -> None:
    """Each log record is one of the processor that ships, whole."""
    http_exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http._log_exporter")
    api, sdk = pytest.importorskip("opentelemetry._logs"), pytest.importorskip("opentelemetry.sdk._logs")
    batches = pytest.importorskip("opentelemetry.sdk._logs.export")
    resources = pytest.importorskip("opentelemetry.sdk.resources")
    (home.plugins / "otlp.py").write_bytes((SHIPPED / "otlp.py").read_bytes())
    sender = Otlp(home)
    home.configure(sender.settings().replace('processor = "lines"\n', ""), paths=())
    daemon = home.start()
    sender.attach(daemon)
    daemon.wait_event("generation.switched")
    out = exporter.OTLPLogExporter(endpoint=f"{sender.where}/v1/logs", compression=http_exporter.Compression.Gzip)
    provider = sdk.LoggerProvider(resource=resources.Resource({"service.name": "shop"}))
    provider.add_log_record_processor(batches.BatchLogRecordProcessor(out))
    provider.get_logger("cart", "1.2").emit(
        api.LogRecord(
            timestamp=1715940303250000000,
            severity_number=api.SeverityNumber.WARN,
            severity_text="WARN",
            body={"left": [3, 2.5, None, True]},
            attributes={"item": "cup", "count": 3},
        )
    )
    provider.shutdown()
    sender.send("by JSON")
    first, second = daemon.wait_records("otlp", 2)
    assert first["timestamp"] == "2024-05-17T10:05:03.25Z"
    assert (first["severity_text"], first["severity_number"]) == ("WARN", 13)
    assert first["body"] == {"left": [3, 2.5, None, True]}
    assert first["attributes"] == {"item": "cup", "count": 3}
    assert first["resource"]["service.name"] == "shop"
    assert first["scope"] == {"name": "cart", "version": "1.2"}
    assert (second["body"], second["@source"]) == ("by JSON", "otlp:http")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "reason"),
    [
        ("application/x-protobuf", b"\xff\xff", 400, b"the body is no ExportLogsServiceRequest: "),
        ("application/json", b"[1]", 400, b"the body is no ExportLogsServiceRequest, but another JSON value"),
        ("application/json", b"{", 400, b"the body is not JSON: "),
        ("application/json", b'{"resourceLogs": [1]}', 400, b"the body is no ExportLogsServiceRequest: a list or"),
        ("text/plain", b"x", 415, b"Content-Type 'text/plain' is not OTLP's; send application/x-protobuf or"),
    ],
)
def test_what_is_no_otlp_is_answered_in_the_senders_encoding(
    otlp_daemon: Otlp, content_type: str, body: bytes, status: int, reason: bytes
) -> None:
    answer = otlp_daemon.post(body, Content_Type=content_type)
    assert answer[0] == status
    if content_type == "application/x-protobuf":
        assert answer[1]["Content-Type"] == content_type
        assert answer[2][:1] == b"\x12"
        assert answer[2][3:].startswith(reason)  # its length takes two bytes
    else:
        assert json.loads(answer[2])["message"].encode().startswith(reason)


@pytest.fixture(scope="module")
def otlp_daemon(tmp_path_factory: pytest.TempPathFactory):
    """A daemon that takes OTLP, for all that only looks at answers."""
    home = Home(tmp_path_factory.mktemp("otlp"))
    sender = Otlp(home)
    home.configure(sender.settings(), paths=())
    sender.attach(home.start())
    yield sender
    home.end()
