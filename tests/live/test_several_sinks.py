"""Several sinks of several kinds at once, by processor: each has what it takes, and none waits for a server."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.pipeline.sinks.kinds import read_parquet, read_sqlite
from tests.pipeline.sinks.server import Answer, Server

from .harness import Home, Writer, eventually, plugin


def sinks(server: Server) -> str:
    return (
        '[[sinks]]\nkind = "ndjson"\nfolder = "out"\n'
        '[[sinks]]\nkind = "sqlite"\npath = "records.db"\nprocessors = ["lines"]\n'
        '[[sinks]]\nkind = "parquet"\nfolder = "parquet"\nflush_s = 0.2\nprocessors = ["li*"]\n'
        f'[[sinks]]\nkind = "http"\nurl = "{server.url}"\nlinger_s = 0.05\nprocessors = ["other"]\n'
    )


def test_each_sink_has_the_records_of_the_processors_that_it_takes(home: Home) -> None:
    """While one of them cannot be delivered to, too; and after the settings were read again."""
    with Server() as server:
        server.behave = lambda _key, _body: (503, {}, b"later")
        home.configure(sinks=sinks(server))
        home.drop("lines.py", plugin(glob="a*.log"))
        home.drop("other.py", plugin("other", glob="b*.log"))
        home.append("a.log", "1", "2")
        home.append("b.log", "3")
        daemon = home.start()
        daemon.wait_all_read()
        daemon.wait_event("sink.undelivered", processor="other")
        text = home.settings.read_text()
        home.settings.write_text(text.replace('processors = ["li*"]', 'processors = ["*"]'))
        assert daemon.rescan() == ["settings changed: sinks"]
        server.behave = lambda _key, _body: None
        home.append("b.log", "4")
        daemon.wait_all_read()
        daemon.wait("it is delivered", lambda: len(server.records("other")) == 2)

        def lines(records: list[dict[str, str]]) -> list[str]:
            return [record["line"] for record in records]

        assert (home.lines("lines"), home.lines("other")) == (["1", "2"], ["3", "4"])
        assert lines(read_sqlite(home.path, "lines")) == ["1", "2"]
        assert read_sqlite(home.path, "other") == []
        assert lines(read_parquet(home.path, "lines")) == ["1", "2"]
        assert lines(read_parquet(home.path, "other")) == ["4"]
        assert lines(server.records("other")) == ["3", "4"]
        assert server.records("lines") == []
        assert daemon.term() == 0


def kill_beside_a_server(home: Home, times: int, seed: int) -> None:
    """Kill the daemon again and again while it posts to a server that fails now and then."""
    print(f"seed {seed}")
    chance = random.Random(seed)

    with Server() as server:

        def behave(key: str, body: bytes) -> Answer | None:
            if chance.random() < 0.2:
                server.note(key, body)
                raise ConnectionResetError  # it has it, and hostd does not know
            return (500, {}, b"") if chance.random() < 0.2 else None

        server.behave = behave
        home.configure(sinks=f'[[sinks]]\nkind = "http"\nurl = "{server.url}"\nlinger_s = 0.02\nbatch_kib = 16\n')
        home.drop("lines.py", plugin())
        with Writer(home, ["a.log", "b.log"]).writing() as writer:
            for _ in range(times):
                daemon = home.start(ready=False)
                writer.pause(chance.uniform(0.2, 1.0))
                daemon.kill9()
        server.behave = lambda _key, _body: None
        daemon = home.start()
        daemon.wait_all_read(60)
        expected = {f"logs/{name}": written for name, written in writer.written.items()}
        count = sum(map(len, expected.values()))
        eventually("all is delivered", lambda: len(server.records("lines")) >= count, 60)
        assert daemon.term() == 0
        records = server.records("lines")
        assert len(records) == count
        for source, lines in expected.items():
            found = [record["line"] for record in records if record["@source"] == source]
            assert found == lines, json.dumps([found[:3], lines[:3]])


@pytest.mark.slow
def test_kills_lose_and_double_nothing_at_a_server_that_knows_keys(home: Home) -> None:
    """In order, too: what the server has taken under a key it takes with the same bytes alone."""
    kill_beside_a_server(home, 5, seed=1)


@pytest.mark.slow
def test_many_kills_lose_and_double_nothing_at_a_server_that_knows_keys(home: Home) -> None:
    """At random moments."""
    kill_beside_a_server(home, 15, seed=random.randrange(1 << 32))


def test_an_extra_that_is_not_installed_is_named(home: Home) -> None:
    """With the file, the line and the key; nothing is started."""
    hidden = home.path / "hidden"
    (hidden / "pyarrow").parent.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'pyarrow' else find(name, package)\n"
    )
    home.variables["PYTHONPATH"] = os.pathsep.join([str(hidden), str(Path(__file__).parents[2])])
    home.configure(sinks='[[sinks]]\nkind = "parquet"\n')
    done = home.hostd("run", "--once")
    assert done.returncode != 0
    line = home.settings.read_text().splitlines().index('kind = "parquet"') + 1
    assert f"hostd.toml:{line}: setting 'sinks.0.kind' = 'parquet'" in done.stderr
    assert "needs the package pyarrow, which is not installed; pip install 'hostd[parquet]'" in done.stderr
