"""Rows that go to Parquet files as blocks of columns, in the real daemon: each once and in order, whatever happens."""

import itertools
import threading
from pathlib import Path

import pytest

from hostd.workers.block import MARK
from tests.pipeline.sinks.kinds import Record, read_parquet

from .harness import Daemon, Home, Writer, plugin

pytest.importorskip("pyarrow", reason="hostd[parquet] is not installed")

PARQUET = '[[sinks]]\nkind = "parquet"\nfolder = "parquet"\nflush_s = {}\n'
NDJSON = '[[sinks]]\nkind = "ndjson"\nfolder = "out"\n'
ROWS = '''
from contract import Context, Rows


class Lines:
    """Lines as rows."""

    def parse(self, data: bytes, ctx: Context) -> Rows:
        return Rows(["line", "by", "length"], [(line, "{version}", len(line)) for line in data.decode().splitlines()])


def new_processor() -> Lines:
    return Lines()
'''


def rows(version: str) -> str:
    """Return a plugin like `plugin` makes, that yields rows."""
    return plugin(version=version).partition("\n\n\ndef parse")[0] + ROWS.format(version=version)


def staged(home: Home) -> bytes:
    """Return what waits to become Parquet files."""
    paths = [path for path in home.state.glob("sinks/parquet-*/lines.*") if path.suffix != ".schema"]
    return b"".join(path.read_bytes() for path in sorted(paths))


def having_read(home: Home, sinks: str) -> Daemon:
    """Start a daemon with these sinks, and wait until it has read a thousand lines as rows."""
    home.configure(sinks=sinks)
    home.drop("lines.py", rows("1.0.0"))
    home.append("a.log", *map(str, range(1000)))
    daemon = home.start()
    daemon.wait_all_read()
    return daemon


def pour(home: Home, name: str, done: threading.Event) -> int:
    """Write lines in bursts that are batches of some hundred lines, until `done`; return how many."""
    for start in itertools.count(0, 500):
        home.append(name, *map(str, range(start, start + 500)))
        if done.wait(0.02):
            return start + 500
    raise AssertionError


def numbers_of(records: list[Record]) -> list[int]:
    return [int(record["line"]) for record in records]


def test_rows_are_staged_as_blocks_and_few_of_them_as_lines(home: Home) -> None:
    daemon = having_read(home, PARQUET.format(60))
    assert staged(home).startswith(MARK)
    home.append("a.log", "1000")
    daemon.wait_all_read()
    assert staged(home).endswith(b'{"line":"1000","by":"1.0.0","length":4,"@source":"logs/a.log"}\n')
    assert daemon.term() == 0
    records = read_parquet(home.path, "lines")
    assert numbers_of(records) == list(range(1001))
    assert records[-1] == {"line": "1000", "by": "1.0.0", "length": 4, "@source": "logs/a.log"}


def test_they_are_lines_where_another_sink_takes_them_too(home: Home) -> None:
    daemon = having_read(home, PARQUET.format(60) + NDJSON)
    assert MARK not in staged(home)
    assert daemon.term() == 0
    assert numbers_of(read_parquet(home.path, "lines")) == numbers_of(home.records("lines")) == list(range(1000))


def under_load(home: Home, daemon: Daemon, change: Path | None, text: str) -> int:
    """Pour lines while the settings become `text`, and on; return how many lines there are."""
    done, written = threading.Event(), [0]
    writer = threading.Thread(target=lambda: written.append(pour(home, "a.log", done)))
    writer.start()
    try:
        daemon.wait("it is under way", lambda: len(staged(home)) > 20_000)
        if change is not None:
            change.write_text(text)
            assert daemon.rescan() == ["settings changed: sinks"]
        daemon.wait("it goes on", lambda: home.raw("lines").count(b"\n") > 2_000)
    finally:
        done.set()
        writer.join()
    daemon.wait_all_read()
    return written[-1]


def test_other_sinks_under_load_lose_and_double_nothing(home: Home) -> None:
    """What was asked for as blocks is not written to a file of JSON lines: it is parsed again."""
    home.configure(sinks=PARQUET.format(0.2))
    home.drop("lines.py", rows("1.0.0"))
    daemon = home.start()
    text = home.settings.read_text().replace(PARQUET.format(0.2), NDJSON)
    count = under_load(home, daemon, home.settings, text)
    assert daemon.term() == 0
    assert MARK not in home.raw("lines")
    before, after = numbers_of(read_parquet(home.path, "lines")), numbers_of(home.records("lines"))
    assert before
    assert after
    assert before + after == list(range(count))


def test_kills_and_swaps_lose_and_double_nothing(home: Home) -> None:
    """kill -9 of the daemon while it stages and makes files, and a new version each time."""
    home.configure(sinks=PARQUET.format(0.1))
    with Writer(home, ["a.log"], burst=400, pause_s=0.02).writing() as writer:
        for version in range(1, 5):
            home.drop("lines.py", rows(f"{version}.0.0"))
            daemon = home.start()
            daemon.wait_event("generation.switched", plugin="lines", generation=version)
            seen = len(writer.written["a.log"])
            daemon.wait("it is under way", lambda n=seen: len(writer.written["a.log"]) > n + 4_000)
            daemon.kill9()
    daemon = home.start()
    daemon.wait_all_read(60)
    assert daemon.term() == 0
    records = read_parquet(home.path, "lines")
    assert [record["line"] for record in records] == writer.written["a.log"]
    versions = [record["by"] for record in records]
    assert versions == sorted(versions)
    assert len(set(versions)) == 4


def test_a_version_with_other_keys_is_told_of_all_the_same(home: Home) -> None:
    """Recent input is compared as JSON, whatever it was parsed for."""
    daemon = having_read(home, PARQUET.format(60))
    assert staged(home).startswith(MARK)
    home.drop("lines.py", rows("2.0.0").replace('"length"]', '"size"]'))
    tried = daemon.wait_event("generation.tried", plugin="lines", generation=2)
    assert tried["changes"], tried
