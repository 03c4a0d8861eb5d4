"""One file as it grows: known by what was read of it, whatever it is called."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.framing import Framing
from contract.pattern import Pattern
from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.sources.file import ENDED_S, FINGERPRINT_BYTES, MARKER_BYTES, FileSource, is_continued_by
from tests.pipeline.build import open_source

LINES = Framing()
HEADED = Framing(header_lines=1)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[FileSource]:
    path = tmp_path / "a.log"
    path.touch()
    source = open_source(path)
    yield source
    source.close()
    source.close()


def write(source: FileSource, content: bytes) -> None:
    """Write over the file, in place."""
    Path(source.path).write_bytes(content)


def read_to(source: FileSource, end: int) -> Checkpoint:
    """Read up to `end` as the pump does."""
    source.advance(end, source.read(source.offset, end - source.offset))
    return source.reached


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=700), more=st.binary(max_size=50), steps=st.lists(st.integers(1, 400)))
def test_a_file_that_only_grew_is_continued_and_one_that_changed_is_not(
    source: FileSource, content: bytes, more: bytes, steps: list[int]
) -> None:
    """Whatever steps it was read in; a change in its beginning, or just before the checkpoint, is seen."""
    source.begin_again(1)
    write(source, content)
    for step in steps:
        read_to(source, min(len(content), source.offset + step)) if source.offset < len(content) else None
    if not source.offset:
        read_to(source, len(content))
    reached = source.reached
    write(source, content + more)
    assert is_continued_by(reached, source.fd, source.size())
    assert not source.was_rewritten()
    for at in (0, reached.fingerprint_length - 1, reached.offset - 1, reached.offset - reached.marker_length):
        changed = bytearray(content + more)
        changed[at] ^= 1
        write(source, bytes(changed))
        assert not is_continued_by(reached, source.fd, source.size())
        assert source.was_rewritten()
    write(source, content[: reached.offset - 1])
    assert not is_continued_by(reached, source.fd, source.size())
    assert source.was_rewritten()


def test_nothing_read_is_continued_by_nothing(source: FileSource) -> None:
    """Every file would fit."""
    assert not is_continued_by(Checkpoint(), source.fd, 0)
    assert not source.was_rewritten()


def test_checkpoint_is_bounded(source: FileSource) -> None:
    """The fingerprint grows with what was read, up to its size; the marker is the last bytes."""
    write(source, bytes(range(256)) * 8)
    first = read_to(source, 10)
    assert (first.offset, first.fingerprint_length, first.marker_length) == (10, 10, 10)
    last = read_to(source, 2048)
    assert (last.offset, last.fingerprint_length, last.marker_length) == (2048, FINGERPRINT_BYTES, MARKER_BYTES)
    assert is_continued_by(first, source.fd, 2048)
    source.advance(2048, b"")
    assert source.reached == last, "the tail is read where the caller has none"


def test_rewind_reads_on_from_a_checkpoint(source: FileSource) -> None:
    """Work that was given up is read again."""
    write(source, b"one\ntwo\n")
    first = read_to(source, 4)
    read_to(source, 8)
    source.rewind(first)
    assert (source.offset, source.reached) == (4, first)
    assert read_to(source, 8).offset == 8


def test_begin_again_forgets_what_was_read(source: FileSource) -> None:
    """It is another source for the ledger."""
    write(source, b"one\n")
    read_to(source, 4)
    source.begin_again(9)
    assert (source.id, source.offset, source.reached, source.committed) == (9, 0, Checkpoint(), Checkpoint())
    write(source, b"other and longer\n")
    assert is_continued_by(read_to(source, 17), source.fd, 17), "the fingerprint is of the new contents"


def test_header_is_read_once_and_skipped(source: FileSource) -> None:
    """It is waited for, taken whole, and looked for again by another framing or after a rewind."""
    write(source, b"he")
    assert not source.find_header(HEADED, final=False)
    write(source, b"head\none\n")
    assert source.find_header(HEADED, final=False)
    assert (source.header, source.offset) == (b"head\n", 5)
    read_to(source, 9)
    assert source.find_header(Framing(header_pattern=Pattern("h")), final=True)
    assert (source.header, source.offset) == (b"head\n", 9), "what was read is not read again"
    assert source.find_header(LINES, final=False)
    assert source.header == b""


def test_a_header_is_a_line_like_any_other_for_who_asks_for_none(source: FileSource) -> None:
    """Only the header was skipped, and nothing read: another plugin's framing takes the file from its start."""
    write(source, b"name\n")
    assert source.find_header(HEADED, final=False)
    assert source.offset == 5
    assert source.find_header(LINES, final=False)
    assert (source.offset, source.header) == (0, b"")
    assert source.find_header(HEADED, final=False)
    assert source.offset == 5


def test_header_without_an_end_is_all_there_is_when_final(source: FileSource) -> None:
    """Nothing follows."""
    write(source, b"head")
    assert source.find_header(HEADED, final=True)
    assert (source.header, source.offset) == (b"head", 4)


def test_it_is_the_same_file_under_another_name(source: FileSource, tmp_path: Path) -> None:
    """A rename changes neither contents nor identity."""
    write(source, b"one\n")
    reached = read_to(source, 4)
    Path(source.path).rename(tmp_path / "a.log.1")
    with (tmp_path / "a.log.1").open("ab") as file:
        file.write(b"two\n")
    assert is_continued_by(reached, source.fd, source.size())
    assert source.read(4, 99) == b"two\n"


def test_a_copy_is_continued_where_the_original_was_read(source: FileSource, tmp_path: Path) -> None:
    """copytruncate: the copy holds what was read, the original does not any more."""
    write(source, b"one\ntwo\n")
    reached = read_to(source, 4)
    shutil.copy(source.path, tmp_path / "copy")
    os.truncate(source.path, 0)
    assert source.was_rewritten()
    copy = open_source(tmp_path / "copy")
    assert is_continued_by(reached, copy.fd, copy.size())
    copy.close()


def test_a_file_has_ended_once_it_was_moved_away_and_is_quiet(source: FileSource) -> None:
    """Neither alone is enough: its writer may still have it open."""
    long_ago = os.stat(source.path).st_mtime - ENDED_S - 1
    os.utime(source.path, (long_ago, long_ago))
    assert not source.has_ended()
    source.moved_away = True
    assert source.has_ended()
    os.utime(source.path)
    assert not source.has_ended()
