"""The tools that people query records with, reading while hostd writes. Each is skipped where it is not installed."""

import json
import sys
from typing import Any

import pytest

from tests.pipeline.sinks.kinds import read_parquet

from .harness import Daemon, Home, plugin

SINKS = (
    '[[sinks]]\nkind = "sqlite"\npath = "records.db"\n'
    '[[sinks]]\nkind = "parquet"\nfolder = "parquet"\nflush_s = 0.1\n'
    '[[sinks]]\nkind = "ndjson"\nfolder = "out"\n'
)
COUNT = 5000


@pytest.fixture
def writing(home: Home) -> Daemon:
    """A daemon that has written some records, and has just been given more."""
    home.configure(sinks=SINKS)
    home.drop("lines.py", plugin().replace('return {"line": line, "by"', 'return {"n": int(line), "line": line, "by"'))
    home.append("a.log", *map(str, range(COUNT)))
    daemon = home.start()
    daemon.wait("the first are there", lambda: home.raw("lines").count(b"\n") >= COUNT)
    daemon.wait_all_read()
    read_parquet(home.path, "lines")
    home.append("a.log", *map(str, range(COUNT, 2 * COUNT)))
    return daemon


def finish(daemon: Daemon) -> None:
    daemon.wait("all are there", lambda: daemon.home.raw("lines").count(b"\n") >= 2 * COUNT)
    daemon.wait_all_read()
    read_parquet(daemon.home.path, "lines")


def test_duckdb_reads_parquet_files(writing: Daemon) -> None:
    duckdb = pytest.importorskip("duckdb")
    files = f"{writing.home.path}/parquet/**/*.parquet"
    query = f"SELECT count(*), sum(n) FROM read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
    assert duckdb.connect().execute(query).fetchall()[0][0] >= COUNT
    finish(writing)
    query += " WHERE processor = 'lines' AND date IS NOT NULL"
    assert duckdb.connect().execute(query).fetchall()[0] == (2 * COUNT, sum(range(2 * COUNT)))


def test_pandas_and_polars_read_parquet_files_and_the_database(writing: Daemon) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    finish(writing)
    home = writing.home
    found = pandas.read_parquet(home.path / "parquet")
    assert (len(found), int(found["n"].sum()), set(found["processor"])) == (2 * COUNT, sum(range(2 * COUNT)), {"lines"})
    frame = polars.scan_parquet(f"{home.path}/parquet/**/*.parquet", hive_partitioning=True)
    assert frame.select(polars.col("n").sum()).collect().item() == sum(range(2 * COUNT))
    import sqlite3

    with sqlite3.connect(f"file:{home.path}/records.db?mode=ro", uri=True) as db:
        rows = pandas.read_sql("SELECT n, line FROM lines", db)
    db.close()
    assert (len(rows), int(rows["n"].sum())) == (2 * COUNT, sum(range(2 * COUNT)))


def test_datasette_serves_the_database_while_hostd_writes(writing: Daemon) -> None:
    pytest.importorskip("datasette")
    import subprocess

    home = writing.home
    path = "/records.json?sql=select+count(*)+as+records,sum(n)+as+numbers+from+lines&_shape=objects"

    def ask() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "datasette", "records.db", "--get", path],
            cwd=home.path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        row: dict[str, Any] = json.loads(done.stdout)["rows"][0]
        return row

    assert ask()["records"] >= COUNT
    finish(writing)
    assert ask() == {"records": 2 * COUNT, "numbers": sum(range(2 * COUNT))}
