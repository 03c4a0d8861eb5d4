"""ZIP archives: the one file in them, however little is asked for at once; of others it is said what to do."""

import io
import os
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.pipeline.sources.kinds import DamagedError, Kind, kind_of
from hostd.pipeline.sources.unpacking import Unpacking
from hostd.pipeline.sources.zipped import MOST_CONTENTS_BYTES, UnsuitableError
from tests.pipeline.sources.test_unpacked import opened, unpack


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """Return a ZIP archive of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.comment = comment
        for name, content in files:
            archive.writestr(name, content)
    return made.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=3000),
    length=st.integers(1, 500),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=st.binary(max_size=40).filter(lambda comment: b"PK\5\6" not in comment),
)
def test_the_one_file_comes_out_however_little_is_asked_for(
    content: bytes, length: int, method: int, comment: bytes
) -> None:
    content = b"-" + content  # not what would be taken for UTF-16
    packed = zipped(("logs/", b""), ("logs/a.log", content), ("__MACOSX/logs/._a.log", b"x"), comment=comment)
    packed = packed if method == zipfile.ZIP_DEFLATED else zipped(("a.log", content), method=method, comment=comment)
    assert kind_of(packed) is Kind.ZIP
    with opened(packed) as fd:
        assert unpack(fd, Kind.ZIP, length) == content


@pytest.mark.parametrize("after", [b"", b"x", b"x" * 40])
def test_one_whose_comment_looks_like_an_end_is_refused_and_not_waited_for(after: bytes) -> None:
    """Readers differ in what such an archive holds, and Python's own finds none."""
    packed = zipped(("a.log", b"line\n"), comment=b"PK\5\6" + after)
    with opened(packed) as fd, pytest.raises(UnsuitableError, match="pack it without a comment"):
        unpack(fd, Kind.ZIP, 100)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(min_size=1, max_size=3000), cut=st.floats(0, 1, exclude_max=True))
def test_one_that_is_being_copied_gives_nothing_until_it_is_whole(content: bytes, cut: float) -> None:
    content = b"-" + content
    packed = zipped(("a.log", content))
    with opened(packed[: int(len(packed) * cut)]) as fd:
        pass_ = Unpacking(fd, Kind.ZIP)
        assert (pass_.read(100), pass_.cut_short, pass_.consumed) == (b"", True, 0)
        os.pwrite(fd, packed, 0)
        made = b""
        while piece := pass_.read(100):
            made += piece
        assert (made, pass_.cut_short, pass_.consumed) == (content, False, len(packed))


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (
            zipped(*((f"{number}.log", b"") for number in range(5))),
            (
                "it holds 5 files (0.log, 1.log, 2.log, …), and is read with one alone; unpack it, and have the globs"
                " find them"
            ),
        ),
        (zipped(("logs/", b"")), "it holds no file"),
        (zipped(("a.log", b""), method=zipfile.ZIP_LZMA), "a.log in it is packed by method 14; pack it with deflate"),
        (
            zipped(("a.log", b"secret")).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
            "a.log in it is encrypted; unpack it, and have the globs find what is in it",
        ),
    ],
)
def test_what_holds_no_one_log_is_refused_with_what_to_do(packed: bytes, reason: str) -> None:
    with opened(packed) as fd, pytest.raises(UnsuitableError) as raised:
        unpack(fd, Kind.ZIP)
    assert str(raised.value) == reason


def test_a_table_of_contents_without_end_is_not_read() -> None:
    packed = bytearray(zipped(("a.log", b"")))
    at = packed.rfind(b"PK\5\6") + 12
    packed[at : at + 4] = (MOST_CONTENTS_BYTES + 1).to_bytes(4, "little")
    with opened(bytes(packed)) as fd, pytest.raises(UnsuitableError, match="it holds too many files; unpack it"):
        unpack(fd, Kind.ZIP)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), content=st.binary(min_size=10, max_size=300))
def test_a_damaged_one_says_so_or_comes_out_right(at: int, byte: int, content: bytes) -> None:
    content = b"-" + content
    packed = bytearray(zipped(("a.log", content)))
    packed[at % len(packed)] = byte
    with opened(bytes(packed)) as fd:
        pass_ = Unpacking(fd, Kind.ZIP)
        try:
            made = b""
            while piece := pass_.read(64):
                made += piece
        except DamagedError:
            return
        assert made == content or pass_.cut_short
