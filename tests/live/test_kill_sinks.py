"""kill -9 of the daemon at any moment, whatever the sink: each line is there once, as its own reader reads it."""

import json
import random

import pytest

from tests.pipeline.sinks.kinds import KINDS, Kind

from .harness import Home, Writer, plugin

pytestmark = pytest.mark.slow

NAMES = ["a.log", "sub/b.log"]
LONGEST_LIFE_S = 0.7
"""A start takes about 0.3 s: half of the moments are before the first batch, half after."""

PLAIN = [pytest.param(kind, marks=[pytest.mark.slow] if kind.name == "ndjson" else []) for kind in KINDS]
"""What is killed most, by the benchmark of faults, is left to the long tests."""

MOMENTS = {"started": "daemon.started", "routed": "source.routed", "opened": "sink.opened"}


def kill_daemons(home: Home, kind: Kind, times: int, seed: int) -> None:
    """Kill the daemon at random moments of its life, while lines arrive; then let it finish, and compare."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    home.configure(sinks=f"[[sinks]]\n{kind.toml}")
    home.drop("lines.py", plugin())
    with Writer(home, NAMES).writing() as writer:
        for _ in range(times):
            daemon = home.start(ready=False)
            moment = chance.choice(["time", "time", *MOMENTS])
            if moment != "time":
                daemon.wait_event(MOMENTS[moment])
            writer.pause(chance.uniform(0, LONGEST_LIFE_S if moment == "time" else 0.05))
            daemon.kill9()
    daemon = home.start()
    status = daemon.wait_all_read(60)
    assert status["dead_letters"] == {}
    expected = {f"logs/{name}": written for name, written in writer.written.items()}
    count = sum(map(len, expected.values()))
    daemon.wait("all records can be read", lambda: len(kind.read(home.path, "lines")) >= count)
    assert daemon.term() == 0
    records = kind.read(home.path, "lines")
    for source, lines in expected.items():
        found = [record["line"] for record in records if record["@source"] == source]
        assert len(found) == len(lines), f"{source}: {len(found)} records of {len(lines)} lines"
        assert found == lines, json.dumps([pair for pair in zip(found, lines, strict=True) if pair[0] != pair[1]][:5])
    assert len(records) == count


@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_killing_the_daemon_anywhere_loses_and_doubles_nothing(home: Home, kind: Kind) -> None:
    """Five kills at moments drawn from a fixed seed."""
    kill_daemons(home, kind, 5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_many_kills_lose_and_double_nothing(home: Home, kind: Kind) -> None:
    """Fifteen kills at random moments."""
    kill_daemons(home, kind, 15, seed=random.randrange(1 << 32))
