"""A spool against a model: one string of bytes, of which what is committed may be forgotten."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.pipeline.sources import spool as module
from hostd.pipeline.sources.spool import HEAD_BYTES, Spool, is_spooled, spooled_to


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 100 bytes, so that a few appends make many."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)


def opened(folder: Path, committed: int = 0, *, cut: bool = False) -> Spool:
    spool = Spool(folder, "http:app")
    spool.recover(committed, cut=cut)
    return spool


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=70), min_size=1, max_size=3)),
        st.tuples(st.just("commit"), st.floats(0, 1)),
        st.tuples(st.just("restart"), st.booleans()),
        st.tuples(st.just("read"), st.tuples(st.floats(0, 1), st.integers(0, 400))),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_every_byte_that_is_not_committed_can_be_read_after_any_history(actions: list) -> None:
    """Restarts keep it, or cut it off, as they are told to; the disk holds little more than what waits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "spool" / "http" / "app"
        spool, came, committed = opened(folder), b"", 0
        for action, how in actions:
            if action == "append":
                came += b"".join(how)
                assert spool.append(how) == len(came)
            elif action == "commit":
                committed += int((len(came) - committed) * how)
                spool.committed(committed)
            elif action == "restart":
                spool.close()
                came = came[:committed] if how else came
                spool = opened(folder, committed, cut=how)
            else:
                offset = committed + int((len(came) - committed) * how[0])
                assert spool.read(offset, how[1]) == came[offset : offset + how[1]]
            assert spool.size() == len(came)
            assert spool.read(committed, len(came)) == came[committed:]
            first = came[:HEAD_BYTES]
            assert first.startswith(spool.read(0, 64)[: len(first)])
            assert sum(path.stat().st_size for path in folder.glob("0*")) <= len(came) - committed + 2 * (100 + 210)
        assert spooled_to(folder) in (0, len(came)) or not spool.start < len(came)
        spool.close()


def test_files_are_private(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool" / "syslog" / "net")
    spool.append([b"x\n"])
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "spool/syslog/net").iterdir()] == ["0o600"]
    spool.close()


def test_an_append_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full takes the first half, and then no more."""
    spool = opened(tmp_path / "app")
    spool.append([b"one\n"])
    written: list[int] = []

    def half(fd: int, parts: list[bytes], position: int) -> int:
        written.append(os.pwrite(fd, parts[0][:2], position))
        return written[-1]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "pwritev", half)
        patched.setattr(Spool, "_write_rest", staticmethod(full))
        with pytest.raises(OSError, match="No space left"):
            spool.append([b"two\n"])
    assert written == [2]
    assert spool.size() == 4
    assert (tmp_path / "app" / f"{0:020}").read_bytes() == b"one\n"
    assert spool.append([b"three\n"]) == 10
    assert spool.read(0, 100) == b"one\nthree\n"
    spool.close()


def test_what_a_power_failure_took_is_made_up_for_by_blank_lines(tmp_path: Path) -> None:
    """So every byte after it keeps its offset."""
    spool = opened(tmp_path / "app")
    spool.append([b"a" * 99 + b"\n"])
    spool.append([b"b" * 9 + b"\n"])
    spool.close()
    os.truncate(tmp_path / "app" / f"{0:020}", 50)
    spool = opened(tmp_path / "app")
    assert spool.read(0, 110) == b"a" * 50 + b"\n" * 50 + b"b" * 9 + b"\n"
    spool.close()


def test_what_was_committed_and_is_not_on_the_disk_is_not_missed(tmp_path: Path) -> None:
    """The ledger is durable, and the spool need not be."""
    spool = opened(tmp_path / "app", 1000)
    assert (spool.start, spool.size()) == (1000, 1000)
    assert spool.append([b"x\n"]) == 1002
    assert spool.read(1000, 10) == b"x\n"
    spool.close()


def test_the_first_bytes_are_kept_for_good(tmp_path: Path) -> None:
    """By them a source is routed, and they may be a header, also after a restart."""
    spool = opened(tmp_path / "app")
    for number in range(30):
        spool.append([f"{number:09}\n".encode()])
    spool.committed(300)
    assert spool.start > 0
    assert spool.read(0, 10) == b"000000000\n"
    assert spool.read(150, 10) == b""  # gone, and not another's bytes
    spool.close()
    spool = opened(tmp_path / "app", 300)
    assert spool.read(0, 10) == b"000000000\n"
    spool.close()


def test_a_row_of_the_ledger_is_of_a_spool_by_its_folder_and_its_checkpoint() -> None:
    """A FIFO has no fingerprint either, and a log may lie in some other `spool`."""
    received = SourceRow(1, "http:app", "/var/lib/hostd/spool/http/app", 1, 2, Checkpoint(10))
    assert is_spooled(received)
    assert not is_spooled(SourceRow(1, "x", "/run/fifo", 1, 2, Checkpoint(10)))
    assert not is_spooled(SourceRow(1, "x", "/var/spool/cups/log", 1, 2, Checkpoint(10, 10, b"x", 10, b"y")))
