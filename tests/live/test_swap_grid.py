"""Every step of a swap fails once, in every way: the current generation serves, and nothing of the candidate is left.

The steps: read, copy, prepare, fork, import, options, factory, samples, trial; record; first batch, probation; drain
of the old one. The ways: it raises, hangs until its deadline, ends or kills its process, its zygote is killed; for what
the daemon does itself, what an operator meets: descriptors run out, the disk is full, somebody has locked the ledger.
"""

import hashlib
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from hostd.control import client
from hostd.workers import wire

from .disks import disk, full
from .harness import Daemon, Home, plugin, wait_dead, worse
from .test_misbehaving import dead_letters
from .test_unloading import Held, held

WAYS = {
    "raises": "raise RuntimeError('spoiled')",
    "hangs": "time.sleep(600)",
    "ends": "os._exit(7)",
    "kills itself": "os.kill(os.getpid(), signal.SIGKILL)",
}
SETTINGS = "[workers]\nidle_s = 600\nstart_timeout_s = 1\n"
LIMITS = "limits = { time_s = 1 }"
FDS_PER_WORKER = 1 + 2 * 2 * wire.DEPTH
"""A socket, and the files of both directions, each with a second descriptor that its mapping holds."""

OPTIONS = """

class Options(pydantic.BaseModel):
    @pydantic.model_validator(mode="before")
    @classmethod
    def check(cls, table):
        spoil()
        return table
"""


def spoiled(step: str, does: str, version: str = "2.0.0", manifest: str = LIMITS, word: str = "first") -> str:
    """Return a version that goes wrong at a step; `word` begins the line that it goes wrong at once it serves."""
    code = f"import os\nimport signal\nimport time\n\nimport pydantic\n\n\ndef spoil():\n    {does}\n"
    if step == "import":
        return plugin(version=version, manifest=manifest, code=f"{code}\n\nspoil()\n")
    if step == "options":
        return plugin(version=version, manifest=manifest, code=f"{code}{OPTIONS}")
    if step == "factory":
        source = plugin(version=version, manifest=manifest, code=code)
        return source.replace("    return each_line(parse)", "    spoil()\n    return each_line(parse)")
    if step == "samples":
        sample = f'samples = [{{ input = "sample\\n", records = [{{ line = "sample", by = "{version}" }}] }}]'
        manifest = f"{manifest}\n{sample}"
    word = {"samples": "sample", "trial": "recent"}.get(step, word)
    return worse(version, word, "spoil()", manifest=manifest, code=code)


def serving(home: Home, probation_s: float = 600, settings: str = SETTINGS) -> Daemon:
    """Return a daemon whose plugin `lines` 1.0.0 has parsed a line, and has settled."""
    home.configure(settings, probation_s=probation_s, sandbox="off")  # its plugins wait for files
    home.drop("lines.py", plugin(manifest=LIMITS))
    home.append("a.log", "recent")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    settled(daemon)
    return daemon


def settled(daemon: Daemon) -> Held:
    """Return what is held once daemon, zygote, one worker and a spare are all there is."""
    daemon.wait("one worker is left", lambda: len(daemon.workers()) == 1)
    daemon.wait("the next worker is forked ahead", lambda: len(daemon.home.spares()) == 1)
    return replace(held(daemon), threads=0)  # they come as they are needed, up to a fixed number


def assert_settled(daemon: Daemon, expected: Held) -> None:
    """After a moment, as much is held as before."""
    daemon.wait(f"it holds {expected}", lambda: settled(daemon) == expected)


def copies(home: Home) -> set[str]:
    return {path.name for path in (home.state / "artifacts").iterdir()}


def digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def files(home: Home) -> set[str]:
    """Return all files of the state folder but the private copies and SQLite's own."""
    found = {str(path.relative_to(home.state)) for path in home.state.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(("artifacts/", "ledger.db-"))}


def assert_next_by(daemon: Daemon, version: str, line: str = "fresh") -> None:
    """One more line is one more record, by this version."""
    count = len(daemon.home.records())
    daemon.home.append("a.log", line)
    assert daemon.wait_records("lines", count + 1)[-1]["by"] == version


def assert_current_serves(daemon: Daemon, stage: str | None) -> None:
    """Generation 1 parses, and `hostd status` says so; if there is a stage, that the candidate was refused at it."""
    assert_next_by(daemon, "1.0.0")
    status = daemon.home.hostd("status")
    assert status.returncode == 0, status.stderr
    assert f"  at {stage}: " in status.stdout or stage is None
    [lines] = daemon.status()["plugins"]
    assert (lines["name"], lines["generation"], lines["state"], lines["workers"]) == ("lines", 1, "permanent", 1)
    assert [refused["stage"] for refused in daemon.status()["refused"]] == ([stage] if stage else [])


def assert_mended(daemon: Daemon, before: Held, was_files: set[str], version: str) -> None:
    """The mended file goes live; then there is what there was, and one more private copy."""
    source = plugin(version=version, manifest=LIMITS)
    daemon.home.drop("lines.py", source)
    daemon.wait_event("generation.switched", version=version)
    assert_next_by(daemon, version)
    assert daemon.status()["refused"] == []
    assert dead_letters(daemon.home) == []
    # It is on probation; go back, and what was there before is there, and nothing else.
    client.ask(daemon.home.state / "hostd.sock", "POST", "/rollback?name=lines&to=1")
    assert_next_by(daemon, "1.0.0")
    assert_settled(daemon, replace(before, artifacts=held(daemon).artifacts))
    assert files(daemon.home) == was_files
    assert digest(source) in copies(daemon.home)


REASONS = {
    ("import", "raises"): "importing it raises RuntimeError: spoiled; mend that line",
    ("options", "raises"): "Options raises RuntimeError: spoiled; define Options as a pydantic.BaseModel",
    ("factory", "raises"): "new_processor() raises RuntimeError: spoiled; mend that line",
    (
        "samples",
        "raises",
    ): 'sample 0: expected [{"line": "sample", "by": "VERSION"}], got []; mend parse, or the sample',
    ("trial", "raises"): "logs/a.log at 0: 'recent' is not parsed: RuntimeError: spoiled; mend it;",
}
LOST = {"hangs": "no answer within 1 s", "ends": "exit status 7", "kills itself": "killed by signal 9"}


def reason(step: str, way: str, version: str) -> str:
    """Return what the refusal of this version must say."""
    if way == "raises":
        return REASONS[step, way].replace("VERSION", version)
    return f"{'loses its worker' if step == 'trial' else 'its worker was lost while loading it'}: {LOST[way]}; "


BEFORE_THE_SWITCH = ("import", "options", "factory", "samples", "trial")
AFTER_THE_SWITCH = ("first batch", "probation")


def grids(steps: tuple[str, ...]) -> list[ParameterSet]:
    """Return every step with each way, which takes long, and each step and each way once, in one daemon's life.

    What tells the steps apart comes before the way, and what the daemon makes of a way is the same at each of them.
    """
    ways = [*WAYS]
    once = [(steps[n % len(steps)], ways[n % len(ways)]) for n in range(max(len(steps), len(ways)))]
    every = [pytest.param([(step, way) for way in ways], id=step, marks=pytest.mark.slow) for step in steps]
    return [pytest.param(once, id="each step and way once"), *every]


@pytest.mark.parametrize("cases", grids(BEFORE_THE_SWITCH))
def test_a_candidate_that_fails_at_a_step_before_the_switch(home: Home, cases: list[tuple[str, str]]) -> None:
    """It is refused at its stage with the reason; its processes are gone before it is mended, and its copy after."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    for number, (step, way) in enumerate(cases, start=2):
        source = spoiled(step, WAYS[way], f"{number}.0.0")
        home.drop("lines.py", source)
        refused = daemon.wait_event("artifact.refused", digest=digest(source)[:12])
        assert refused["stage"] == ("tried" if step == "trial" else "started"), (step, way)
        assert reason(step, way, f"{number}.0.0") in refused["reason"], (step, way)
        assert refused["serving"] == "generation 1 (1.0.0)"
        assert_current_serves(daemon, refused["stage"])
        # One copy of it: its file lies there, and may be tried again. The others are those to roll back to.
        assert_settled(daemon, replace(before, artifacts=number))
        assert files(home) == was_files
        assert_mended(daemon, before, was_files, f"{number}.0.1")
        assert digest(source) not in copies(home)
        assert not daemon.seen("generation.switched", version=f"{number}.0.0")


@pytest.mark.parametrize("cases", grids(AFTER_THE_SWITCH))
def test_a_candidate_that_fails_after_the_switch(home: Home, cases: list[tuple[str, str]]) -> None:
    """What it fails is the proven one's record, which is current again by itself."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    for number, (step, way) in enumerate(cases, start=2):
        version, word = f"{number}.0.0", f"spoils {number}"  # what spoilt the last one is recent input for the next
        home.drop("lines.py", spoiled(step, WAYS[way], version, word=word))
        daemon.wait_event("generation.switched", version=version)
        if step == "probation":
            assert_next_by(daemon, version)
        assert_next_by(daemon, "1.0.0", word)
        expected = "RuntimeError: spoiled" if way == "raises" else LOST[way]
        rolled_back = daemon.wait_event("generation.rolled_back", version=version)
        assert rolled_back["reason"].endswith(expected), way
        daemon.wait_event("generation.retired", generation=rolled_back["generation"])
        assert_current_serves(daemon, "probation")
        assert_settled(daemon, replace(before, artifacts=held(daemon).artifacts))
        assert files(home) == was_files
        assert_mended(daemon, before, was_files, f"{number}.0.1")


def gate(home: Home, way: str = "") -> tuple[str, Path]:
    """Return code that says in a file that it is there, and waits until `<file>.go` is there, then does `way`."""
    path = home.path / "gate"
    return (
        f"open({str(path)!r}, 'a').write('x')\n"
        f"    while not os.path.exists({f'{path}.go'!r}):\n"
        "        time.sleep(0.005)\n"
        f"    {way or 'return'}"
    ), path


def reached(path: Path, times: int = 1) -> bool:
    return path.exists() and path.stat().st_size >= times


@pytest.mark.parametrize(
    "step",
    # The first step of a worker, and the only one beside what serves; what lies between differs in the code that runs.
    [pytest.param(s, marks=[] if s in ("import", "trial") else [pytest.mark.slow]) for s in BEFORE_THE_SWITCH],
)
def test_the_zygote_killed_at_a_step_before_the_switch(home: Home, step: str) -> None:
    """The current generation gets new workers and parses; the candidate is not to blame, and goes live by itself."""
    daemon = serving(home, settings="[workers]\nidle_s = 600\n")
    before, was_files = settled(daemon), files(home)
    does, path = gate(home)
    home.drop("lines.py", spoiled(step, does, manifest="limits = { time_s = 20 }"))
    daemon.wait(f"it is at {step}", lambda: reached(path))
    os.kill(daemon.zygote, signal.SIGKILL)
    daemon.wait_event("zygote.exited")
    assert_next_by(daemon, "1.0.0")
    Path(f"{path}.go").touch()
    daemon.wait_event("generation.switched", version="2.0.0")
    assert_next_by(daemon, "2.0.0")
    assert daemon.status()["refused"] == []
    assert_mended(daemon, before, was_files, "2.0.1")


def test_the_zygote_killed_during_the_first_batch(home: Home) -> None:
    """The batch is parsed again, by the same version: nothing is rolled back."""
    daemon = serving(home, settings="[workers]\nidle_s = 600\n")
    before, was_files = settled(daemon), files(home)
    does, path = gate(home)
    home.drop("lines.py", spoiled("first batch", does, manifest="limits = { time_s = 20 }"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "first of all")
    daemon.wait("it parses", lambda: reached(path))
    os.kill(daemon.zygote, signal.SIGKILL)
    daemon.wait_event("zygote.exited")
    Path(f"{path}.go").touch()
    assert daemon.wait_records("lines", 2)[1]["by"] == "2.0.0"
    assert not daemon.seen("batch.regressed")
    assert_mended(daemon, before, was_files, "2.0.1")


@pytest.mark.parametrize(
    "way",
    # It answers, it ends, and its batch is lost with the zygote; the others end as one of these does.
    [pytest.param(w, marks=[] if w in ("raises", "ends", "zygote") else [pytest.mark.slow]) for w in (*WAYS, "zygote")],
)
def test_the_old_one_fails_while_it_drains(home: Home, way: str) -> None:
    """What it cannot finish is the new one's record; the old one is retired all the same."""
    daemon = serving(home, probation_s=0, settings="[workers]\nidle_s = 600\n[plugins.trial]\nmode = 'off'\n")
    before, was_files = settled(daemon), files(home)
    does, path = gate(home, WAYS.get(way, ""))
    old = spoiled("first batch", does, "1.0.1", manifest="limits = { time_s = 3 }")
    home.drop("lines.py", old)
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "first of all")
    daemon.wait("it parses", lambda: reached(path))
    home.drop("lines.py", plugin(version="2.0.0", manifest=LIMITS))
    daemon.wait_event("generation.draining", generation=2)
    if way == "zygote":
        os.kill(daemon.zygote, signal.SIGKILL)
        daemon.wait_event("zygote.exited")
    else:
        Path(f"{path}.go").touch()
    assert daemon.wait_records("lines", 2)[1]["by"] == "2.0.0"
    daemon.wait_event("generation.retired", generation=2)
    assert_next_by(daemon, "2.0.0")
    assert_mended(daemon, before, was_files, "2.0.1")


def test_the_file_cannot_be_read_as_a_plugin(home: Home) -> None:
    """Nonsense, a FIFO in its place, a folder: refused, or nothing at all, and never waited for."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    path = home.plugins / "lines.py"
    home.drop("lines.py", "nonsense\n")
    assert daemon.wait_event("artifact.refused")["stage"] == "checked"
    assert_current_serves(daemon, "checked")
    fifo = home.path / "fifo"
    os.mkfifo(fifo)
    fifo.replace(path)
    assert daemon.wait_event("artifact.refused", count=2)["stage"] == "found"
    assert_current_serves(daemon, "found")
    assert_settled(daemon, before)
    assert_mended(daemon, before, was_files, "2.0.1")


def test_the_file_is_being_written_and_never_done(home: Home) -> None:
    """It is not judged before it is closed; what serves goes on."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    with (home.plugins / "lines.py").open("r+") as file:
        file.write("half a plu")
        file.flush()
        daemon.rescan()
        assert_current_serves(daemon, None)
    assert daemon.wait_event("artifact.refused")["stage"] == "checked"
    assert_mended(daemon, before, was_files, "2.0.1")


def test_its_private_copy_cannot_be_written(home: Home) -> None:
    """Something is in the way: refused for now, and live by itself once that is gone."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    source = plugin(version="2.0.0", manifest=LIMITS)
    in_the_way = home.state / "artifacts" / digest(source)
    in_the_way.touch()
    home.drop("lines.py", source)
    assert daemon.wait_event("artifact.refused")["stage"] == "checked"
    assert_current_serves(daemon, "checked")
    in_the_way.unlink()
    daemon.wait_event("generation.switched", version="2.0.0")
    assert_mended(daemon, before, was_files, "2.0.1")


def test_its_environment_cannot_be_prepared(home: Home) -> None:
    """It needs what is not there."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    home.drop("lines.py", plugin(version="2.0.0", dependencies='"no-such-package-of-hostd==99.0"'))
    assert daemon.wait_event("artifact.refused", deadline_s=60)["stage"] == "prepared"
    assert_current_serves(daemon, "prepared")
    assert_settled(daemon, replace(before, artifacts=2))
    assert_mended(daemon, before, was_files, "2.0.1")


def without_spare(daemon: Daemon) -> None:
    """Have the next worker forked when it is needed, and not before."""
    [spare] = daemon.home.spares()
    fds = held(daemon).fds - FDS_PER_WORKER
    os.kill(spare, signal.SIGKILL)
    wait_dead(spare)
    # The zygote reaps it; the daemon hears of that later, and lets go of its end then.
    daemon.wait("the daemon has let go of it", lambda: held(daemon).fds == fds)


@contextmanager
def descriptors_left(daemon: Daemon, count: int) -> Iterator[None]:
    """Leave the daemon so many descriptors to open."""
    used = {int(path.name) for path in Path(f"/proc/{daemon.pid}/fd").iterdir()}
    free = (number for number in range(1 << 16) if number not in used)
    limit = [next(free) for _ in range(count + 1)][-1]
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptors_are_left_to_fork_with(home: Home) -> None:
    """Refused for now; the current generation's worker goes on, and the candidate comes by itself afterwards."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    without_spare(daemon)
    with descriptors_left(daemon, 4):
        home.drop("lines.py", plugin(version="2.0.0", manifest=LIMITS))
        refused = daemon.wait_event("artifact.refused")
        assert_next_by(daemon, "1.0.0")
    assert refused["reason"] == (
        "plugins.d/lines.py: no worker can be started: [Errno 24] Too many open files; free descriptors or memory"
    )
    daemon.wait_event("generation.switched", version="2.0.0")
    assert_mended(daemon, before, was_files, "2.0.1")


@pytest.mark.parametrize(
    "end",
    # One that is killed while it hangs has hung before.
    [pytest.param(signal.SIGCONT, id="hangs", marks=pytest.mark.slow), pytest.param(signal.SIGKILL, id="dies")],
)
def test_the_zygote_does_not_fork(home: Home, end: signal.Signals) -> None:
    """It hangs, or hangs and dies: the candidate waits, the current generation does not."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    without_spare(daemon)
    zygote = daemon.zygote
    os.kill(zygote, signal.SIGSTOP)
    home.drop("lines.py", plugin(version="2.0.0", manifest=LIMITS))
    daemon.wait_event("artifact.found", count=2)
    assert_current_serves(daemon, None)
    os.kill(zygote, end)
    daemon.wait_event("generation.switched", version="2.0.0")
    assert_mended(daemon, before, was_files, "2.0.1")


@contextmanager
def locked(home: Home) -> Iterator[Callable[[], None]]:
    """Lock the ledger, as a backup gone wrong does; yields what unlocks it."""
    ledger = sqlite3.connect(home.state / "ledger.db", isolation_level=None)
    try:
        ledger.execute("BEGIN EXCLUSIVE")
        yield lambda: ledger.execute("ROLLBACK") and None
    finally:
        ledger.close()


@pytest.mark.parametrize("end", ["unlocked", "kill -9"])
def test_the_switch_cannot_be_recorded(home: Home, end: str) -> None:
    """It has happened, and what the new one parses is accounted for after it; killed, the daemon does it again."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    with locked(home) as unlock:
        home.drop("lines.py", plugin(version="2.0.0", manifest=LIMITS))
        daemon.wait_event("generation.switched", version="2.0.0")
        home.append("a.log", "fresh")
        if end == "kill -9":
            daemon.kill9()
        else:
            failed = daemon.wait_event("sink.failed")
            assert "database is locked" in failed["reason"]
        unlock()
    if end == "kill -9":
        daemon = home.start()
        assert daemon.wait_event("generation.switched", version="2.0.0")["generation"] == 2
    assert [record["by"] for record in daemon.wait_records("lines", 2)] == ["1.0.0", "2.0.0"]
    daemon.wait_event("generation.started", generation=2)
    assert daemon.plugin("lines")["warm"] == 1
    if end == "unlocked":
        assert_mended(daemon, before, was_files, "2.0.1")


@pytest.mark.slow
def test_a_roll_back_cannot_be_recorded(home: Home) -> None:
    """The proven one is current at once; what was decided becomes durable when the ledger can be written."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    home.drop("lines.py", spoiled("first batch", WAYS["raises"]))
    daemon.wait_event("generation.switched", generation=2)
    with locked(home) as unlock:
        home.append("a.log", "first of all")
        daemon.wait_event("generation.rolled_back")
        daemon.wait_event("sink.failed")
        assert not daemon.seen("plugin.held")
        unlock()
    daemon.wait_event("plugin.held")
    assert [record["by"] for record in daemon.wait_records("lines", 2)] == ["1.0.0"] * 2
    assert_current_serves(daemon, "probation")
    assert_mended(daemon, before, was_files, "2.0.1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state folder on a disk of its own, of 2 MiB."""
    with disk(tmp_path / "state", 2) as folder:
        yield folder


def test_the_disk_of_the_state_is_full_when_a_version_comes(small_disk: Path, home: Home) -> None:
    """Refused for now; what serves goes on serving, its records wait; with room again all comes by itself."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    with full(small_disk):
        home.drop("lines.py", plugin(version="2.0.0", manifest=LIMITS))
        refused = daemon.wait_event("artifact.refused")
        assert "No space left on device" in refused["reason"]
        assert refused["serving"] == "generation 1 (1.0.0)"
        assert daemon.plugin("lines")["generation"] == 1
    daemon.wait_event("generation.switched", version="2.0.0")
    assert_mended(daemon, before, was_files, "2.0.1")


def test_the_disk_of_the_state_is_full_when_a_version_is_rolled_back(small_disk: Path, home: Home) -> None:
    """The proven one is current at once; the line comes out, once, when there is room."""
    daemon = serving(home)
    before, was_files = settled(daemon), files(home)
    home.drop("lines.py", spoiled("first batch", WAYS["raises"]))
    daemon.wait_event("generation.switched", generation=2)
    daemon.wait_all_read()
    with full(small_disk):
        home.append("a.log", "first of all")
        daemon.wait_event("generation.rolled_back")
        failed = daemon.wait_event("sink.failed")
        assert "full" in failed["reason"] or "I/O" in failed["reason"]
    daemon.wait_event("plugin.held")
    assert [record["by"] for record in daemon.wait_records("lines", 2)] == ["1.0.0"] * 2
    assert_current_serves(daemon, "probation")
    assert_mended(daemon, before, was_files, "2.0.1")
