"""The grid of failures: whatever a plugin does, it is said of it, its input is accounted for, and no other suffers.

One daemon goes through them all, one after another, while a healthy plugin, the neighbour, is fed without a pause. It
does so with plugins confined, where that works here, and with plugins that have the daemon's rights.
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostd.workers import wire
from hostd.workers.peer import MAX_SIGNS_OF_LIFE
from tests import bubblewrap

from .harness import Daemon, Home, comm, plugin
from .test_misbehaving import dead_letters

MOST_LATE_S = 2.0
"""How late the neighbour's lines may be parsed, on a machine that does much else: hangs alone would make it more."""
MOST_MEMORY_KIB = 150 << 10
MOST_CPU_S, MOST_HELD_S = 0.02, 0.25
"""For how long the event loop may be held: by work, and by the disk, which others use too."""
TIME_S = 0.5
FDS_OF_BOXES = 2 * 2 * wire.DEPTH
"""Of a worker: a memory file for each frame under way in each direction, and the descriptor that its mapping holds."""

PREAMBLE = """
import ctypes, json, math, os, signal, socket, stat, struct, subprocess, sys, threading, time

def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False

def send(content):
    for fd in filter(is_socket, range(3, 99)):
        os.write(fd, content)

class P:
    def parse(self, data, ctx):
        for raw in data.splitlines():
            line = raw.decode()
            if line == "bad":
                BODY
            yield {"line": line}
        if b"bad" in data:
            AFTER
"""
FRAME = wire.HEAD.pack
LINES = (*map(str, range(7)), "bad", *map(str, range(8, 20)))
SHORT = ("0", "bad", "2")
ALONE = ("bad",)
NOT_DONE = rf"worker lost: no answer within {TIME_S:g} s"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a parser does at the line `bad`, and the reason of the dead letter that this line then is.

    `confined` is the reason where the sandbox makes it another; empty where it makes it no failure.
    """

    body: str
    reason: str
    after: str = "pass"
    confined: str | None = None
    memory_mib: int = 64
    lines: tuple[str, ...] = LINES

    @property
    def time_s(self) -> float:
        """The plugin's limit for a batch: short where that is what ends it."""
        return TIME_S if "no answer" in self.reason else 20

    def reason_in(self, sandbox: str) -> str:
        """Return the reason by whether plugins are confined."""
        return self.reason if sandbox == "off" or self.confined is None else self.confined


FAILURES = {
    "raises": Failure("raise ValueError('no good')", r"ValueError: no good \(plugins\.d/bad\.py:\d+\)"),
    "raises at its end": Failure("pass", r"ValueError: at the end \(.*\)", "raise ValueError('at the end')"),
    "recurses": Failure("f = lambda: f(); f()", r"RecursionError: .*"),
    "exits": Failure("sys.exit(3)", r"SystemExit: 3 \(.*\)"),
    "exits hard": Failure("os._exit(3)", r"worker lost: exit status 3"),
    "segfaults": Failure("ctypes.string_at(0)", r"worker lost: killed by signal 11"),
    # The first process of a PID namespace gets no signal from itself that it has not asked for.
    "aborts": Failure("os.abort()", r"worker lost: killed by signal 6", confined="worker lost: exit status 6"),
    "loops": Failure("while True: pass", NOT_DONE, lines=SHORT),
    "blocks in C, with the GIL": Failure("ctypes.PyDLL(None).sleep(1000)", NOT_DONE, lines=SHORT),
    "deadlocks": Failure("lock = threading.Lock(); lock.acquire(); lock.acquire()", NOT_DONE, lines=SHORT),
    "stops its process": Failure("os.kill(os.getpid(), signal.SIGSTOP)", NOT_DONE, lines=SHORT, confined=""),
    "forks a tree, and loops in each": Failure(
        "[os.fork() for _ in range(5)]\n                while True: pass",
        NOT_DONE,
        confined=r"PermissionError: \[Errno 1\] Operation not permitted .*",
    ),
    "starts a process": Failure(
        "subprocess.Popen(['sleep', '1000'])", "", confined=r"PermissionError: \[Errno 1\] Operation not permitted .*"
    ),
    "asks for too much memory": Failure("bytearray(1 << 30)", r"MemoryError \(.*\)"),
    "eats memory": Failure(
        "sys.kept = k = []\n                while True: k.append(bytearray(1 << 20))",
        r"worker lost: out of memory, which it does not give back \(limits\.memory_mib = 64\)",
    ),
    "closes its socket": Failure("os.closerange(3, 200)", r"worker lost: exit status 1"),
    "closes its socket and stays": Failure(
        "os.closerange(3, 200); time.sleep(1000)", r"worker lost: closed its socket", lines=ALONE
    ),
    "writes garbage": Failure("send(b'\\xff' * 4096)", r"worker lost: broke the protocol: a frame of kind 127 with .*"),
    "sends half a frame": Failure(f"send({FRAME(4, 100, 0)!r}); os._exit(0)", r"worker lost: exit status 0"),
    "sends another kind of frame": Failure(
        f"send({FRAME(1, 2, 0) + b'[]'!r})", r"worker lost: answered Parse with Loaded"
    ),
    "sends what nobody asked for": Failure(
        f"send({FRAME(4, 17, 0) + b'[9, [], [], 0, 7]'!r} * 3)",
        r"worker lost: broke the protocol: an answer to another question",
    ),
    "announces a gigabyte": Failure(
        f"send({FRAME(4, 100, 1 << 30)!r}); time.sleep(1000)",
        r"worker lost: broke the protocol: a frame of kind 4 with 100 \+ 1073741824 bytes",
    ),
    "announces what never comes": Failure(f"send({FRAME(4, 100, 9 << 20)!r}); time.sleep(1000)", NOT_DONE, lines=SHORT),
    "says for ever that it lives": Failure(
        f"\n                while True: send({FRAME(5, 2, 0) + b'[]'!r}); time.sleep(0.01)",
        rf"worker lost: no answer within {MAX_SIGNS_OF_LIFE * TIME_S:g} s",
        lines=ALONE,
    ),
    "yields for ever": Failure("yield from iter(dict, 1)", r"TooMuchError: its records are over the limit .*"),
    "yields a huge record": Failure("yield {'x': 'x' * (1 << 25)}", r"TooMuchError: .*", memory_mib=512, lines=SHORT),
    "rejects for ever": Failure("while True: ctx.reject(raw, 'no')", r"TooMuchError: it rejects more often than .*"),
    "rejects what is not there": Failure("ctx.reject(b'x', 'no'); continue", r"no \(of b'x', which is no piece of .*"),
    "raises with a long reason": Failure("raise ValueError('x' * (8 << 20))", r"ValueError: x{900}.*", memory_mib=256),
    "yields what is no record": Failure("yield 7", r"TypeError: a record must be a mapping or a string, not int .*"),
    "yields an object": Failure("yield {'x': object()}", r"TypeError: field 'x': object is no JSON value .*"),
    "yields a cycle": Failure("d = {}; d['d'] = d; yield d", r"ValueError: field 'd': holds itself, or is nested .*"),
    "yields a huge int": Failure("yield {'x': 10**5000}", r"ValueError: field 'x': Exceeds the limit .*"),
    "yields a lone surrogate": Failure("yield {'x': '\\ud800'}", r"ValueError: field 'x': text with a lone surr.*"),
    "yields a key that is no text": Failure(
        "yield {('a',): 1}", r"TypeError: a record: a key is \('a',\), not text .*"
    ),
}

REFUSALS = {
    "import raises": ("raise ValueError('no good')", "", r"bad\.py:\d+: importing it raises ValueError: no good; .*"),
    "import exits": ("sys.exit(3)", "", r"bad\.py:\d+: importing it raises SystemExit: 3; .*"),
    "import exits hard": ("os._exit(3)", "", r"bad\.py: its worker was lost while loading it: exit status 3; .*"),
    "import segfaults": ("ctypes.string_at(0)", "", r"bad\.py: .* lost while loading it: killed by signal 11; .*"),
    "import closes the socket": ("os.closerange(3, 99)", "", r"bad\.py: .* lost while loading it: exit status 1; .*"),
    "import eats memory": ("bytearray(1 << 30)", "", r"bad\.py:\d+: importing it raises MemoryError; .*"),
    "factory raises": ("", "raise ValueError('no')", r"bad\.py:\d+: new_processor\(\) raises ValueError: no; .*"),
    "factory exits": ("", "sys.exit(3)", r"bad\.py:\d+: new_processor\(\) raises SystemExit: 3; .*"),
    "factory aborts": ("", "os.abort()", r"bad\.py: .* lost while loading it: (killed by signal|exit status) 6; .*"),
}

HARMLESS = {
    "leaves a busy thread": "threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start(); yield {'line': line}",
    "prints a gigabyte": "[print('x' * (1 << 20)) for _ in range(1024)]; yield {'line': line}",
    "writes a gigabyte to its descriptors": (
        "x = b'x' * (1 << 20)\n"
        "                for _ in range(512): os.write(1, x); os.write(2, x)\n"
        "                sys.__stdout__.buffer.write(x * 100)\n"
        "                ctypes.CDLL(None).puts(x)\n"
        "                yield {'line': line}"
    ),
    "yields what is stored by a rule": "yield {'line': line, 'odd': [math.nan, math.inf, b'raw', {1}, 2**70]}",
}


def bad(
    body: str,
    *,
    after: str = "pass",
    top: str = "",
    factory: str = "return P()",
    time_s: float = 20,
    memory_mib: float = 64,
) -> str:
    """Return a plugin whose parser does `body` at a line `bad`, and `after` at the end of a batch that has one."""
    code = PREAMBLE.replace("BODY", body).replace("AFTER", after) + top
    manifest = f"limits = {{ time_s = {time_s:g}, memory_mib = {memory_mib:g} }}"
    return plugin("bad", glob="*.bad", manifest=manifest, code=code).replace(
        "    return each_line(parse)", f"    {factory}"
    )


class Watched(Daemon):
    """A daemon that says what holds up its event loop."""

    program = (str(Path(__file__).with_name("watched.py")),)


class Neighbour:
    """A healthy plugin, and a thread that feeds it a line every few milliseconds, each with the time it was written."""

    def __init__(self, home: Home) -> None:
        self.written: list[str] = []
        self._home = home
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        code = "import time\n"
        source = plugin("neighbour", glob="*.fine", code=code)
        home.drop(
            "neighbour.py", source.replace('"by": "1.0.0"', '"late_s": time.monotonic() - float(line.split()[1])')
        )

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def stop(self) -> None:
        """Feed no more."""
        self._stop.set()
        self._thread.join(10)

    def check(self, daemon: Daemon, since: int) -> None:
        """Check that what was written since is parsed in order, and that no line of it was late."""
        until = len(self.written)
        daemon.wait("the neighbour's records", lambda: self._home.raw("neighbour").count(b"\n") >= until)
        records = [json.loads(line) for line in self._home.raw("neighbour").splitlines()[since:until]]
        assert [record["line"] for record in records] == self.written[since:until]
        latest = max((record["late_s"] for record in records), default=0)
        assert latest < MOST_LATE_S, f"a line of the neighbour was parsed {latest:.2f} s after it was written"

    def _feed(self) -> None:
        while not self._stop.wait(0.005):
            line = f"{len(self.written)} {time.monotonic()}"
            self._home.append("neighbour.fine", line)
            self.written.append(line)


@dataclass(slots=True)
class Grid:
    """The daemon that goes through it all. What is fed and dropped in is another's in every turn."""

    home: Home
    daemon: Daemon
    neighbour: Neighbour
    turn: int = 0

    def feed(self, name: str, lines: Sequence[str]) -> str:
        """Write a log of the bad plugin in one step; return the source's name."""
        name = re.sub(r"\W+", "_", f"{name} {self.turn}")
        self.home.append(f"{name}.bad", "".join(f"{line}\n" for line in lines).encode())
        return f"logs/{name}.bad"

    def drop(self, source: str) -> str:
        """Drop the bad plugin in; return its digest as the log has it."""
        source += f"# {self.turn}\n"
        self.home.drop("bad.py", source)
        return hashlib.sha256(source.encode()).hexdigest()[:12]

    def check_accounted(self, source: str, lines: Sequence[str], dead: list[int]) -> None:
        """Check that each line is a record or a dead letter, once, in order, and exactly the `dead` ones are dead."""
        found = [record["line"] for record in self.home.records("bad") if record["@source"] == source]
        assert found == [line for number, line in enumerate(lines) if number not in dead]
        places = [_size(lines[:number]) for number in dead]
        letters = [(at, raw.rstrip(b"\n")) for name, at, raw, _ in dead_letters(self.home) if name == source]
        assert letters == [(at, lines[number].encode()) for at, number in zip(places, dead, strict=True)]

    def wait_committed(self, source: str, lines: Sequence[str]) -> None:
        """Wait until a source is committed to its end."""

        def committed() -> bool:
            found = self.daemon.source(source)
            return found is not None and found["offset"] == _size(lines)

        self.daemon.wait(f"{source} is committed", committed)

    def open_sockets(self) -> int | None:
        """Return how many sockets the daemon has beside those to its workers; None while it has descriptors of others.

        Also while one is being forked or is ending: its descriptors and its process do not come and go together.
        """
        workers, kinds = self._workers(), Counter[str]()
        for entry in Path(f"/proc/{self.daemon.pid}/fd").iterdir():
            try:
                kinds[re.sub(r"[\d:\[\]()].*", "", str(entry.readlink()))] += 1
            except FileNotFoundError:
                continue
        if self._workers() != workers or kinds["/memfd"] != FDS_OF_BOXES * len(workers):
            return None
        return kinds["socket"] - len(workers)

    def _workers(self) -> dict[int, str]:
        names = {pid: comm(pid) for pid in self.home.pids()}
        return {pid: name for pid, name in names.items() if name in ("hostd:neighbour", "hostd-spare")}


@pytest.fixture(scope="module", params=["required", pytest.param("off", marks=pytest.mark.slow)])
def daemon_of_all(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """One daemon for the whole grid, and the neighbour being fed."""
    home = Home(tmp_path_factory.mktemp("grid"))
    if request.param == "required" and not bubblewrap.works():
        pytest.skip("bubblewrap does not work here")
    home.configure(sandbox=request.param)
    neighbour = Neighbour(home)
    daemon = home.start(kind=Watched)
    daemon.wait_event("generation.switched", plugin="neighbour")
    neighbour.start()
    yield Grid(home, daemon, neighbour)
    neighbour.stop()
    home.end()


@pytest.fixture
def grid(request: pytest.FixtureRequest, daemon_of_all: Grid) -> Iterator[Grid]:
    """The grid before and after one failure: nothing of the plugin is left, and nobody else has noticed.

    A virtual machine can lose a core for a tenth of a second, which its kernel counts as the work of the thread that
    was on it. What holds up the event loop by itself does so each time: it is blamed for what is seen twice.
    """
    daemon_of_all.turn += 1
    with _watched(daemon_of_all) as blocked:
        yield daemon_of_all
    if blocked:
        daemon_of_all.turn += 1
        with _watched(daemon_of_all) as blocked:
            request.node.runtest()
    assert not blocked, blocked


@contextmanager
def _watched(grid: Grid) -> Iterator[list[dict[str, Any]]]:
    """Check what is left of a failure, and give what held up the event loop meanwhile."""
    daemon, blocked = grid.daemon, list[dict[str, Any]]()
    since, events = len(grid.neighbour.written), len(daemon.events)
    sockets = daemon.wait("no worker comes or goes", grid.open_sockets)
    yield blocked
    (grid.home.plugins / "bad.py").unlink()
    daemon.wait("no plugin but the neighbour is known", lambda: _names(daemon) == ["neighbour"])
    fine = {"hostd:neighbour", "hostd-spare", "hostd-zygote"}
    daemon.wait("none of its processes is left", lambda: {comm(p) for p in grid.home.pids() - {daemon.pid}} <= fine)
    daemon.wait("none of its descriptors is left", lambda: (found := grid.open_sockets()) and found <= sockets)
    grid.neighbour.check(daemon, since)
    with daemon._news:
        held = [event for event in daemon.events[events:] if event["event"] == "loop.blocked"]
    blocked += [event for event in held if event["cpu_s"] > MOST_CPU_S or event["held_s"] > MOST_HELD_S]
    peak_kib = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[0])
    assert peak_kib < MOST_MEMORY_KIB, f"the daemon has had {peak_kib >> 10} MiB"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _names(daemon: Daemon) -> list[str]:
    status = daemon.status()
    return [each["name"] for each in status["plugins"]] + [each["path"] for each in status["refused"]]


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_at_a_line_costs_that_line(grid: Grid, name: str) -> None:
    """It is a dead letter with its reason; all others are records, and the log names plugin and generation."""
    failure, daemon = FAILURES[name], grid.daemon
    source = grid.feed(name, failure.lines)
    limits = {"memory_mib": failure.memory_mib, "time_s": failure.time_s}
    reason = failure.reason_in(grid.home.sandbox)
    digest = grid.drop(bad(failure.body, after=failure.after, **limits))
    if not reason:
        grid.wait_committed(source, failure.lines)
        grid.check_accounted(source, failure.lines, [])
        return
    rejected = daemon.wait_event("record.rejected", plugin="bad", source=source)
    assert re.fullmatch(reason, rejected["reason"]), rejected["reason"][:300]
    assert rejected["generation"] == daemon.wait_event("generation.started", digest=digest)["generation"]
    grid.wait_committed(source, failure.lines)
    grid.check_accounted(source, failure.lines, [failure.lines.index("bad")])


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_failure_costs_nothing(grid: Grid, name: str) -> None:
    """All lines are records, whatever else the parser does."""
    source = grid.feed(name, LINES)
    grid.drop(bad(f"{HARMLESS[name]}\n                continue", time_s=20, memory_mib=256))
    grid.wait_committed(source, LINES)
    grid.check_accounted(source, LINES, [])


@pytest.mark.parametrize("name", REFUSALS)
def test_a_failure_before_it_serves_is_a_refusal(grid: Grid, name: str) -> None:
    """The log names plugin, digest, file, line and reason; what it would take waits."""
    top, factory, reason = REFUSALS[name]
    source = grid.feed(name, LINES)
    digest = grid.drop(bad("pass", top=top, factory=factory or "return P()"))
    refused = grid.daemon.wait_event("artifact.refused", plugin="bad", digest=digest)
    assert re.fullmatch(f"plugins.d/{reason}", refused["reason"]), refused["reason"]
    waiting = grid.daemon.wait("the log is known", lambda: grid.daemon.source(source))
    assert (waiting["offset"], waiting["size"]) == (0, _size(LINES))
    (grid.home.path / source).unlink()  # or the next plugin of the grid would take it


FLOODS = {"rejects": 'ctx.reject(raw, "no " * 100); continue', "raises": 'raise ValueError("no " * 100)'}


@pytest.mark.parametrize("name", ["rejects", pytest.param("raises", marks=pytest.mark.slow)])
def test_a_flood_of_dead_letters_is_taken_in_turns(grid: Grid, name: str) -> None:
    """Every line of two large batches is one, in frames that hold nobody up."""
    lines = [f"{number:09}" for number in range(30_000)]
    source = grid.feed(f"flood of {name}", lines)
    grid.drop(bad("pass").replace('yield {"line"', f'{FLOODS[name]}\n            yield {{"line"'))
    grid.daemon.wait_event("record.rejected", source=source, deadline_s=60)
    grid.wait_committed(source, lines)
    letters = [(at, raw.rstrip(b"\n")) for each, at, raw, _ in dead_letters(grid.home) if each == source]
    assert letters == [(10 * number, line.encode()) for number, line in enumerate(lines)]


@pytest.mark.slow
def test_batches_that_yield_a_thousand_times_their_size_come_out_a_few_at_once(grid: Grid) -> None:
    """All of their records do, and the daemon never holds them all."""
    sources = [grid.feed(f"large {number}", ["large"]) for number in range(24)]
    source = bad("pass", time_s=60, memory_mib=512).replace("limits = {", "limits = { output_mib = 8,")
    grid.drop(source.replace('yield {"line": line', 'yield {"x": "x" * (7 << 20), "line": line'))
    for source in sources:
        grid.wait_committed(source, ["large"])
    large = [line for line in grid.home.raw("bad").splitlines() if b'"line":"large"' in line[-100:]]
    assert [len(line) >> 20 for line in large] == [7] * 24
    (grid.home.out / "bad.ndjson").unlink()  # what comes after it need not read all that


@pytest.mark.slow
def test_memory_that_is_not_given_back_costs_workers_and_no_line(grid: Grid) -> None:
    """A leak ends a worker now and then: the batch goes to a fresh one, and none of its lines is to blame."""
    lines = [str(number) for number in range(500)]
    source = grid.feed("leak", lines[:0])
    leaking = bad("pass").replace('yield {"line"', 'kept.append(bytearray(1 << 19)); yield {"line"')
    digest = grid.drop(leaking.replace("class P:", "kept = []\n\nclass P:"))
    number = grid.daemon.wait_event("generation.started", digest=digest)["generation"]
    for end in range(50, 501, 50):
        grid.feed("leak", lines[end - 50 : end])
        grid.wait_committed(source, lines[:end])
    grid.check_accounted(source, lines, [])
    reasons = {event["reason"] for event in grid.daemon.seen("batch.retried", generation=number, source=source)}
    assert reasons == {"out of memory, which it does not give back (limits.memory_mib = 64)"}
