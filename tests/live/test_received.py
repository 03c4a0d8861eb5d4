"""What every kind of received source does alike: in order, once, through restarts, kills, pressure and swaps."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from .harness import DEADLINE_S, Daemon, Home, eventually, plugin
from .senders import KINDS, Http, Otlp, Sender, Stdin, SyslogTcp, SyslogUdp

MOST_UNDER_WAY = 500
"""Datagrams, which fit into any buffer."""
ANSWERED = [kind for kind in KINDS if kind.is_answered]
UNANSWERED = [kind for kind in KINDS if not kind.is_answered]


def each(kinds: list[type[Sender]], *soon: type[Sender]) -> pytest.MarkDecorator:
    """Try every kind, of which only some `soon`, and the others with the long tests.

    All that is sent goes one way once it is taken in. That each kind takes it in is tried soon with all of them; the
    rest with kinds that end differently: what is answered, a pipe, a connection, datagrams that may be dropped.
    """
    params = [pytest.param(k, id=k.__name__, marks=[] if k in soon else [pytest.mark.slow]) for k in kinds]
    return pytest.mark.parametrize("sender", params, indirect=True)


@pytest.fixture
def sender(home: Home, request: pytest.FixtureRequest) -> Iterator[Sender]:
    """A sender of one kind."""
    made = request.param(home)
    yield made
    made.close()


def start(home: Home, sender: Sender, more: str = "", *, with_plugin: bool = True) -> Daemon:
    """Start a daemon with the sender's source alone, and attach the sender."""
    if with_plugin:
        home.drop("lines.py", plugin(glob="no.*"))
    home.configure(sender.settings(more), paths=())
    daemon = home.start()
    sender.attach(daemon)
    return daemon


def came(home: Home, sender: Sender) -> list[str]:
    """Return the lines that were committed, as they were sent."""
    return [sender.text_of(line) for line in home.lines()]


def numbered(first: int, count: int) -> list[str]:
    return [f"line {number}" for number in range(first, first + count)]


@pytest.mark.parametrize("sender", KINDS, indirect=True, ids=lambda kind: kind.__name__)
def test_lines_come_once_in_their_order_under_the_sources_own_name(home: Home, sender: Sender) -> None:
    daemon = start(home, sender)
    for first in range(0, 300, 50):
        sender.send(*numbered(first, 50))
    daemon.wait_records("lines", 300)
    assert came(home, sender) == numbered(0, 300)
    assert {record["@source"] for record in home.records()} == {sender.label}
    status = daemon.wait_all_read()["sources"][0]
    assert (status["name"], status["plugin"]) == (sender.label, "lines")
    assert status["offset"] == status["size"] > 0


@each(KINDS, Http, Stdin)
def test_a_restart_goes_on_where_it_was(home: Home, sender: Sender) -> None:
    daemon = start(home, sender)
    sender.send(*numbered(100, 50))
    daemon.wait_records("lines", 50)
    offset = daemon.wait_all_read()["sources"][0]["offset"]
    assert daemon.term() == 0
    daemon = home.start()
    sender.attach(daemon)
    sender.send(*numbered(150, 50))
    daemon.wait_records("lines", 100)
    assert came(home, sender) == numbered(100, 100)
    after = daemon.wait_all_read()["sources"][0]
    assert (after["name"], after["offset"]) == (sender.label, offset * 2)


@each(UNANSWERED, SyslogTcp)
def test_what_was_taken_in_and_not_parsed_comes_after_a_kill(home: Home, sender: Sender) -> None:
    """No plugin takes it at first: all of it is in the spool when the daemon is killed."""
    daemon = start(home, sender, with_plugin=False)
    lines = numbered(0, 200)
    sender.send(*lines)
    whole = sum(len(line) + 1 for line in lines) + (0 if sender.text_of("<13>") else 4 * len(lines))
    daemon.wait("all is spooled", lambda: (daemon.source(sender.label) or {}).get("size") == whole)
    daemon.kill9()
    daemon = home.start()
    sender.attach(daemon)
    assert daemon.source(sender.label)["offset"] == 0  # type: ignore[index]
    home.drop("lines.py", plugin(glob="no.*"))
    daemon.wait_records("lines", 200)
    sender.send("after")
    daemon.wait_records("lines", 201)
    assert came(home, sender) == [*lines, "after"]


@each(ANSWERED, Http)
def test_what_was_never_answered_is_cut_off_by_a_kill_and_comes_once_when_it_is_sent_again(
    home: Home, sender: Http
) -> None:
    daemon = start(home, sender, with_plugin=False)
    assert sender.fill(numbered(0, 800)) == 800
    assert daemon.source(sender.label)["size"] > 0  # type: ignore[index]
    daemon.kill9()
    daemon = home.start()
    sender.attach(daemon)
    assert daemon.seen("spool.cut", source=sender.label)[0]["offset"] == 0
    home.drop("lines.py", plugin(glob="no.*"))
    daemon.wait_event("generation.switched")
    sender.send(*numbered(0, 800))
    daemon.wait_records("lines", 800)
    assert came(home, sender) == numbered(0, 800)


@each(ANSWERED, Http)
def test_kills_at_any_moment_lose_and_double_nothing_that_is_sent_until_it_is_answered(
    home: Home, sender: Http
) -> None:
    """Four clients send line after line, each with a key, and again until it is answered; the daemon is killed."""
    daemon = start(home, sender)
    stop = threading.Event()
    sent: list[list[str]] = [[] for _ in range(4)]

    def client(number: int) -> None:
        for count in itertools.count():
            if stop.is_set():
                return
            line = f"client {number} line {count}"
            sender.send_surely(line)
            sent[number].append(line)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for kill in range(4):
        so_far = sum(map(len, sent))
        daemon.wait("some more is answered", lambda so_far=so_far: sum(map(len, sent)) > so_far + 5)
        time.sleep(0.003 * kill)  # not to wait for anything: it dies elsewhere each time
        daemon.kill9()
        daemon = home.start()
        sender.attach(daemon)
    stop.set()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    daemon.wait_records("lines", sum(map(len, sent)))
    lines = came(home, sender)
    for number in range(4):
        assert [line for line in lines if line.startswith(f"client {number} ")] == sent[number]


@each(KINDS, Http, Stdin, SyslogTcp, SyslogUdp)
def test_under_pressure_senders_wait_and_nothing_is_lost_but_what_is_counted(home: Home, sender: Sender) -> None:
    """The source holds 1 MiB, and no plugin takes it; what is sent meanwhile is more than that."""
    if not sender.may_be_held_up:
        pytest.skip("a TLS connection that has timed out cannot be gone on with; TCP shows the same")
    daemon = start(home, sender, "spool_mib = 1\n", with_plugin=False)
    lines = [f"{number:08} {'x' * 990}" for number in range(20_000)]
    taken = sender.fill(lines)
    if sender.may_drop:
        daemon.wait_event("syslog.dropped", source=sender.label)
    else:
        assert 1000 < taken < 20_000
    held = daemon.source(sender.label)["size"]  # type: ignore[index]
    assert held < 3 << 20
    home.drop("lines.py", plugin(glob="no.*"))
    if sender.may_drop:
        daemon.wait_all_read()
        dropped = eventually("all is accounted for", lambda: _dropped(daemon, home, taken))
        assert dropped == daemon.seen("syslog.dropped")[-1]["total"]
    else:
        daemon.wait("all that was taken is there", lambda: len(home.lines()) >= taken)
        assert came(home, sender) == lines[:taken]
    sink = home.lines()
    assert len(sink) == len(set(sink))


def _dropped(daemon: Daemon, home: Home, sent: int) -> int:
    """Return how many datagrams were dropped, once these and what came are what was sent."""
    dropped: int = daemon.status()["intakes"][0]["dropped"]
    return dropped if dropped + len(home.lines()) == sent else 0


@each(KINDS, Http, SyslogUdp)
def test_a_plugin_swapped_meanwhile_costs_no_line(home: Home, sender: Sender) -> None:
    daemon = start(home, sender)
    sender.send("first")
    daemon.wait_records("lines", 1)
    sent = ["first"]
    for version in range(2, 5):
        home.drop("lines.py", plugin(version=f"{version}.0.0", glob="no.*"))
        while not daemon.seen("generation.switched", version=f"{version}.0.0"):
            lines = numbered(len(sent), 5)
            sender.send(*lines)
            sent += lines
            if sender.may_drop:  # what the kernel drops is no matter of a swap's
                daemon.wait("nearly all came", lambda: home.raw("lines").count(b"\n") > len(sent) - MOST_UNDER_WAY)  # noqa: B023
    sender.send("last")
    daemon.wait_records("lines", len(sent) + 1)
    assert came(home, sender) == [*sent, "last"]
    versions = [record["by"] for record in home.records()]
    assert versions == sorted(versions)
    assert versions[-1] == "4.0.0"


@each(KINDS, SyslogTcp)
def test_sighup_adds_and_removes_it_while_the_daemon_runs(home: Home, sender: Sender) -> None:
    """What was sent before it is removed is committed; added again, it goes on as the same source."""
    if not sender.is_for_daemon_alone:
        pytest.skip("standard input is what it was when the daemon was started")
    home.drop("lines.py", plugin(glob="no.*"))
    daemon = home.start()
    for turn in (1, 2):
        home.configure(sender.settings(), paths=())
        daemon.hup()
        sender.attach(daemon, turn)
        sender.send(*numbered(turn * 10, 10))
        daemon.wait_records("lines", 10 * turn)
        home.configure(paths=())
        daemon.hup()
        daemon.wait_event("intake.ended", turn)
        daemon.wait_event("source.ended", turn, source=sender.label)
        assert daemon.source(sender.label) is None
    assert came(home, sender) == numbered(10, 20)
    sizes = [event["offset"] for event in daemon.seen("source.ended", source=sender.label)]
    assert sizes[1] == 2 * sizes[0]
    assert not list(home.state.glob("spool/*/*/0*"))


def test_every_kind_is_in_the_status_for_people(home: Home) -> None:
    senders = [Http(home), SyslogUdp(home)]
    home.configure("".join(each.settings() for each in senders), paths=())
    home.start()
    said = home.hostd("status").stdout
    assert "INTAKE      LISTENING" in said
    assert "http        http://127.0.0.1:" in said
    assert "syslog:net  udp://127.0.0.1:" in said
    assert Otlp.label not in said
