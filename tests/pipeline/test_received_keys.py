"""Idempotency keys in the ledger: found again, cut with the spool, and bounded in number and age."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostd import clock
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger import received as module
from hostd.pipeline.ledger.received import Received, find


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def committed(ledger: Ledger, *puts: tuple[str, bytes, Received]) -> None:
    ledger.commit([], [], writes=[lambda put=put: ledger.received.put(*put) for put in puts])


def found(ledger: Ledger, source: str, key: bytes) -> Received | None:
    with sqlite3.connect(ledger.path) as db:
        return find(db, source, key)


def test_a_key_is_of_one_source_and_the_last_that_was_put(ledger: Ledger) -> None:
    committed(ledger, ("http:a", b"k", Received(b"1", 0, 0, 10)), ("http:b", b"k", Received(b"2", 0, 5, 6)))
    committed(ledger, ("http:a", b"k", Received(b"1", 4, 20, 26)))
    assert found(ledger, "http:a", b"k") == Received(b"1", 4, 20, 26)
    assert found(ledger, "http:b", b"k") == Received(b"2", 0, 5, 6)
    assert found(ledger, "http:c", b"k") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Received(b"d", 0, 0, 100), Received(b"d", 0, 0, 100)),  # all of it was committed
        (Received(b"d", 0, 60, 140), Received(b"d", 40, -1, -1)),  # 40 bytes were
        (Received(b"d", 0, 100, 140), None),  # nothing was
        (Received(b"d", 7, 100, 140), Received(b"d", 7, -1, -1)),  # nothing, of a body that had been begun before
        (Received(b"d", 7, 90, 140), Received(b"d", 17, -1, -1)),
    ],
)
def test_what_is_cut_off_is_taken_back(ledger: Ledger, before: Received, after: Received | None) -> None:
    """The spool is cut at 100; offsets beyond will be others' bytes."""
    committed(ledger, ("http:a", b"k", before))
    for _ in range(2):  # also when the daemon dies again at once
        ledger.commit([], [], writes=[lambda: ledger.received.recover("http:a", 100)])
    assert found(ledger, "http:a", b"k") == after


def test_the_oldest_keys_are_forgotten(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_KEYS", 10)
    monkeypatch.setattr(module, "PRUNE_EVERY", 5)
    puts = [("http:a", b"%d" % number, Received(b"d", 0, number, number + 1)) for number in range(41)]
    committed(ledger, *puts)
    assert [found(ledger, "http:a", b"%d" % number) is not None for number in (0, 29, 30, 31, 40)] == [
        *(False, False, False),
        *(True, True),
    ]
    later = clock.epoch_ms() + module.KEEP_MS + 1
    monkeypatch.setattr("hostd.clock.epoch_ms", lambda: later)
    committed(ledger, *[("http:b", b"%d" % number, Received(b"d", 0, 0, 1)) for number in range(5)])
    assert found(ledger, "http:a", b"40") is None
    assert found(ledger, "http:b", b"4") is not None
