"""Plugins that yield columns, in the real daemon: as good as records, wherever the records go."""

import threading
from itertools import count
from typing import Any

import pytest

from tests.pipeline.sinks.kinds import read_parquet, read_sqlite

from .harness import Home, plugin

pytest.importorskip("pyarrow", reason="hostd[parquet] is not installed")

COLUMNS = '''
import pyarrow as pa

from contract import Columns, Context


class Lines:
    """Lines as columns: the same records as by a dict each. A line of digits and `s` is a time in seconds."""

    def parse(self, data: bytes, ctx: Context) -> Columns:
        lines = data.decode().splitlines()
        for line in lines:
            if line.startswith("no "):
                ctx.reject(line, "it says no")
        kept = [line for line in lines if not line.startswith("no ")]
        seconds = [int(line[:-1]) if line[:-1].isdigit() else None for line in kept]
        columns = {{"line": pa.array(kept, pa.string()), "by": pa.array(["{version}"] * len(kept), pa.string())}}
        if any(second is not None for second in seconds):
            columns["at"] = pa.array(seconds, pa.timestamp("s", "UTC"))
        return pa.table(columns)


def new_processor() -> Lines:
    return Lines()
'''


def columns(version: str, **more: str) -> str:
    """Return a plugin like `plugin` makes, that yields columns."""
    head = plugin(version=version, dependencies='"pyarrow>=15"', **more)
    return head.partition("\n\n\ndef parse")[0] + COLUMNS.format(version=version)


def test_columns_become_records_in_hostds_own_environment(home: Home) -> None:
    """Where hostd has a pyarrow that will do, none is installed; quotes and other letters come through."""
    home.drop("lines.py", columns("1.0.0"))
    lines = ["first", 'a "quoted" \\ line', "tab\tand é", ""]
    home.append("a.log", *lines)
    daemon = home.start()
    records = daemon.wait_records("lines", 4)
    assert records == [{"line": line, "by": "1.0.0", "@source": "logs/a.log"} for line in lines]
    assert not daemon.seen("environment.installed")
    assert not (home.state / "environments").exists() or not any((home.state / "environments").iterdir())


def test_a_row_that_cannot_be_stored_is_a_dead_letter_alone(home: Home) -> None:
    """So is a line that the plugin rejects; what is around them, in the same batch, are records in their order."""
    home.drop("lines.py", columns("1.0.0"))
    home.append("a.log", *(f"{number}x" for number in range(50)), f"{10**15}s", "no more", "60s", "last")
    daemon = home.start()
    records = daemon.wait_records("lines", 52)
    assert [record["line"] for record in records] == [*(f"{number}x" for number in range(50)), "60s", "last"]
    assert records[-2]["at"] == "1970-01-01T00:01:00Z"
    daemon.wait_all_read()
    said = home.hostd("dead", "list")
    assert said.returncode == 0, said.stderr
    assert "ValueError: field 'at': a time outside of the years 1 to 9999" in said.stdout
    assert "it says no" in said.stdout
    assert daemon.status()["dead_letters"]["lines"] == 2


def test_a_plugin_is_swapped_between_dicts_and_columns_under_load(home: Home) -> None:
    """Back and forth: each line once, in its order, each by one version, and what was rejected is the same."""
    home.drop("lines.py", plugin())
    home.append("a.log", "0")
    daemon = home.start()
    daemon.wait_records("lines", 1)
    done, written = threading.Event(), [1]

    def write() -> None:
        for start in count(1, 100):
            home.append("a.log", *map(str, range(start, start + 100)))
            written[0] = start + 100
            if done.wait(0.01):
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for generation, source in ((2, columns("2.0.0")), (3, plugin(version="3.0.0")), (4, columns("4.0.0"))):
            home.drop("lines.py", source)
            daemon.wait_event("generation.switched", plugin="lines", generation=generation)
            so_far = written[0]
            daemon.wait("the new one serves", lambda n=so_far: home.raw("lines").count(b"\n") > n)
    finally:
        done.set()
        writer.join()
    records = daemon.wait_records("lines", written[0])
    assert [record["line"] for record in records] == [str(number) for number in range(written[0])]
    versions = [record["by"] for record in records]
    assert sorted(set(versions)) == ["1.0.0", "2.0.0", "3.0.0", "4.0.0"]
    assert versions == sorted(versions)
    assert not daemon.seen("generation.tried", regressions=1)
    assert daemon.status()["dead_letters"] == {}


def test_columns_go_to_every_kind_of_sink(home: Home) -> None:
    """A database and Parquet files have what the file of JSON lines has."""
    home.configure(
        sinks='[[sinks]]\nkind = "ndjson"\nfolder = "out"\n'
        '[[sinks]]\nkind = "sqlite"\npath = "records.db"\n'
        '[[sinks]]\nkind = "parquet"\nfolder = "parquet"\nflush_s = 0.1\n'
    )
    home.drop("lines.py", columns("1.0.0"))
    home.append("a.log", *(f"{number}s" for number in range(1000)))
    daemon = home.start()
    records = daemon.wait_records("lines", 1000)
    daemon.wait_all_read()
    assert daemon.term() == 0
    assert records[61] == {"line": "61s", "by": "1.0.0", "at": "1970-01-01T00:01:01Z", "@source": "logs/a.log"}
    by_line: Any = lambda record: int(record["line"][:-1])  # noqa: E731
    assert sorted(read_sqlite(home.path, "lines"), key=by_line) == records
    assert sorted(read_parquet(home.path, "lines"), key=by_line) == records
