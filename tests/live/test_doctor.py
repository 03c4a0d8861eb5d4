"""`hostd doctor`: what it finds in what a real daemon has left, and what a daemon makes of a ledger that it saved."""

import gzip
import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.pipeline.sinks.kinds import read_parquet, read_rotated
from tests.pipeline.sinks.server import Server

from .harness import Home, plugin
from .test_ledger_faults import root_page, spoil, with_lines

pytestmark = pytest.mark.slow


def tree(home: Home) -> dict[str, bytes]:
    """Return all files that a daemon has made, by name."""
    files = [path for folder in (home.state, home.out) for path in folder.rglob("*") if path.is_file()]
    # SQLite's index of the log, made again by whoever reads it, says nothing that is not in the log.
    return {str(path): path.read_bytes() for path in files if not path.name.endswith("-shm")}


def doctor(home: Home, *arguments: str, code: int) -> list[dict[str, Any]]:
    """Run the doctor; return what it found."""
    done = home.hostd("doctor", "--json", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (code == 0)
    found: list[dict[str, Any]] = report["findings"]
    return found


def problems(found: list[dict[str, Any]], level: str = "problem") -> list[tuple[str, str, str]]:
    return [(each["where"], each["what"], each["remedy"]) for each in found if each["level"] == level]


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_all_is_well_with_what_a_daemon_leaves(home: Home, end: str) -> None:
    """After SIGTERM as after SIGKILL; and nothing is changed by looking."""
    daemon = with_lines(home, 10)
    daemon.term() if end == "stopped" else daemon.kill9()
    before = tree(home)
    found = doctor(home, code=0)
    assert {each["check"] for each in found} >= {
        "settings",
        "state",
        "ledger",
        "sinks",
        "sources",
        "artifacts",
        "sandbox",
    }
    assert problems(found, "note") == []
    assert tree(home) == before
    home.append("a.log", "10")
    home.start().wait_records("lines", 11)


def test_while_a_daemon_runs_the_doctor_says_so(home: Home) -> None:
    """What it would see changes under its eyes."""
    daemon = with_lines(home, 1)
    done = home.hostd("doctor")
    assert done.returncode == 1
    assert done.stderr == (
        f"hostd: {home.state}: another hostd is running on this state folder, pid {daemon.pid}; "
        f"stop it (kill {daemon.pid}), or set another [state] folder\n"
    )


def lengthen(home: Home) -> tuple[str, str, str]:
    path = home.out / "lines.ndjson"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more\n")
    remedy = "nothing: the next start cuts them off and parses their input again; save them first if they are yours"
    return str(path), f"5 bytes past the {size} that were committed", remedy


def shorten(home: Home) -> tuple[str, str, str]:
    path = home.out / "lines.ndjson"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:20])
    what = f"{size} bytes were committed to it, and 20 are left: somebody cut it"
    return str(path), what, "restore it if you need what was cut; hostd appends to it as it is"


def rewrite_source(home: Home) -> tuple[str, str, str]:
    path = home.logs / "a.log"
    size = path.stat().st_size
    path.write_bytes(b"x" * (size + 1))
    what = f"it does not hold any more what was read of it, up to byte {size}"
    return str(path), what, "nothing, if it was truncated or rewritten: it is read from its start"


def open_state(home: Home) -> tuple[str, str, str]:
    home.state.chmod(0o755)
    return str(home.state), "others may enter it: its mode is 755", f"chmod 700 {home.state}"


def spoil_copy(home: Home) -> tuple[str, str, str]:
    digest = hashlib.sha256((home.plugins / "lines.py").read_bytes()).hexdigest()
    copy = home.state / "artifacts" / digest / "lines.py"
    copy.write_text("# other bytes\n")
    what = "the private copy of generation 1 of lines (1.0.0) is not what its digest says"
    return str(copy), what, f"rm -r {copy.parent}"


def advance_provenance(home: Home) -> tuple[str, str, str]:
    ledger = home.state / "ledger.db"
    with sqlite3.connect(ledger) as db:
        db.execute("UPDATE provenance SET end = end + 7")
        size = db.execute("SELECT offset FROM sources").fetchone()[0]
    db.close()
    what = f"logs/a.log was parsed up to byte {size + 7}, and its checkpoint is {size}: it would be read twice"
    remedy = "save what is left with hostd doctor --recover, or restore a backup of it together with the sinks' folders"
    return f"{ledger}: sources", what, remedy


@pytest.mark.parametrize(
    ("spoils", "level"),
    [
        (lengthen, "note"),
        (shorten, "problem"),
        (rewrite_source, "note"),
        (open_state, "problem"),
        (spoil_copy, "problem"),
        (advance_provenance, "problem"),
    ],
)
def test_each_trouble_is_found_with_what_to_do(
    home: Home, spoils: Callable[[Home], tuple[str, str, str]], level: str
) -> None:
    """One thing is wrong, and one finding says where, what, and what to do."""
    with_lines(home, 10).term()
    expected = spoils(home)
    found = doctor(home, code=1 if level == "problem" else 0)
    assert problems(found, level) == [expected]


def test_an_archive_that_was_read_is_there(home: Home) -> None:
    """Its bytes are compared as they were read: unpacked. What was cut or written anew is said."""
    home.drop("lines.py", plugin())
    packed = home.append("a.log.gz", gzip.compress(b"1\n2\n"))
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == ["1", "2"]
    found = doctor(home, code=0)
    said = [each for each in found if each["check"] == "sources"]
    assert [(each["level"], each["where"], each["what"]) for each in said] == [
        ("ok", str(packed), "parsed up to byte 4 of what it unpacks to")
    ]
    packed.write_bytes(gzip.compress(b"3\n4\n"))
    [finding] = problems(doctor(home, code=0), "note")
    assert finding[:2] == (str(packed), "it does not hold any more what was read of it, up to byte 4")


KEEPING = (
    '[[sinks]]\nkind = "ndjson"\nfolder = "out"\nrotate_mib = 0.0001\ncompress = "zstd"\n'
    '[[sinks]]\nkind = "parquet"\nfolder = "parquet"\nflush_s = 0.1\n'
)


def test_what_sinks_keep_beside_is_looked_at_too(home: Home) -> None:
    """Rotated and compressed files, Parquet files, and what waits for a server; by the status, too, while it waits."""
    with Server() as server:
        server.behave = lambda _key, body: (422, {}, b"no") if b'"0"' in body else (503, {}, b"later")
        to_server = f'[[sinks]]\nkind = "http"\nurl = "{server.url}"\nlinger_s = 0.01\n'
        home.configure(sinks=KEEPING + to_server)
        home.drop("lines.py", plugin())
        daemon = home.start()
        for number in range(4):
            home.append("a.log", str(number), "x" * 100)
            daemon.wait(
                "it is written",
                lambda number=number: str(number) in [each["line"] for each in read_rotated(home.path, "lines")],
            )
        daemon.wait_event("sink.undelivered")
        read_parquet(home.path, "lines")
        daemon.wait("all rotated files are packed", lambda: not list(home.out.glob("lines-*.ndjson")))
        [_, undelivered] = daemon.status()["undelivered"]
        assert (undelivered["kind"], undelivered["sink"]) == ("http", server.url)
        assert undelivered["bytes"] > 300
        [failing] = undelivered["failing"]
        assert failing["processor"] == "lines"
        assert failing["reason"].startswith(f"[Errno 71] {server.url} answered 503 Service Unavailable: later")
        said = home.hostd("status").stdout
        assert "UNDELIVERED" in said
        assert f"{server.url} answered 503 Service Unavailable: later" in said
        daemon.term()
    packed, parquet = sorted(home.out.glob("*.zst")), sorted((home.path / "parquet").rglob("part-*.parquet"))
    found = doctor(home, code=0)
    whats = [each["what"] for each in found if each["check"] == "sinks"]
    assert any(what.endswith(f"rotated, {len(packed)} of them compressed") for what in whats)
    assert any(what.startswith(f"{len(parquet)} file") and what.endswith("of Parquet") for what in whats)
    assert [what for _, what, _ in problems(found, "note") if f"to be delivered to {server.url}" in what]
    assert [what for _, what, _ in problems(found, "note") if "records that the server refused" in what]
    packed[0].write_bytes(b"")
    parquet[0].write_bytes(parquet[0].read_bytes()[:-1])
    (home.out / ".lines-20260101T000000.000000Z.ndjson.zst.hostd-packing").write_bytes(b"half")
    home.configure(sinks=KEEPING)
    found = doctor(home, code=1)
    cut = "restore it if you need what was in it; hostd never writes to it again"
    [orphan] = [each for each in problems(found) if "no sink of the settings" in each[1]]
    assert "put that sink back, with the same folder or URL" in orphan[2]
    assert [each for each in problems(found) if each != orphan] == [
        (str(packed[0]), "it is no zstd archive: somebody cut or overwrote it", cut),
        (str(parquet[0]), "it is no whole Parquet file: somebody cut or overwrote it", cut),
    ]
    assert [what for _, what, _ in problems(found, "note") if what == "half of an archive, left by a kill"]


def test_settings_that_are_invalid_are_a_finding(home: Home) -> None:
    """Nothing else can be looked at then."""
    home.settings.write_text("[pipelin]\n")
    [found] = doctor(home, code=1)
    assert found["where"] == "hostd.toml:1"
    assert found["what"] == "setting 'pipelin' is not known"
    assert found["remedy"] == "did you mean 'pipeline'?"


@pytest.mark.parametrize(
    "part", ["schema", *(pytest.param(part, marks=pytest.mark.slow) for part in ("header", "provenance", "sinks"))]
)
def test_a_recovered_ledger_goes_on_exactly_where_the_broken_one_was(home: Home, part: str) -> None:
    """Killed under load, then a page is gone that holds no checkpoint: saved, started, each line once and in order."""
    home.drop("lines.py", plugin())
    home.append("a.log", *map(str, range(20_000)))
    daemon = home.start()
    daemon.wait("it has committed a part", lambda: daemon.status()["sources"][0]["offset"])
    # Without its mark a sink is appended to as it is; so that one may hold nothing that was not committed.
    daemon.term() if part == "sinks" else daemon.kill9()
    ledger = home.state / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = {"header": 1, "schema": 1}.get(part) or root_page(ledger, part)
    spoil(ledger, (page - 1) * 4096, 100 if part == "header" else 4096)
    where, what, remedy = problems(doctor(home, code=1))[0]
    assert where == str(ledger)
    assert "broken" in what
    assert "hostd doctor --recover" in remedy
    broken = ledger.read_bytes()
    done = home.hostd("doctor", "--recover")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the new ledger is in place; the broken one is kept as ledger.db.broken-" in done.stdout
    [kept] = home.state.glob("ledger.db.broken-*")
    assert kept.read_bytes() == broken
    home.append("a.log", *map(str, range(20_000, 30_000)))
    doctor(home, code=0)
    assert_goes_on(home)


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_without_its_log_the_ledger_is_an_older_one_and_nothing_is_lost_or_doubled(home: Home, how: str) -> None:
    """The sinks are cut back to what it says, and what it does not know of is parsed again."""
    home.drop("lines.py", plugin())
    home.append("a.log", *map(str, range(20_000)))
    daemon = home.start()
    daemon.wait("it has committed a part", lambda: daemon.status()["sources"][0]["offset"])
    daemon.kill9()
    log = home.state / "ledger.db-wal"
    spoil(log, 0, log.stat().st_size) if how == "broken" else log.unlink()
    home.append("a.log", *map(str, range(20_000, 30_000)))
    doctor(home, code=0)
    assert_goes_on(home)


def assert_goes_on(home: Home) -> None:
    """A daemon that is started brings out the rest, and all of it is there once, in order."""
    daemon = home.start()
    daemon.wait("all is out", lambda: home.raw("lines").count(b"\n") >= 30_000)
    daemon.wait_all_read()
    assert home.lines() == [str(number) for number in range(30_000)]


def test_a_lost_checkpoint_is_decided_by_the_operator(home: Home) -> None:
    """Nothing is changed without; with `skip` no record comes twice, and what is appended later comes."""
    with_lines(home, 10).term()
    ledger = home.state / "ledger.db"
    spoil(ledger, (root_page(ledger, "sources") - 1) * 4096, 4096)
    before = tree(home)
    found = doctor(home, "--recover", code=1)
    assert problems(found)[-1][:2] == ("nothing was changed", "it cannot be known how far 1 files were read")
    assert tree(home) == before
    doctor(home, "--recover", "--unknown", "skip", code=0)
    home.append("a.log", "10")
    home.start().wait_records("lines", 11)
    assert home.lines() == [str(number) for number in range(11)]
