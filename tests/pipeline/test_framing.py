"""Cutting a file that grows: the cuts are the file."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.framing import Framing
from contract.pattern import Pattern
from hostd.pipeline.framing import NOT_YET, SCAN_BYTES, SCANS_A_TURN, Cut, next_cut
from hostd.pipeline.sources.file import FileSource
from tests.pipeline.build import open_source

LINES = Framing()
QUOTED = Framing(quote=b'"')
MULTILINE = Framing(kind="multiline", start=Pattern(r"^\S"))
WHOLE = Framing(kind="whole")

chunks = st.lists(
    st.lists(st.sampled_from([b"\n", b"a", b"bb ", b'"', b" ", b"x\n", b"long" * 10]), max_size=8).map(b"".join),
    max_size=6,
)


def cut_all(
    source: FileSource, framing: Framing, batch: int = 16, record: int = 64, *, quiet: bool = False, final: bool = False
) -> list[Cut]:
    """Cut and advance until nothing whole is left."""
    cuts: list[Cut] = []
    while (cut := next_cut(source, framing, batch, record, quiet=quiet, final=final)) is not None:
        assert cut.start == source.offset
        assert cut.end > cut.start
        source.advance(cut.end, b"" if cut.too_long else cut.data)
        cuts.append(cut)
    return cuts


@pytest.mark.parametrize("framing", [LINES, QUOTED, MULTILINE, WHOLE], ids=["lines", "quoted", "multiline", "whole"])
@settings(max_examples=60, deadline=None)
@given(appended=chunks, batch=st.integers(1, 40), record=st.integers(1, 80))
def test_cuts_of_a_growing_file_are_its_bytes(framing: Framing, appended: list[bytes], batch: int, record: int) -> None:
    """However it grows, however small the limits: each byte is in one cut, in order; none is over the limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.log"
        path.touch()
        source = open_source(path)
        try:
            cuts: list[Cut] = []
            for chunk in appended:
                with path.open("ab") as file:
                    file.write(chunk)
                cuts += cut_all(source, framing, batch, record)
            cuts += cut_all(source, framing, batch, record, final=True)
        finally:
            source.close()
        content = path.read_bytes()
    position = 0
    for cut in cuts:
        assert cut.start == position
        assert content[cut.start : cut.end].startswith(cut.data)
        assert cut.too_long or len(cut.data) == cut.end - cut.start
        assert len(cut.data) <= record
        assert not cut.too_long or cut.end - cut.start > record or content.find(b"\n", cut.start, cut.end - 1) < 0
        position = cut.end
    assert position == len(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def test_batches_are_as_large_as_they_may_be(path: Path) -> None:
    """The longest run of whole records within the batch size; a longer record is a batch of its own."""
    path.write_bytes(b"1\n22\n333\n" + b"x" * 30 + b"\n")
    source = open_source(path)
    assert [cut.data for cut in cut_all(source, LINES, 6)] == [b"1\n22\n", b"333\n", b"x" * 30 + b"\n"]
    source.close()


@pytest.mark.parametrize("framing", [LINES, QUOTED, MULTILINE], ids=["lines", "quoted", "multiline"])
def test_a_record_over_the_limit_is_one_cut_of_which_the_start_is_kept(path: Path, framing: Framing) -> None:
    """The next record is found behind it; until its end is there it waits."""
    path.write_bytes(b"y" * 200)
    source = open_source(path)
    assert cut_all(source, framing) == []
    with path.open("ab") as file:
        file.write(b"\nnext\nlast\n")
    first, *rest = cut_all(source, framing, final=True)
    assert first == Cut(0, 201, b"y" * 64, too_long=True)
    assert b"".join(cut.data for cut in rest) == b"next\nlast\n"
    source.close()


def test_a_record_over_the_limit_without_an_end_is_cut_when_final(path: Path) -> None:
    """Nothing follows: this is all of it."""
    path.write_bytes(b"y" * 200)
    source = open_source(path)
    assert cut_all(source, LINES, final=True) == [Cut(0, 200, b"y" * 64, too_long=True)]
    source.close()


def test_a_quote_that_never_closes_falls_back_to_lines_at_the_limit(path: Path) -> None:
    """One stray quote does not hold up the source for ever."""
    path.write_bytes(b'a"\n' + b"line\n" * 30)
    source = open_source(path)
    cuts = cut_all(source, QUOTED)
    assert cuts
    assert not any(cut.too_long for cut in cuts)
    assert all(cut.data.endswith(b"\n") for cut in cuts)
    source.close()


def test_a_last_line_without_an_end_waits_until_final(path: Path) -> None:
    """It may go on."""
    path.write_bytes(b"one\ntw")
    source = open_source(path)
    assert [cut.data for cut in cut_all(source, LINES, quiet=True)] == [b"one\n"]
    assert [cut.data for cut in cut_all(source, LINES, final=True)] == [b"tw"]
    source.close()


def test_a_last_multiline_record_waits_until_quiet(path: Path) -> None:
    """Its next line may belong to it; after a while without one, its whole lines are it."""
    path.write_bytes(b"one\n more\ntwo\n more\n ha")
    source = open_source(path)
    assert [cut.data for cut in cut_all(source, MULTILINE)] == [b"one\n more\n"]
    assert [cut.data for cut in cut_all(source, MULTILINE, quiet=True)] == [b"two\n more\n"]
    assert cut_all(source, MULTILINE, quiet=True) == []
    assert [cut.data for cut in cut_all(source, MULTILINE, final=True)] == [b" ha"]
    source.close()


@pytest.mark.parametrize("how", ["quiet", "final"])
def test_a_document_is_whole_when_nothing_is_written_any_more(path: Path, how: str) -> None:
    """Not before, and not when empty; one over the limit is said to be."""
    path.write_bytes(b"")
    source = open_source(path)
    assert cut_all(source, WHOLE, quiet=how == "quiet", final=how == "final") == []
    path.write_bytes(b"<a>\n</a>\n")
    assert cut_all(source, WHOLE) == []
    assert cut_all(source, WHOLE, quiet=how == "quiet", final=how == "final") == [Cut(0, 9, b"<a>\n</a>\n")]
    with path.open("ab") as file:
        file.write(b"z" * 65)
    assert cut_all(source, WHOLE, quiet=how == "quiet", final=how == "final") == [Cut(9, 74, b"z" * 64, too_long=True)]
    source.close()


def test_nothing_is_cut_of_a_file_that_shrank(path: Path) -> None:
    """Reading behind its end yields nothing."""
    path.write_bytes(b"one\ntwo\n")
    source = open_source(path)
    cut_all(source, LINES)
    os.truncate(path, 2)
    assert cut_all(source, LINES, final=True) == []
    source.close()


def test_the_end_of_a_record_over_the_limit_is_looked_for_in_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred MiB without a line end: no turn reads more than its share, none reads again what another has read."""
    read: list[int] = []
    plain = FileSource.read

    def counted(source: FileSource, offset: int, length: int) -> bytes:
        content = plain(source, offset, length)
        read.append(len(content))
        return content

    monkeypatch.setattr(FileSource, "read", counted)
    path.touch()
    size = 100 << 20
    os.truncate(path, size)
    with path.open("ab") as file:
        file.write(b"\nnext\n")
    source = open_source(path)
    turns = 1
    while (cut := next_cut(source, LINES, 16, 64, quiet=False, final=False)) is NOT_YET:
        assert sum(read) <= SCANS_A_TURN * SCAN_BYTES + 256
        read.clear()
        turns += 1
    assert turns == 1 + size // (SCANS_A_TURN * SCAN_BYTES)
    assert cut == Cut(0, size + 1, bytes(64), too_long=True)
    source.advance(cut.end, b"")
    assert next_cut(source, LINES, 16, 64, quiet=False, final=False) == Cut(size + 1, size + 6, b"next\n")
    source.close()
