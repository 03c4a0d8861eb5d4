"""What is kept of a plugin's recent input: whole records, in order, never more than asked for."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.framing import Framing
from hostd import clock
from hostd.plugins import recent as recent_module
from hostd.plugins.recent import EVERY_S, MAX_PIECES, PIECE_BYTES, Recent
from hostd.workers.batch import Batch, Piece

LINES = Framing(kind="lines")
WHOLE = Framing(kind="whole")


@dataclass
class Clock:
    """A time that a test sets."""

    now: float = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", made.monotonic)
    return made


def keep(keep_bytes: int) -> Recent:
    return Recent(lambda: keep_bytes)


def noted(recent: Recent, data: bytes, offset: int = 0, source: str = "a", framing: Framing = LINES) -> None:
    recent.note("demo", framing, Batch(source, offset, b"", data))


def data_of(recent: Recent) -> list[bytes]:
    return [piece.data for piece in recent.pieces("demo")]


lines = st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"_") + b"\n")
batches = st.lists(
    st.tuples(st.sampled_from(["a", "b\udcff"]), st.lists(lines, min_size=1, max_size=60).map(b"".join)), max_size=60
)


@given(batches, st.sampled_from([0, 1, 400, 4 << 10, 64 << 10]))
def test_it_is_bounded_ordered_made_of_whole_records_and_survives_a_restart(
    given_batches: list[tuple[str, bytes]], keep_bytes: int
) -> None:
    """Whatever comes: pieces of the sources as they were read, oldest first, and the same after a restart."""
    recent, offsets = keep(keep_bytes), {"a": 0, "b\udcff": 0}
    for source, data in given_batches:
        recent.note("demo", LINES, Batch(source, offsets[source], b"head", data))
        offsets[source] += len(data)
    read = {name: b"".join(data for source, data in given_batches if source == name) for name in offsets}
    pieces = recent.pieces("demo")
    assert sum(len(piece.data) for piece in pieces) <= keep_bytes
    assert len(pieces) <= MAX_PIECES
    for piece in pieces:
        assert piece.data.endswith(b"\n")
        assert read[piece.source][: piece.offset].endswith(b"\n" if piece.offset else b"")
        assert read[piece.source].startswith(piece.data, piece.offset)
        assert piece.header == b"head"
    for name in offsets:
        places = [piece.offset for piece in pieces if piece.source == name]
        assert places == sorted(set(places))
    saved = recent.take_changed()
    assert recent.take_changed() == {}
    restored = keep(keep_bytes)
    restored.restore(saved)
    assert restored.pieces("demo") == pieces


def test_small_batches_of_one_source_become_one_piece() -> None:
    """Those that go on where the last one ended; a gap, or another source, begins another."""
    recent = keep(64 << 10)
    for offset, source in ((0, "a"), (2, "a"), (6, "a"), (8, "b"), (10, "b")):
        noted(recent, b"x\n", offset, source)
    assert [(piece.source, piece.offset, piece.data) for piece in recent.pieces("demo")] == [
        ("a", 0, b"x\nx\n"),
        ("a", 6, b"x\n"),
        ("b", 8, b"x\nx\n"),
    ]


def test_the_newest_is_kept_and_a_little_of_it_however_little_is_kept() -> None:
    """The oldest pieces go first, and never all of them at once."""
    recent = keep(1 << 10)
    for number in range(1000):
        noted(recent, b"%04d\n" % number, number * 5)
        assert number < 200 or sum(map(len, data_of(recent))) > 512
    assert data_of(recent)[-1].endswith(b"0999\n")


def test_a_plugin_under_load_has_a_piece_taken_now_and_then(time: Clock) -> None:
    """The first records of a large batch, at most every quarter of a second."""
    recent = keep(64 << 10)
    large = b"".join(b"%05d\n" % number for number in range(10_000))
    for tenth in range(10):
        time.now += EVERY_S / 2
        noted(recent, large, tenth * len(large))
    assert [piece.offset for piece in recent.pieces("demo")] == [n * len(large) for n in (0, 2, 4, 6, 8)]
    for data in data_of(recent):
        assert large.startswith(data)
        assert PIECE_BYTES - 6 < len(data) <= PIECE_BYTES
        assert data.endswith(b"\n")


def test_a_document_is_kept_whole_or_not_at_all(time: Clock) -> None:
    """And never joined with the next one."""
    recent = keep(64 << 10)
    noted(recent, b"<a/>", 0, framing=WHOLE)
    noted(recent, b"<b/>", 4, framing=WHOLE)
    noted(recent, b"c" * 40_000, framing=WHOLE)
    noted(recent, b"d" * 70_000, framing=WHOLE)
    assert [len(data) for data in data_of(recent)] == [4, 4, 40_000]


def test_a_record_that_is_longer_than_a_piece_is_not_kept_cut() -> None:
    recent = keep(64 << 10)
    noted(recent, b"x" * 20_000 + b"\n")
    assert data_of(recent) == []


def test_other_settings_hold_at_once() -> None:
    """Keeping less lets go of what is too much, also of what an earlier daemon kept."""
    size = 64 << 10
    recent = Recent(lambda: size)
    generator = random.Random(1)
    for number in range(40):
        noted(recent, generator.randbytes(2000).replace(b"\n", b"_") + b"\n", number * 9000)
    saved = recent.take_changed()
    size = 10 << 10
    assert 0 < sum(map(len, data_of(recent))) <= size
    restored = keep(0)
    restored.restore(saved)
    assert restored.pieces("demo") == []


def test_nothing_is_known_of_another_plugin() -> None:
    recent = keep(1000)
    noted(recent, b"x\n")
    assert recent.pieces("other") == []


STREAM = Framing(kind="stream")


def test_what_was_fed_to_a_stream_is_kept_with_the_snapshot_before_it() -> None:
    """What goes on where the last piece ended makes that longer; one with too large a snapshot is not kept."""
    recent = keep(4 << 10)
    first = Piece("a", 0, b"", b"abc", 7, None)
    recent.note("demo", STREAM, first)
    recent.note("demo", STREAM, Piece("a", 3, b"", b"de", 7, b"s3", b"c", final=True))
    recent.note("demo", STREAM, Piece("a", 9, b"", b"xy", 7, b"\xff9", b"f"))
    recent.note("demo", STREAM, Piece("a", 11, b"", b"z", 7, bytes(2 << 10)))
    recent.note("demo", STREAM, Piece("a", 12, b"", b"", 7, b"s", final=True))
    kept = [Piece("a", 0, b"", b"abcde", 7, None), Piece("a", 9, b"", b"xy", 7, b"\xff9", b"f")]
    assert recent.pieces("demo") == kept
    restored = keep(4 << 10)
    restored.restore(recent.take_changed())
    assert restored.pieces("demo") == kept


@given(states=st.lists(st.integers(0, 3000), max_size=80), keep_kib=st.sampled_from([0, 1, 16, 64]))
def test_what_is_kept_of_streams_is_counted_as_it_is(states: list[int], keep_kib: int) -> None:
    """Pieces that go on where the last one ended become one, which keeps the snapshot of the first alone."""
    recent, stream = keep(keep_kib << 10), Framing(kind="stream")
    for number, size in enumerate(states):
        piece = Piece("a", 10 * number, b"", b"0123456789", 1, b"s" * size, b"b" * min(size, 10))
        recent.note("demo", stream, piece)
        pieces = recent.pieces("demo")
        assert recent._sizes["demo"] == sum(map(recent_module._size, pieces)) <= keep_kib << 10
    if states and keep_kib == 64:
        assert recent.pieces("demo")
