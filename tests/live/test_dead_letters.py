"""Mend a parser, and what it could not parse comes out: exactly once, by itself, through any kill; and `hostd dead`."""

import base64
import json
import os
import random
import signal
import sqlite3
import threading
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from hostd.control import client

from .harness import REPOSITORY, Daemon, Home, plugin, worse

CSV = (REPOSITORY / "plugins.d" / "csv.py").read_text()
STRICT = worse("1.0.0")
MENDED = plugin(version="2.0.0")


def letters(home: Home) -> list[dict[str, Any]]:
    """Ask a daemon that runs what `hostd dead list` asks."""
    found: list[dict[str, Any]] = client.ask(home.state / "hostd.sock", "GET", "/dead?limit=1000")["letters"]
    return found


def listed(home: Home, *arguments: str) -> list[dict[str, Any]]:
    """Return what `hostd dead list --json` says."""
    done = home.hostd("dead", "list", "--json", "--limit", "1000", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["letters"]
    return found


def total(daemon: Daemon, name: str = "lines") -> dict[str, Any]:
    """Return a plugin's part of the dead letters in the status."""
    found: dict[str, Any] = daemon.status()["dead_letter_totals"].get(name, {})
    return found


def rejected(home: Home, *lines: str | bytes, source: str = STRICT) -> Daemon:
    """Start with a plugin that rejects lines beginning with `bad`, and have these read."""
    home.drop("lines.py", source)
    home.append("a.log", *lines)
    daemon = home.start()
    daemon.wait_all_read()
    return daemon


def provenance(home: Home) -> list[tuple[int, int, int]]:
    """Return who parsed which range."""
    with closing(sqlite3.connect(f"file:{home.state / 'ledger.db'}?mode=ro", uri=True)) as db:
        return db.execute("SELECT start, end, generation FROM provenance ORDER BY source, start").fetchall()


def test_a_mended_parser_gets_what_the_broken_one_left(home: Home) -> None:
    """Once it is proven, by itself, after what is in the file already; who parsed what is on record."""
    daemon = rejected(home, "1", "bad 2", "3", "bad 4", "bad 5")
    assert daemon.status()["dead_letters"] == {"lines": 3}
    home.drop("lines.py", MENDED)
    replayed = daemon.wait_event("letters.replayed")
    assert {key: replayed[key] for key in ("plugin", "generation", "letters", "records", "rejected", "kept")} == {
        "plugin": "lines",
        "generation": 2,
        "letters": 3,
        "records": 3,
        "rejected": 0,
        "kept": 0,
    }
    assert replayed["reason"] is None
    records = daemon.wait_records("lines", 5)
    assert [(each["line"], each["by"]) for each in records] == [
        ("1", "1.0.0"),
        ("3", "1.0.0"),
        ("bad 2", "2.0.0"),
        ("bad 4", "2.0.0"),
        ("bad 5", "2.0.0"),
    ]
    assert daemon.status()["dead_letters"] == {}
    assert total(daemon) == {
        "letters": 0, "bytes": 0, "replayed": 3, "expired": 0, "dropped": 0, "is_replaying": False,
    }  # fmt: skip
    assert provenance(home) == [(0, 2, 1), (2, 7, 2), (7, 10, 1), (10, 15, 2), (15, 16, 1), (16, 21, 2), (21, 22, 1)]
    served = daemon.plugin("lines")
    assert served is not None
    assert (served["generation"], served["records"]) == (2, 3)
    home.append("a.log", "6")
    daemon.wait_records("lines", 6)
    assert daemon.term() == 0
    assert [each["line"] for each in home.records()] == ["1", "3", "bad 2", "bad 4", "bad 5", "6"]


def test_letters_wait_until_the_new_version_is_proven(home: Home) -> None:
    """On probation nothing is replayed; a version that is rolled back never gets them, the next proven one does."""
    home.configure(probation_s=600)
    daemon = rejected(home, "1", "bad 2")
    home.drop("lines.py", worse("2.0.0", word="worse"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "worse 3")
    daemon.wait_event("generation.rolled_back", generation=2)
    daemon.wait_records("lines", 2)
    assert daemon.status()["dead_letters"] == {"lines": 1}
    assert daemon.seen("letters.replayed") == []
    home.configure(probation_s=0)
    daemon.hup()
    daemon.wait_event("config.reloaded")
    home.drop("lines.py", plugin(version="3.0.0"))
    assert daemon.wait_event("letters.replayed")["generation"] == 3
    daemon.wait_records("lines", 3)
    assert home.lines() == ["1", "worse 3", "bad 2"]


def test_what_fails_again_stays_with_the_new_reason(home: Home) -> None:
    """And what does not, comes out."""
    daemon = rejected(home, "bad 1", "bad 2")
    home.drop("lines.py", worse("2.0.0", word="bad 1", does="raise KeyError('still')"))
    replayed = daemon.wait_event("letters.replayed")
    assert (replayed["letters"], replayed["records"], replayed["rejected"]) == (1, 1, 1)
    assert replayed["reason"] == "KeyError: 'still'"
    [left] = letters(home)
    assert (left["id"], left["generation"], left["offset"], left["reason"]) == (1, 2, 0, replayed["reason"])
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("letters.replayed", generation=3)
    assert home.lines() == ["bad 2", "bad 1"]


def test_a_version_tries_each_letter_once(home: Home) -> None:
    """A restart does not begin anew with what was in vain; `hostd dead replay` does."""
    daemon = rejected(home, "bad 1", "bad 2")
    home.drop("lines.py", worse("2.0.0"))
    daemon.wait_event("letters.replayed", generation=2, rejected=2)
    assert daemon.term() == 0
    daemon = home.start()
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "3")
    daemon.wait_records("lines", 1)
    done = home.hostd("dead", "replay")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "0 dead letters parsed, 0 records; 2 rejected again, 0 not tried\nthe first of these: V"
    )
    assert [event["rejected"] for event in daemon.seen("letters.replayed")] == [2], "the one that was asked for"


def test_a_replay_that_a_stop_has_cut_short_goes_on_with_the_next_start(home: Home) -> None:
    """And of a plugin that was mended while no daemon ran."""
    daemon = rejected(home, *(f"bad {number}" for number in range(20)))
    assert daemon.term() == 0
    home.drop("lines.py", MENDED)
    daemon = home.start()
    assert daemon.wait_event("letters.replayed")["letters"] == 20
    daemon.wait_records("lines", 20)
    assert home.lines() == [f"bad {number}" for number in range(20)]


def test_run_once_replays_too(home: Home) -> None:
    """A run under cron: mended, the next one ends with 0."""
    home.drop("lines.py", STRICT)
    home.append("a.log", "1", "bad 2")
    assert home.hostd("run", "--once").returncode == 3
    home.drop("lines.py", MENDED)
    assert home.hostd("run", "--once").returncode == 0
    assert home.lines() == ["1", "bad 2"]


def test_rows_of_a_csv_file_are_parsed_with_its_header(home: Home) -> None:
    """The header is kept with them: the file itself may be gone."""
    home.drop("csv.py", CSV)
    sales = home.append("sales.csv", "item,price", "lamp,12", "chair", "desk,95,oak")
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.status()["dead_letters"] == {"csv": 2}
    sales.unlink()
    daemon.wait_event("source.ended", deadline_s=30)
    mended = CSV.replace('version = "2.0.0"', 'version = "2.1.0"').replace("# rejected = 1\n", "")
    any_row = "                    elif row:"
    mended = mended.replace(any_row, f"{any_row}\n                        yield dict(zip(names, row))\n{any_row}")
    mended = mended.replace('#   { item = "desk"', '#   { item = "chair", price = "40.00" },\n#   { item = "desk"')
    home.drop("csv.py", mended)
    assert daemon.wait_event("letters.replayed")["records"] == 2
    assert [{"item": each["item"], "price": each.get("price")} for each in daemon.wait_records("csv", 3)] == [
        {"item": "lamp", "price": "12"},
        {"item": "chair", "price": None},
        {"item": "desk", "price": "95"},
    ]
    assert {each["@source"] for each in home.records("csv")} == {"logs/sales.csv"}


LONG = b"bad " + b"x" * 100_000 + b"\n"


def test_a_letter_that_is_kept_in_part_is_read_from_its_source(home: Home) -> None:
    """As long as that holds it; also when it was renamed, and is not being read any more."""
    daemon = rejected(home, "1", LONG, "3")
    [cut] = letters(home)
    assert (cut["length"], cut["kept"]) == (len(LONG) - 1, 64 << 10)
    assert daemon.term() == 0
    (home.logs / "a.log").rename(home.logs / "renamed")
    home.configure(paths=("logs/*.log",))
    home.drop("lines.py", MENDED)
    daemon = home.start()
    assert daemon.wait_event("letters.replayed")["letters"] == 1
    assert [len(line) for line in home.lines()] == [1, 1, len(LONG) - 1]


GONE = {
    "gone": "does not hold it any more",
    "rewritten": "does not hold it any more",
    "edited": "has other bytes in its place",
}


def test_a_letter_whose_rest_is_gone_stays_and_says_why(home: Home) -> None:
    """It is never parsed as less, or as something else, than it was: of a file removed, begun anew, or changed."""
    for what in GONE:
        home.append(f"{what}.log", f"{what} 1", LONG, "3")
    daemon = rejected(home)
    assert daemon.status()["dead_letters"] == {"lines": 3}
    assert daemon.term() == 0
    (home.logs / "gone.log").unlink()
    for what, at in (("rewritten", 1), ("edited", 90_000)):
        log = home.logs / f"{what}.log"
        size = log.stat().st_size
        with log.open("r+b") as file:
            file.seek(at)
            file.write(b"Y")
        assert log.stat().st_size == size
    home.drop("lines.py", MENDED)
    daemon = home.start()
    replayed = daemon.wait_event("letters.replayed")
    assert (replayed["letters"], replayed["records"], replayed["kept"]) == (0, 0, 3)
    left = {each["source"]: each for each in letters(home)}
    assert {source: each["note"] for source, each in left.items()} == {
        f"logs/{what}.log": f"only 65536 of its 100004 bytes are kept, and logs/{what}.log {why}"
        for what, why in GONE.items()
    }
    assert replayed["reason"] in {each["note"] for each in left.values()}
    assert {(each["tried_by"], each["generation"]) for each in left.values()} == {(2, 1)}
    assert all(each["reason"].startswith("ValueError: bad") for each in left.values())


def test_a_record_over_the_limit_comes_out_when_the_limit_is_raised(home: Home) -> None:
    """Its rest is read from the source; under a limit that is still too low it stays."""
    limits = "limits = {{ record_mib = {} }}"
    daemon = rejected(home, "1", b"x" * (3 << 20) + b"\n", source=plugin(manifest=limits.format(1)))
    [cut] = letters(home)
    assert (cut["length"], cut["kept"]) == ((3 << 20) + 1, 64 << 10)
    home.drop("lines.py", plugin(version="2.0.0", manifest=limits.format(2)))
    assert daemon.wait_event("letters.replayed")["reason"] == (
        "it has 3145729 bytes, over the limit (limits.record_mib = 2)"
    )
    home.drop("lines.py", plugin(version="3.0.0", manifest=limits.format(4)))
    assert daemon.wait_event("letters.replayed", generation=3)["letters"] == 1
    assert [len(line) for line in home.lines()] == [1, 3 << 20]


def test_another_framing_does_not_get_pieces_of_the_old_one(home: Home) -> None:
    """A line alone would be another record than the one that it belongs to."""
    daemon = rejected(home, "1", "bad 2")
    home.drop("lines.py", plugin(version="2.0.0", manifest="framing = { kind = 'multiline', start = '^[0-9]' }"))
    assert daemon.wait_event("letters.replayed")["reason"] == (
        "it was cut by framing lines, and generation 2 declares multiline (^[0-9]): alone it is another record;"
        " reparse its source"
    )
    assert daemon.status()["dead_letters"] == {"lines": 1}


@pytest.mark.parametrize(
    "does",
    # To a replay a worker that is killed at its deadline has died.
    [
        pytest.param("import os; os._exit(7)", id="dies"),
        pytest.param("while True: pass", id="hangs", marks=pytest.mark.slow),
    ],
)
def test_letters_that_kill_their_worker_are_no_loss_of_the_generation(home: Home, does: str) -> None:
    """However many: live data goes on, and they stay with the reason."""
    home.configure("[workers]\nlosses = 1\n\n[plugins.trial]\nmode = 'off'\n")
    daemon = rejected(home, *(f"bad {number}" for number in range(3)), "5")
    home.drop("lines.py", worse("2.0.0", word="bad", does=does, manifest="limits = { time_s = 0.3 }"))
    replayed = daemon.wait_event("letters.replayed", deadline_s=40)
    assert (replayed["letters"], replayed["rejected"]) == (0, 3)
    reason = "exit status 7" if "exit" in does else "no answer within 0.3 s"
    assert {each["reason"] for each in letters(home)} == {f"worker lost: {reason}"}
    assert daemon.seen("generation.failing") == []
    home.append("a.log", "6")
    daemon.wait_records("lines", 2)
    served = daemon.plugin("lines")
    assert served is not None
    assert (served["state"], served["failing"]) == ("permanent", None)


def test_a_replay_ends_with_the_generation_that_it_is_for(home: Home) -> None:
    """Another version takes over in the middle of it: no process of it is left, and that version gets the rest."""
    daemon = rejected(home, *(f"bad {number}" for number in range(3)))
    home.drop("lines.py", worse("2.0.0", does="import time; time.sleep(600)"))
    daemon.wait("it is being replayed", lambda: total(daemon)["is_replaying"])
    home.drop("lines.py", plugin(version="3.0.0"))
    daemon.wait_event("letters.replayed", generation=3, letters=3)
    assert daemon.wait_event("letters.postponed")["reason"] == "generation 2 of lines has been overtaken"
    daemon.wait_event("generation.retired", generation=2)
    assert sorted(home.lines()) == [f"bad {number}" for number in range(3)]


def test_a_removed_plugin_leaves_its_letters_and_no_process(home: Home) -> None:
    """They wait for it to come back."""
    daemon = rejected(home, "bad 1")
    (home.plugins / "lines.py").unlink()
    daemon.wait_event("generation.retired")
    daemon.wait("no worker is left", lambda: not daemon.workers())
    done = home.hostd("dead", "replay")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "0 dead letters parsed, 0 records; 0 rejected again, 0 not tried",
        "not done: lines is not in service; put it back into the plugins folder",
    ]
    home.drop("lines.py", MENDED)
    daemon.wait_event("letters.replayed", letters=1)


SLOWLY = MENDED.replace("def parse(line: str)", "import time\n\n\ndef parse(line: str)").replace(
    "    return {", "    time.sleep(0.002)\n    return {"
)


def kill_during_replays(home: Home, kills: int, seed: int) -> int:
    """Kill a daemon that replays at random moments, again and again; return how often it was in the midst of it.

    Every other letter is alone, and a commit, and the others are one batch.
    """
    print(f"seed {seed}")
    chance = random.Random(seed)
    written = [f"{'bad' if number % 2 or number > 300 else 'good'} {number}" for number in range(400)]
    bad = [line for line in written if line.startswith("bad")]
    home.configure(level="info")
    daemon = rejected(home, *written)
    daemon.kill9()
    home.drop("lines.py", SLOWLY)
    midst = killed = 0
    while killed < kills:
        before = len(home.records())
        daemon = home.start(ready=False)
        if chance.random() < 0.7:
            daemon.wait_event("generation.switched")
            daemon.wait("more comes out, or nothing is left", partial(_came, home, len(written), before))
        threading.Event().wait(chance.uniform(0, 0.05))
        daemon.kill9()
        killed += 1
        midst += len(written) - len(bad) < len(home.records()) < len(written)
        if len(home.records()) == len(written) and killed < kills:
            home.start()
            _wait_none_left(home.daemons[-1])
            assert sorted(home.lines()) == sorted(written), "a line is lost or doubled"
            more = [f"bad again {killed} {number}" for number in range(100)]
            bad, written = more, [*written, *more]
            home.daemons[-1].kill9()
            home.drop("lines.py", worse(f"2.{2 * killed}.0"))
            home.append("a.log", *(line for each in more for line in (each, "good between")))
            written += ["good between"] * len(more)
            home.start().wait_all_read()
            home.daemons[-1].kill9()
            home.drop("lines.py", SLOWLY.replace('"2.0.0"', f'"2.{2 * killed + 1}.0"'))
    daemon = home.start()
    _wait_none_left(daemon)
    assert daemon.status()["dead_letters"] == {}
    assert daemon.term() == 0
    assert sorted(home.lines()) == sorted(written), "a line is lost or doubled"
    return midst


def _came(home: Home, written: int, before: int) -> bool:
    records = len(home.records())
    return records > before or records >= written


def _wait_none_left(daemon: Daemon) -> None:
    daemon.wait("no dead letter is left", lambda: not daemon.status()["dead_letters"], 60)


@pytest.mark.slow
def test_killing_the_daemon_while_it_replays_loses_and_doubles_nothing(home: Home) -> None:
    """Ten kills at moments drawn from a fixed seed: each line is in the output once, or a dead letter still."""
    assert kill_during_replays(home, 10, seed=4) >= 2, "too few kills were in the midst of it to show anything"


@pytest.mark.slow
def test_fifteen_kills_during_replays_lose_and_double_nothing(home: Home) -> None:
    """The same at random moments."""
    assert kill_during_replays(home, 15, seed=random.randrange(1 << 32)) >= 3


def test_killing_workers_while_they_replay_loses_and_doubles_nothing(home: Home) -> None:
    """A letter whose worker is killed from outside is tried once more; what then fails stays, and is not lost."""
    lines = [f"{'bad' if number % 2 else 'good'} {number}" for number in range(300)]
    daemon = rejected(home, *lines)
    # Long enough for three kills, also where the killer waits for a core.
    home.drop("lines.py", SLOWLY.replace("0.002", "0.008"))
    daemon.wait("it is being replayed", lambda: total(daemon)["is_replaying"])
    live = daemon.wait_event("generation.started", generation=2)["pid"]
    # Until then the worker that the first generation leaves is one more, and not one that replays.
    daemon.wait_event("generation.retired", generation=1)
    killed = 0
    while killed < 3:
        pid = daemon.wait("a worker replays", lambda: next(iter(daemon.workers() - {live}), None))
        os.kill(pid, signal.SIGKILL)
        daemon.wait_event("worker.exited", pid=pid)
        killed += 1
    daemon.wait_event("letters.replayed", deadline_s=40)
    home.hostd("dead", "replay")
    _wait_none_left(daemon)
    assert sorted(home.lines()) == sorted(lines)
    assert daemon.seen("generation.failing") == []


# bounds


def test_old_letters_expire_with_an_event(home: Home) -> None:
    """Looked at when the daemon starts, and now and then."""
    daemon = rejected(home, "1", "bad 2", "bad 3")
    assert daemon.term() == 0
    with closing(sqlite3.connect(home.state / "ledger.db")) as db:
        db.execute("UPDATE dead_letters SET at = '2020-01-01T00:00:00.000Z' WHERE id = 1")
        db.commit()
    home.configure("[dead_letters]\nkeep_days = 30\n")
    daemon = home.start()
    expired = daemon.wait_event("letters.expired")
    assert (expired["letters"], expired["plugins"], expired["reason"]) == (
        1, {"lines": 1}, "they were older than 30 days",
    )  # fmt: skip
    assert [each["offset"] for each in letters(home)] == [8]
    assert total(daemon)["expired"] == 1


def test_letters_that_take_too_much_expire_with_an_event(home: Home) -> None:
    """The ledger stays bounded whatever comes, and the setting is taken over on SIGHUP."""
    home.configure("[dead_letters]\nkeep_mib = 1\n")
    noise = random.Random(1)
    batch = [b"bad " + noise.randbytes(30_000).hex().encode() + b"\n" for _ in range(40)]
    daemon = rejected(home, *batch)
    expired = daemon.wait_event("letters.expired")
    assert expired["reason"] == "they took more than 1 MiB"
    assert 0 < total(daemon)["bytes"] <= 1 << 20
    assert total(daemon)["letters"] + total(daemon)["expired"] == 40
    home.configure("[dead_letters]\nkeep_mib = 0\n")
    daemon.hup()
    assert daemon.wait_event("config.reloaded")["changed"] == ["dead_letters"]
    before = total(daemon)["letters"]
    home.append("a.log", *batch)
    daemon.wait_all_read()
    assert total(daemon)["letters"] == before + 40


# hostd dead


BINARY = b"bad \x00\xff\x1b[31m\n"


@pytest.fixture(params=["with a daemon", pytest.param("without one", marks=pytest.mark.slow), "killed"])
def asked(home: Home, request: pytest.FixtureRequest) -> Home:
    """A home with dead letters, whose daemon runs, has stopped, or was killed: the answers are the same.

    One that was killed leaves all that one that has stopped does, and more.
    """
    home.drop("other.py", worse("1.0.0", name="other", glob="*.other"))
    home.append("b.other", "bad of another")
    daemon = rejected(home, "1", "bad 2", BINARY, LONG, "bad last")
    if request.param == "without one":
        assert daemon.term() == 0
    elif request.param == "killed":
        daemon.kill9()
    return home


def test_every_action_answers(asked: Home, request: pytest.FixtureRequest) -> None:
    """List and its pages, show, export, drop: one after another, not all in each case, since each costs a process."""
    case = request.node.callspec.params["asked"]
    if case == "with a daemon":
        check_list(asked)
    if case != "with a daemon":
        check_show(asked)
    if case != "killed":
        check_export(asked)
    check_drop(asked)


def check_list(asked: Home) -> None:
    """A line for each, the oldest first; and whether there are more."""
    every = listed(asked)
    assert sorted(each["offset"] for each in every if each["plugin"] == "lines") == [2, 8, 20, 100_025]
    one = listed(asked, "--plugin", "other")
    assert [(each["plugin"], each["source"], each["preview"]) for each in one] == [
        ("other", "logs/b.other", "bad of another")
    ]
    assert len(listed(asked, "--source", "*.log", "--generation", "1", "--since", "1h")) == 4
    done = asked.hostd("dead", "list", "--limit", "2")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ID", "AT", "PLUGIN", "GENERATION", "SOURCE", "OFFSET", "LENGTH", "REASON"]
    assert lines[3:] == [f"there are more: --after {every[1]['id']}"]
    done = asked.hostd("dead", "list", "--limit", "3", "--after", str(every[1]["id"]))
    assert len(done.stdout.splitlines()) == 4
    done = asked.hostd("dead", "list", "--plugin", "none")
    assert (done.returncode, done.stdout) == (0, "no dead letters\n")


def check_show(asked: Home) -> None:
    """Text as text, other bytes as a hexdump: nothing that a terminal would obey."""
    by_offset = {each["offset"]: each["id"] for each in listed(asked, "--plugin", "lines")}
    done = asked.hostd("dead", "show", str(by_offset[2]))
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"dead letter {by_offset[2]}, since 20")
    assert lines[1:] == [
        "source: logs/a.log, 5 bytes from 2",
        "plugin: lines, generation 1",
        "reason: ValueError: bad 2",
        "framing: lines",
        "bytes:",
        "  bad 2",
    ]
    done = asked.hostd("dead", "show", str(by_offset[8]))
    assert done.stdout.splitlines()[-1] == (
        "  00000000  62 61 64 20 00 ff 1b 5b 33 31 6d                 |bad ...[31m|"
    )
    assert "\x1b" not in done.stdout
    done = asked.hostd("dead", "show", str(by_offset[20]))
    assert "source: logs/a.log, 100004 bytes from 20, of which the first 65536 are kept" in done.stdout
    done = asked.hostd("dead", "show", "--json", str(by_offset[8]))
    assert base64.b64decode(json.loads(done.stdout)["raw_base64"]) == BINARY.rstrip()
    done = asked.hostd("dead", "show", "99")
    assert (done.returncode, done.stderr) == (
        1, "hostd: dead letter 99: is not there (any more); see hostd dead list\n",
    )  # fmt: skip


def check_export(asked: Home) -> None:
    """One after another, each with a line's end; of what is kept in part it says so."""
    out = asked.path / "bad.txt"
    done = asked.hostd("dead", "export", "--plugin", "lines", "-o", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "4 dead letters exported; of 1 of them only the start is kept\n"
    parts = [b"bad 2", BINARY.rstrip(), LONG[: 64 << 10], b"bad last"]
    assert out.read_bytes() == b"".join(part + b"\n" for part in parts)
    done = asked.hostd("dead", "export", "--json", "--plugin", "lines")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [base64.b64decode(row["raw_base64"]) for row in rows] == parts
    assert {row["framing"]["kind"] for row in rows} == {"lines"}
    done = asked.hostd("dead", "export", "-o", str(asked.path / "none" / "x"))
    assert done.returncode == 1
    assert done.stderr.endswith("none/x: cannot be written: No such file or directory; name another file with -o\n")


def check_drop(asked: Home) -> None:
    """It needs a filter, or --all; it says how many. One that is empty, an unset variable of a shell, is no filter."""
    done = asked.hostd("dead", "drop", "--since", "1h", "--plugin", "")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hostd: --plugin: is empty, and would be no filter; give it a value, or leave it out\n"
    done = asked.hostd("dead", "drop")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("hostd: drop: nothing says which dead letters; name some with a filter, or give --all\n")
    done = asked.hostd("dead", "drop", "--reason", "bad 2")
    assert (done.returncode, done.stdout) == (0, "1 dead letters dropped\n")
    done = asked.hostd("dead", "drop", "--all")
    assert done.stdout == "4 dead letters dropped\n"
    assert listed(asked) == []


def test_a_drop_is_an_event_and_a_count(home: Home) -> None:
    """With what was asked for."""
    daemon = rejected(home, "bad 1", "2")
    home.hostd("dead", "drop", "--plugin", "lines", "--reason", "bad")
    dropped = daemon.wait_event("letters.dropped")
    assert (dropped["letters"], dropped["filter"]) == (1, "plugin=lines reason=bad")
    assert total(daemon)["dropped"] == 1
    done = home.hostd("status")
    assert [line.split() for line in done.stdout.splitlines()[-2:]] == [
        ["DEAD", "LETTERS", "KEPT", "KIB", "REPLAYED", "EXPIRED", "DROPPED"],
        ["lines", "0", "0", "0", "0", "1"],
    ]


def test_replay_takes_filters(home: Home) -> None:
    """Only what they name is parsed again."""
    daemon = rejected(home, "bad 1", "bad 2")
    done = home.hostd("dead", "replay", "--reason", "bad 2")
    assert done.returncode == 0
    assert done.stdout.startswith("0 dead letters parsed, 0 records; 1 rejected again, 0 not tried\n")
    assert daemon.wait_event("letters.replayed")["rejected"] == 1


def test_replay_needs_a_daemon_and_says_so(home: Home) -> None:
    """It has the parsers."""
    done = home.hostd("dead", "replay")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"hostd: {home.state}: no hostd is running on this state folder, and only a daemon has the parsers;"
        " start one: hostd run; a mended plugin is replayed by itself\n"
    )


def test_without_a_ledger_there_is_nothing_to_read(home: Home) -> None:
    """And nothing is made."""
    for arguments in (("list",), ("show", "1"), ("export",), ("drop", "--all")):
        done = home.hostd("dead", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"hostd: {home.state / 'ledger.db'}: there is no ledger; name the --config of a hostd that has run;"
            " or run it first\n"
        )
    assert not home.state.exists()


@pytest.mark.slow
def test_the_event_loop_is_free_while_thousands_of_letters_are_looked_through(home: Home) -> None:
    """Pages are bounded: a line that is written meanwhile comes out at once."""
    daemon = rejected(home, *(f"bad {number}" for number in range(30_000)))
    daemon.wait("all are rejected", lambda: daemon.status()["dead_letters"] == {"lines": 30_000})
    page = client.ask(home.state / "hostd.sock", "GET", "/dead?reason=29999")
    assert (page["letters"], page["next"]) == ([], 20_000)
    done = home.hostd("dead", "list", "--reason", "29999")
    assert len(done.stdout.splitlines()) == 2
    home.drop("lines.py", MENDED)
    daemon.wait("it is being replayed", lambda: total(daemon)["is_replaying"])
    home.append("a.log", "live")
    daemon.wait("live data comes first", lambda: "live" in home.lines())
    _wait_none_left(daemon)
    assert len(home.lines()) == 30_001
    done = home.hostd("dead", "drop", "--all")
    assert done.stdout == "0 dead letters dropped\n"
