"""Stopping under load, and going on exactly where it stopped."""

import sqlite3

import pytest

from .harness import Home, Writer, plugin


@pytest.mark.slow
def test_sigterm_under_load_is_prompt_and_consistent(home: Home) -> None:
    """Exit 0 within the grace period; sinks and ledger agree; the next start goes on with the next line."""
    home.configure("[daemon]\ngrace_s = 5\n")
    home.drop("lines.py", plugin())
    names = ["a.log", "b.log", "c.log"]
    with Writer(home, names).writing() as writer:
        for _ in range(3):
            before = home.raw("lines").count(b"\n")
            daemon = home.start()
            daemon.wait("records are written", lambda before=before: home.raw("lines").count(b"\n") > before + 500)
            assert daemon.term() == 0
            stopped = daemon.seen("daemon.stopped")[0]
            assert stopped["exit_code"] == 0
            assert stopped["ms"] < 5000
            assert_consistent(home, writer)
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    for name in names:
        assert home.lines("lines", f"logs/{name}") == writer.written[name]


def assert_consistent(home: Home, writer: Writer) -> None:
    """What is in out/ is a beginning of what was written, and as long as the ledger says."""
    ledger = sqlite3.connect(f"file:{home.state / 'ledger.db'}?mode=ro", uri=True)
    try:
        (length,) = ledger.execute("SELECT length FROM sinks WHERE processor = 'lines'").fetchone()
        offsets = dict(ledger.execute("SELECT name, offset FROM sources").fetchall())
    finally:
        ledger.close()
    assert (home.out / "lines.ndjson").stat().st_size == length
    for name in writer.written:
        lines = home.lines("lines", f"logs/{name}")
        assert lines == writer.written[name][: len(lines)]
        assert sum(len(line) + 1 for line in lines) == offsets.get(f"logs/{name}", 0)


def test_a_worker_that_is_busy_gets_the_grace_period_and_no_more(home: Home) -> None:
    """A parser that takes longer than the grace period is ended; its lines are parsed after the next start."""
    home.configure("[daemon]\ngrace_s = 0.5\n")
    slow = plugin(code="import time\n").replace("    return {", "    time.sleep(0.5)\n    return {")
    home.drop("lines.py", slow)
    lines = [str(number) for number in range(20)]
    home.append("a.log", *lines)
    daemon = home.start()
    daemon.wait_event("source.routed")
    assert daemon.term() == 0
    assert daemon.seen("daemon.stopped")[0]["ms"] < 3000
    assert home.lines() == []
    home.drop("lines.py", plugin(version="1.0.1"))
    daemon = home.start()
    daemon.wait_records("lines", 20)
    assert home.lines() == lines


def test_a_restart_keeps_numbers_and_counts(home: Home) -> None:
    """The same bytes after a restart are the same generation, with the records it has made so far."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1", "2")
    daemon = home.start()
    daemon.wait_records("lines", 2)
    home.drop("lines.py", plugin(version="2.0.0"))
    daemon.wait_event("generation.switched", generation=2)
    home.append("a.log", "3")
    daemon.wait_records("lines", 3)
    daemon.wait_all_read()
    assert daemon.term() == 0
    daemon = home.start()
    switched = daemon.wait_event("generation.switched", plugin="lines")
    assert (switched["generation"], switched["took_over_from"]) == (2, None)
    home.append("a.log", "4")
    daemon.wait_records("lines", 4)
    daemon.wait_all_read()
    status = daemon.plugin("lines")
    assert status is not None
    assert (status["generation"], status["records"]) == (2, 2)


def test_output_that_was_rotated_away_is_begun_anew(home: Home) -> None:
    """Somebody moves out/lines.ndjson away while it runs: nothing is written twice, nothing is lost."""
    home.drop("lines.py", plugin())
    home.append("a.log", "1")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    daemon.wait_all_read()
    (home.out / "lines.ndjson").rename(home.out / "lines.ndjson.1")
    home.append("a.log", "2")
    daemon.wait_records("lines", 1)
    assert home.lines() == ["2"]
    assert (home.out / "lines.ndjson.1").read_bytes().count(b"\n") == 1
