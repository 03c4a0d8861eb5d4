"""Records in a SQLite database, as those meet it who read it, explain it, examine it, and parse again what is in it."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .harness import Daemon, Home, plugin

pytestmark = pytest.mark.slow

SINKS = '[[sinks]]\nkind = "sqlite"\npath = "records.db"\n'


def rows(home: Home, sql: str = "SELECT line FROM lines ORDER BY _id") -> list[tuple[Any, ...]]:
    """Return rows as another program reads them beside the daemon; none before there is a table."""
    path = home.path / "records.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []


def wait_rows(daemon: Daemon, count: int) -> None:
    daemon.wait(f"{count} rows", lambda: len(rows(daemon.home)) >= count)
    daemon.wait_all_read()
    assert len(rows(daemon.home)) == count


@pytest.fixture
def home(home: Home) -> Home:
    home.configure(sinks=SINKS)
    home.drop("lines.py", plugin())
    return home


def test_each_row_is_explained_to_the_bytes_and_the_version_that_made_it(home: Home) -> None:
    """Beside the daemon and after it; what is not there, was edited, or is somebody else's is said."""
    home.append("a.log", "one", "two")
    daemon = home.start()
    wait_rows(daemon, 2)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", version="2.0.0")
    home.append("a.log", "three")
    wait_rows(daemon, 3)
    for _ in range(2):
        found = [json.loads(home.hostd("explain", f"records.db:lines:{n}", "--json").stdout) for n in (1, 2, 3)]
        assert [each["input"] for each in found] == ["one\n", "two\n", "three\n"]
        assert [each["version"] for each in found] == ["1.0.0", "1.0.0", "2.0.0"]
        assert json.loads(found[1]["record"]) == {"line": "two", "by": "1.0.0", "@source": "logs/a.log"}
        assert home.hostd("explain", "records.db:lines:2").stdout.startswith("records.db:lines:2\n")
        if daemon.running:
            daemon.term()
    with closing(sqlite3.connect(home.path / "records.db")) as db, db:
        db.execute("DELETE FROM lines WHERE _id = 1")
        db.execute("UPDATE lines SET _record = '{}' WHERE _id = 3")
    for number, said in [
        (1, "there is no such row; _id is the number that is asked for"),
        (3, "the rows of its batch are not what hostd has written: some were deleted or edited; nothing can be told"),
        (4, "is not committed yet"),
    ]:
        assert said in home.hostd("explain", f"records.db:lines:{number}").stderr
    assert "no sink of this state folder has written it" in home.hostd("explain", "records.db:other:1").stderr


def test_a_reparse_says_that_it_replaces_nothing_there(home: Home) -> None:
    home.configure(sinks=f'{SINKS}[[sinks]]\nkind = "ndjson"\nfolder = "out"\n')
    home.append("a.log", "one", "two")
    daemon = home.start()
    wait_rows(daemon, 2)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", version="2.0.0")
    done = home.hostd("reparse", "lines", "--generation", "1")
    assert done.returncode == 3, done.stderr
    assert f"{home.path}/records.db" in done.stdout
    assert "what was written to it cannot be taken back" in done.stdout
    assert [record["by"] for record in home.records()] == ["2.0.0", "2.0.0"]
    assert rows(home, "SELECT DISTINCT by FROM lines") == [("1.0.0",)]


def test_the_doctor_compares_the_tables_with_the_account(home: Home) -> None:
    home.append("a.log", "one", "two")
    daemon = home.start()
    wait_rows(daemon, 2)
    daemon.kill9()
    place = f"{home.path}/records.db: table lines"
    assert f"{place}: 2 records were committed, and none are beyond" in home.hostd("doctor", "--verbose").stdout
    with closing(sqlite3.connect(home.path / "records.db")) as db, db:
        db.execute("INSERT INTO lines (line, _record) VALUES ('x', '{}')")
    assert f"{place}: 1 rows past the 2 that were committed" in home.hostd("doctor").stdout
    daemon = home.start()
    assert daemon.wait_event("sink.trimmed", sink="sqlite")["cut"] == 1
    assert daemon.term() == 0
    (home.path / "records.db").unlink()
    assert f"{place}: it is gone; the next records begin anew" in home.hostd("doctor").stdout


def test_a_database_beside_the_logs_is_not_read_as_one(home: Home) -> None:
    """Whatever the globs say."""
    home.configure(sinks='[[sinks]]\nkind = "sqlite"\npath = "logs/records.db"\n')
    home.append("a.log", "one")
    daemon = home.start()
    daemon.wait_all_read()
    home.append("a.log", "two")
    daemon.wait_all_read()
    daemon.rescan()
    assert [source["name"] for source in daemon.status()["sources"]] == ["logs/a.log"]
    assert (home.logs / "records.db").exists()


def test_a_lock_that_somebody_holds_makes_reading_wait_and_says_so(home: Home) -> None:
    """And it goes on by itself; nothing is doubled."""
    home.append("a.log", "one")
    daemon = home.start()
    wait_rows(daemon, 1)
    with closing(sqlite3.connect(home.path / "records.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        home.append("a.log", "two")
        failed = daemon.wait_event("sink.failed")
        assert failed["sink"] == str(home.path / "records.db")
        assert "database is locked" in failed["reason"]
        assert "end what holds its lock" in failed["reason"]
        db.execute("ROLLBACK")
    daemon.wait_event("sink.recovered")
    wait_rows(daemon, 2)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the command sqlite3 is not installed")
def test_the_sqlite3_command_reads_while_hostd_writes(home: Home) -> None:
    path = home.path / "records.db"
    home.append("a.log", *map(str, range(1000)))
    daemon = home.start()
    daemon.wait("there are rows", lambda: rows(home))

    def ask(sql: str) -> str:
        return subprocess.run(
            ["sqlite3", "-readonly", path, sql], capture_output=True, text=True, check=True, timeout=20
        ).stdout

    home.append("a.log", *map(str, range(1000, 20_000)))
    counts = [int(ask("SELECT count(*) FROM lines")) for _ in range(10)]
    assert counts == sorted(counts)
    wait_rows(daemon, 20_000)
    assert ask("SELECT count(DISTINCT line), sum(line) FROM lines") == f"20000|{sum(range(20_000))}\n"
    assert ask("PRAGMA integrity_check") == "ok\n"


def test_two_sinks_of_one_database_are_refused_with_the_line(home: Home) -> None:
    home.configure(sinks=SINKS + SINKS)
    done = home.hostd("run", "--once")
    assert done.returncode != 0
    assert f"two of 'sinks' write to {home.path}/records.db" in done.stderr
    assert "make one of them, with the processors of both" in done.stderr
    assert not Path(home.path / "records.db").exists()


def test_a_file_that_is_no_database_is_said_to_be_in_the_way(home: Home) -> None:
    """Not its disk is to blame; once it is moved away, everything arrives."""
    database = home.path / "records.db"
    database.write_text("not a database, but a text of some length\n" * 100)
    home.configure(sinks='[[sinks]]\nkind = "sqlite"\npath = "records.db"\n')
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    reason = daemon.wait_event("sink.failed")["reason"]
    assert "file is not a database" in reason
    assert reason.endswith("; move it away, and it goes on; or set another path for the sink")
    database.rename(home.path / "text")
    daemon.wait("it is committed", lambda: (daemon.source("logs/a.log") or {}).get("offset") == 2)
