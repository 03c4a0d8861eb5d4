"""Plugins that hang, die, raise and shout: what they spoil is one line, and never another plugin's."""

import shutil
import sqlite3

import pytest

from .harness import REPOSITORY, Daemon, Home, plugin

pytestmark = pytest.mark.slow

FOLDER = REPOSITORY / "examples" / "plugins" / "misbehaving"


@pytest.fixture
def with_plugin(home: Home, request: pytest.FixtureRequest) -> Daemon:
    """A daemon with one of the misbehaving examples, and a plugin that behaves."""
    shutil.copy(FOLDER / f"{request.param}.py", home.plugins)
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin=request.param)
    daemon.wait_event("generation.switched", plugin="lines")
    return daemon


def hangs() -> str:
    """Return the example that hangs, with a shorter deadline: every retry and every half waits for it."""
    source = (FOLDER / "hangs.py").read_text()
    assert "# limits = { time_s = 1 }" in source
    return source.replace("time_s = 1 ", "time_s = 0.3 ")


def messages(home: Home, processor: str) -> list[str]:
    return [record["message"] for record in home.records(processor)]


def dead_letters(home: Home) -> list[tuple[str, int, bytes, str]]:
    """Return source, offset, bytes and reason of every dead letter in the ledger."""
    ledger = sqlite3.connect(f"file:{home.state / 'ledger.db'}?mode=ro", uri=True)
    try:
        return ledger.execute("SELECT name, offset, raw, reason FROM dead_letters ORDER BY name, offset").fetchall()
    finally:
        ledger.close()


def numbered(count: int, **bad: int) -> list[str]:
    """Return numbered lines, with a bad word in place of some of them."""
    lines = [str(number) for number in range(count)]
    for word, at in bad.items():
        lines[at] = word
    return lines


TRAP = "a" * 60 + "!"


@pytest.mark.parametrize(
    ("manifest", "written", "parsed"),
    [
        ("accepts = { head = '^(a+)+$' }", [TRAP, "aaa", "b"], [TRAP, "aaa", "b"]),
        ("framing = { kind = 'multiline', start = '^(a+)+$' }", ["aaa", TRAP, "b"], ["aaa", TRAP, "b"]),
        ("header = '^(a+)+$'", ["aaa", TRAP, "b"], [TRAP, "b"]),
    ],
    ids=["head", "start", "header"],
)
def test_a_pattern_that_backtracks_without_end_delays_nobody(
    home: Home, manifest: str, written: list[str], parsed: list[str]
) -> None:
    """The daemon matches it, and goes on reading, parsing and answering; the plugin that brought it serves too."""
    trap = plugin("trap", glob="*.trap", manifest=manifest)
    if manifest.startswith("accepts"):
        trap = trap.replace('# accepts = { names = ["*.trap"] }\n', "")
    home.drop("trap.py", trap)
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="trap")
    daemon.wait_event("generation.switched", plugin="lines")
    home.append("a.trap", *written)
    home.append("b.log", *numbered(10))
    daemon.wait_records("lines", 10)
    daemon.wait_records("trap", len(parsed))
    assert home.lines("trap") == parsed


def test_a_line_that_hangs_is_set_aside_and_the_others_come_out(home: Home) -> None:
    """The worker is killed at its deadline, the batch tried again, then cut; another plugin goes on meanwhile."""
    home.drop("hangs.py", hangs())
    home.drop("lines.py", plugin())
    daemon = home.start()
    daemon.wait_event("generation.switched", plugin="hangs")
    daemon.wait_event("generation.switched", plugin="lines")
    lines = numbered(40, hang=17)
    home.append("a.misbehave_hangs", *lines)
    retried = daemon.wait_event("batch.retried", plugin="hangs")
    assert retried["reason"] == "no answer within 0.3 s"
    assert (retried["source"], retried["offset"]) == ("logs/a.misbehave_hangs", 0)
    home.append("a.log", "meanwhile")
    daemon.wait_records("lines", 1)
    assert home.records("hangs") == []
    rejected = daemon.wait_event("record.rejected", plugin="hangs")
    assert rejected["reason"] == "worker lost: no answer within 0.3 s"
    assert (rejected["preview"], rejected["count"]) == ("hang\n", 0)
    daemon.wait_records("hangs", 39)
    assert messages(home, "hangs") == [line for line in lines if line != "hang"]
    daemon.wait_all_read()
    assert daemon.status()["dead_letters"] == {"hangs": 1}
    offset = sum(len(line) + 1 for line in lines[:17])
    assert dead_letters(home) == [
        ("logs/a.misbehave_hangs", offset, b"hang\n", "worker lost: no answer within 0.3 s"),
    ]
    home.append("a.misbehave_hangs", "after")
    daemon.wait_records("hangs", 40)


@pytest.mark.parametrize("with_plugin", ["dies"], indirect=True)
def test_a_line_that_ends_the_process_is_set_aside_and_the_others_come_out(with_plugin: Daemon) -> None:
    """os._exit in a parser costs one line and some workers; the daemon is the same process as before."""
    daemon, home = with_plugin, with_plugin.home
    lines = numbered(100, die=60)
    lines[61] = "die"
    home.append("a.misbehave_dies", *lines)
    retried = daemon.wait_event("batch.retried", plugin="dies")
    assert retried["reason"] == "exit status 3"
    rejected = daemon.wait_event("record.rejected", plugin="dies")
    assert rejected["reason"] == "worker lost: exit status 3"
    assert rejected["count"] == 1
    daemon.wait_records("dies", 98)
    assert messages(home, "dies") == [line for line in lines if line != "die"]
    daemon.wait_all_read()
    assert [raw for _, _, raw, _ in dead_letters(home)] == [b"die\n", b"die\n"]
    home.append("a.log", "after")
    daemon.wait_records("lines", 1)
    assert daemon.status()["daemon"]["pid"] == daemon.pid


@pytest.mark.parametrize("with_plugin", ["raises_on_some_lines"], indirect=True)
def test_lines_that_raise_are_dead_letters_and_only_they(with_plugin: Daemon) -> None:
    """A batch with three bad lines gives three dead letters, each with the exception and the line that raised it."""
    daemon, home = with_plugin, with_plugin.home
    lines = ["raise" if number in (0, 500, 999) else str(number) for number in range(1000)]
    home.append("a.misbehave_raises_on_some_lines", *lines)
    daemon.wait_records("raises_on_some_lines", 997)
    assert messages(home, "raises_on_some_lines") == [line for line in lines if line != "raise"]
    daemon.wait_all_read()
    letters = dead_letters(home)
    assert [raw for _, _, raw, _ in letters] == [b"raise\n"] * 3
    source = (FOLDER / "raises_on_some_lines.py").read_text().splitlines()
    line = next(number for number, text in enumerate(source, start=1) if "raise ValueError" in text)
    reason = "ValueError: this line has something that its author did not think of"
    assert {reason for *_, reason in letters} == {f"{reason} (plugins.d/raises_on_some_lines.py:{line})"}
    assert not daemon.seen("worker.exited")
    status = daemon.plugin("raises_on_some_lines")
    assert status is not None
    assert (status["records"], status["rejected"]) == (997, 3)


@pytest.mark.parametrize("with_plugin", ["prints_a_lot"], indirect=True)
def test_printing_damages_no_record(with_plugin: Daemon) -> None:
    """A kilobyte printed for every line, on both streams: the records are whole, and the log holds a bounded part."""
    daemon, home = with_plugin, with_plugin.home
    lines = numbered(3000)
    home.append("a.misbehave_prints_a_lot", *lines)
    daemon.wait_records("prints_a_lot", 3000)
    assert messages(home, "prints_a_lot") == lines
    said = daemon.wait_event("plugin.logged", plugin="prints_a_lot")
    assert said["message"].startswith("about to parse 0 ....")
    assert said["said"] == "info"
    assert len(daemon.seen("plugin.logged")) < 200


def test_a_plugin_that_leaves_processes_behind_leaves_none_at_its_end(home: Home) -> None:
    """What a parser started ends with its worker, at the latest when the generation is retired."""
    home.configure(sandbox="off")  # in it there are no processes to leave
    code = "import subprocess\n\nsubprocess.Popen(['sleep', '1000'])\n"
    home.drop("lines.py", plugin(code=code))
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    assert len(home.pids() - home.spares()) > 3
    (home.plugins / "lines.py").unlink()
    daemon.wait_event("generation.retired", plugin="lines")
    daemon.wait("only daemon and zygote are left", lambda: home.pids() - home.spares() == {daemon.pid, daemon.zygote})


def test_memory_over_the_limit_rejects_the_line_and_not_the_daemon(home: Home) -> None:
    """It meets its limit: an error on that line, also where `each_line` would reject any other exception itself."""
    source = plugin(manifest="limits = { memory_mib = 64 }").replace(
        "    return {", "    if line == 'big':\n        bytearray(1 << 30)\n    return {"
    )
    home.drop("lines.py", source)
    home.append("a.log", "1", "big", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    assert home.lines() == ["1", "2"]
    daemon.wait_all_read()
    [(_, _, raw, reason)] = dead_letters(home)
    assert (raw, reason.split()[0]) == (b"big\n", "MemoryError")
    assert not daemon.seen("worker.exited")


def test_all_misbehave_at_once_and_the_good_one_goes_on(home: Home) -> None:
    """Hanging, dying and raising plugins side by side cost the plugin beside them nothing."""
    for name in ("dies", "raises_on_some_lines", "prints_a_lot"):
        shutil.copy(FOLDER / f"{name}.py", home.plugins)
    home.drop("hangs.py", hangs())
    home.drop("lines.py", plugin())
    for name, word in (("hangs", "hang"), ("dies", "die"), ("raises_on_some_lines", "raise")):
        home.append(f"a.misbehave_{name}", "before", word, "after")
    home.append("a.misbehave_prints_a_lot", *numbered(100))
    daemon = home.start()
    for number in range(20):
        home.append("a.log", *numbered(100))
        daemon.wait_records("lines", 100 * (number + 1), deadline_s=5)
    for name in ("hangs", "dies", "raises_on_some_lines"):
        daemon.wait_records(name, 2)
        assert messages(home, name) == ["before", "after"]
    daemon.wait_records("prints_a_lot", 100)
    assert sorted(daemon.wait_all_read()["dead_letters"]) == ["dies", "hangs", "raises_on_some_lines"]
