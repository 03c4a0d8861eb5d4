"""Streams that fail: what cannot be fed is dead alone, a worse version does not get in, or not stay."""

import sqlite3
from contextlib import closing

import pytest

from .harness import Home
from .tracing import dead_letters, expected, records, trace, version

pytestmark = pytest.mark.slow


def failing(number: str, does: str, *, event: int = 25, limits: str = "") -> str:
    """Return a version for which one event goes wrong, as the code says."""
    mark = "        assert self._time_ms is not None\n        self._time_ms +="
    return version(
        number,
        (mark, f"        if number == {event}:\n            {does}\n{mark}"),
        ("import json\n", "import json\nimport os\n"),
        ('framing = "stream"', f'framing = "stream"{limits}'),
    )


@pytest.mark.parametrize(
    ("does", "reason", "limits"),
    [
        ("raise ValueError('no')", "ValueError: no (plugins.d/trace.py:", ""),
        ("raise SystemExit(3)", "SystemExit: 3 (plugins.d/trace.py:", ""),
        ("os._exit(9)", "worker lost: exit status 9", ""),
        ("__import__('time').sleep(60)", "worker lost: no answer within 0.5 s", "\n# limits = { time_s = 0.5 }"),
        ("self._names[number] = 'x' * 2000", "its snapshot of ", "\n# limits = { snapshot_kib = 1 }"),
    ],
    ids=["raises", "exits", "dies", "hangs", "snapshot too large"],
)
def test_what_cannot_be_fed_is_dead_alone_and_the_rest_goes_on(home: Home, does: str, reason: str, limits: str) -> None:
    """The event's bytes, no more and no less, with the reason; what the stream knew before it is still known."""
    data, place = trace(60, damaged=None), len(trace(25, damaged=None))
    end = len(trace(26, damaged=None))
    home.drop("trace.py", failing("1.0.0", does, limits=limits))
    home.append("a.trc", data)
    daemon = home.start()
    rejected = daemon.wait_event("record.rejected", deadline_s=60)
    assert rejected["reason"].startswith(reason)
    daemon.wait_all_read(60)
    assert daemon.term() == 0
    assert dead_letters(home) == [(place, data[place:end])]
    found, wanted = records(home, "a.trc"), [record for record in expected(data) if record["number"] != 25]
    assert [(record["number"], record["event"]) for record in found] == [
        (record["number"], record["event"]) for record in wanted
    ]
    assert found[:25] == wanted[:25]
    assert found[-30:] == wanted[-30:], "the clock after it has set the time right"


def test_a_bad_event_that_straddles_two_batches_is_dead_alone(home: Home) -> None:
    """Also where its first half was fed, and committed, in another life of the daemon."""
    data, place = trace(60, damaged=None), len(trace(25, damaged=None))
    home.drop("trace.py", failing("1.0.0", "raise ValueError('no')"))
    home.append("a.trc", data[: place + 4])
    daemon = home.start()
    daemon.wait_all_read()
    daemon.kill9()
    home.append("a.trc", data[place + 4 :])
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    assert dead_letters(home) == [(place, data[place : len(trace(26, damaged=None))])]
    assert [record["number"] for record in records(home, "a.trc")] == [n for n in range(60) if n != 25]


LENGTHS = """# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "lengths"
# version = "1.0.0"
# contract = ">=1.0,<2"
# accepts = { names = ["*.len"] }
# framing = "stream"
# ///
class Stream:
    def __init__(self, ctx, state):
        self.rest = state or b""

    def feed(self, data, final):
        self.rest += data
        while self.rest and len(self.rest) > self.rest[0]:
            body, self.rest = self.rest[1 : self.rest[0] + 1], self.rest[self.rest[0] + 1 :]
            if b"!" in body:
                raise ValueError("no")
            yield {"body": body.decode()}

    def snapshot(self):
        return self.rest


class Lengths:
    def open(self, ctx, state):
        return Stream(ctx, state)


def new_processor():
    return Lengths()
"""


def test_a_file_that_begins_with_nothing_but_a_bad_record_goes_on_behind_it(home: Home) -> None:
    """There is no snapshot of what was before: the stream begins behind what is dead, in this life and the next."""
    home.drop("lengths.py", LENGTHS)
    home.append("a.len", b"\x03no!")
    daemon = home.start()
    daemon.wait_event("record.rejected")
    daemon.wait_all_read()
    home.append("a.len", b"\x03yes\x05agai")
    daemon.wait_records("lengths", 1)
    daemon.wait_all_read()
    assert daemon.term() == 0
    home.append("a.len", b"n")
    home.start().wait_records("lengths", 2)
    assert [record["body"] for record in home.records("lengths")] == ["yes", "again"]
    assert dead_letters(home) == [(0, b"\x03no!")]


def test_a_version_that_fails_what_the_one_before_fed_is_not_let_in(home: Home) -> None:
    """The trial feeds it recent input, from the snapshots that belong to it."""
    half = len(trace(30, damaged=None))
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", trace(30, damaged=None))
    daemon = home.start()
    daemon.wait_all_read()
    home.drop("trace.py", failing("2.0.0", "raise ValueError('no')"))
    refused = daemon.wait_event("artifact.refused", plugin="trace")
    assert refused["stage"] == "tried"
    assert "no longer parses what generation 1 (1.0.0) does: logs/a.trc at 0: " in refused["reason"]
    assert "is not parsed: ValueError: no (plugins.d/trace.py:" in refused["reason"]
    home.append("a.trc", trace(60, damaged=None)[half:])
    daemon.wait_all_read()
    assert {record["by"] for record in home.records("trace")} == {"1.0.0"}
    assert daemon.term() == 0


def test_what_a_version_does_not_open_it_is_not_tried_with(home: Home) -> None:
    """Recent input from the middle of a stream, whose snapshot it refuses, says nothing of it; and that is said."""
    data = trace(60, damaged=None)
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", data[:400])
    daemon = home.start()
    daemon.wait_all_read()
    assert daemon.term() == 0
    with closing(sqlite3.connect(home.state / "ledger.db")) as db:
        db.execute("DELETE FROM recent")
        db.commit()
    home.append("a.trc", data[400:])
    daemon = home.start()
    daemon.wait_all_read()
    layout = ('LAYOUT = b"\\x01"', 'LAYOUT = b"\\x02"')
    home.drop("trace.py", version("2.0.0", layout))
    skipped = daemon.wait_event("trial.skipped", plugin="trace", generation=2, compared_with=1)
    assert (skipped["pieces"], skipped["of"]) == (1, 1)
    assert skipped["reason"].startswith("logs/a.trc at 400: ValueError: a snapshot of layout 01; this version reads")
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    assert daemon.term() == 0


def test_a_piece_that_a_version_on_probation_fails_is_the_one_befores_and_it_is_rolled_back(home: Home) -> None:
    """With its snapshot: the proven one goes on where the new one was handed the stream."""
    data = trace(60, damaged=None)
    home.configure(probation_s=60)
    home.drop("trace.py", version("1.0.0"))
    home.append("a.trc", data[:400])
    daemon = home.start()
    daemon.wait_all_read()
    home.drop("trace.py", failing("2.0.0", "raise ValueError('no')", event=50))
    daemon.wait_event("generation.switched", plugin="trace", generation=2)
    home.append("a.trc", data[400:500])
    daemon.wait_event("stream.handed_over", generation=2)
    daemon.wait_all_read()
    home.append("a.trc", data[500:])
    daemon.wait_event("batch.regressed", plugin="trace", generation=2, fell_back_to=1)
    daemon.wait_event("generation.rolled_back", plugin="trace", generation=2, back_to=1)
    status = daemon.wait_all_read()
    assert status["dead_letters"] == {}
    assert records(home, "a.trc") == expected(data)
    assert home.records("trace")[-1]["by"] == "1.0.0"
    assert daemon.term() == 0
