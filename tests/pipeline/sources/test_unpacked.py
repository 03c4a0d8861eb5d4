"""What archives and UTF-16 unpack to: the same bytes however they were packed, cut and read, and never all at once."""

import asyncio
import bz2
import gzip
import lzma
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.pipeline.sources.decoders import IDLE_S, Decoders
from hostd.pipeline.sources.kinds import KIND_BYTES, MAGIC, DamagedError, Kind, kind_of
from hostd.pipeline.sources.unpacked import STEP_BYTES, Unpacked
from hostd.pipeline.sources.unpacking import Unpacking

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACK: dict[Kind, Callable[[bytes], bytes]] = {
    Kind.GZIP: lambda plain: gzip.compress(plain, 1),
    Kind.BZIP2: bz2.compress,
    Kind.XZ: lambda plain: lzma.compress(plain, preset=0),
    Kind.ZSTD: lambda plain: zstd.compress(plain, options={zstd.CompressionParameter.checksum_flag: 1}),
}
kinds = pytest.mark.parametrize("kind", PACK, ids=lambda kind: kind.value)


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    """Put content into a file, and open it."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def unpack(fd: int, kind: Kind, length: int = 1 << 16) -> bytes:
    pass_, made = Unpacking(fd, kind), b""
    while piece := pass_.read(length):
        made += piece
    return made


@kinds
@settings(max_examples=40, deadline=None)
@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=5), length=st.integers(1, 100), nuls=st.booleans()
)
def test_members_one_after_another_are_one(kind: Kind, members: list[bytes], length: int, nuls: bool) -> None:
    """With padding between them or not, however little is asked for at once."""
    plain = b"-" + b"".join(members)  # not what would be taken for UTF-16
    packed = [PACK[kind](member) for member in [b"-", *members]]
    with opened((bytes(8) if nuls else b"").join(packed)) as fd:
        pass_, made = Unpacking(fd, kind), b""
        while piece := pass_.read(length):
            assert len(piece) <= length
            made += piece
        assert made == plain
        assert (pass_.made, pass_.cut_short) == (len(plain), False)


@kinds
@settings(max_examples=40, deadline=None)
@given(plain=st.binary(min_size=1, max_size=2000), cut=st.floats(0, 1))
def test_what_is_cut_short_gives_a_beginning_and_goes_on_when_it_grows(kind: Kind, plain: bytes, cut: float) -> None:
    """What came out is what the whole begins with; one pass over the growing file gives all of it."""
    packed = PACK[kind](b"-" + plain)
    at = int(cut * (len(packed) - 1))
    with tempfile.TemporaryFile() as file:
        file.write(packed[:at])
        file.flush()
        pass_, made = Unpacking(file.fileno(), kind), b""
        while piece := pass_.read(100):
            made += piece
        assert (b"-" + plain).startswith(made)
        assert pass_.cut_short or not at
        file.write(packed[at:])
        file.flush()
        while piece := pass_.read(100):
            made += piece
        assert made == b"-" + plain
        assert not pass_.cut_short


@kinds
def test_what_is_damaged_says_so(kind: Kind) -> None:
    """In a member, or in the place of the next one."""
    packed = bytearray(PACK[kind](os.urandom(5000)))
    with opened(bytes(packed) + b"something else entirely") as fd, pytest.raises(DamagedError, match="no "):
        unpack(fd, kind)
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    with opened(bytes(packed)) as fd, pytest.raises(DamagedError):
        unpack(fd, kind)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=300), length=st.integers(1, 50), order=st.sampled_from(["le", "be"]), packed=st.booleans())
def test_utf_16_becomes_utf_8_wherever_it_is_cut(text: str, length: int, order: str, packed: bool) -> None:
    """Also between the bytes of a character, or of a pair of surrogates; packed or not."""
    content = f"\ufeff{text}".encode(f"utf-16-{order}")
    kind = Kind.GZIP if packed else Kind(f"utf-16-{order}")
    with opened(gzip.compress(content) if packed else content) as fd:
        text.encode() if len(content) >= 4 else b""
        if not (order == "le" and text.startswith("\0")):  # which is how UTF-32 begins
            assert unpack(fd, kind, length) == text.encode()


def test_half_a_pair_of_surrogates_is_kept() -> None:
    """It is no text, and not thrown away."""
    with opened("\ufeffa".encode("utf-16-le") + b"\x3d\xd8" + "b".encode("utf-16-le")) as fd:
        assert unpack(fd, Kind.UTF16_LE) == b"a\xed\xa0\xbdb"


@settings(max_examples=200)
@given(head=st.binary(max_size=KIND_BYTES))
def test_a_kind_is_told_once_and_not_otherwise_later(head: bytes) -> None:
    """What the first bytes say, more of them do not take back; ten are always enough."""
    told = [kind_of(head[:length]) for length in range(len(head) + 1)]
    known = [kind for kind in told if kind is not None]
    assert len(set(known)) <= 1
    assert told[-1] is not None or len(head) < KIND_BYTES
    assert kind_of(head, final=True) is not None


@pytest.mark.parametrize("magic", [magic for magics in MAGIC.values() for magic in magics])
def test_every_beginning_of_an_archive_is_known(magic: bytes) -> None:
    """Whole, and not told too early from a part."""
    kind = next(kind for kind, magics in MAGIC.items() if magic in magics)
    assert kind_of(magic) is kind
    assert kind_of(magic[:2]) is None
    assert kind_of(magic[:2], final=True) is Kind.PLAIN


@kinds
def test_the_window_moves_on_and_back(kind: Kind, tmp_path: Path) -> None:
    """Of four megabytes one piece is in memory, unpacked in another thread; the start again is the start."""
    plain = b"".join(b"%09d\n" % number for number in range(400_000))
    (tmp_path / "packed").write_bytes(PACK[kind](plain))
    threads = set()

    async def scenario() -> None:
        fd = os.open(tmp_path / "packed", os.O_RDONLY)
        content = Unpacked(fd, kind, Decoders())
        step = content._step

        def noted(offset: int) -> None:
            threads.add(threading.get_ident())
            step(offset)

        content._step = noted  # type: ignore[method-assign]
        for offset in (0, 1_500_000, 3_999_000, 10):
            content.let_go(offset)
            await content.load(offset, 1000)
            assert content.read(offset, 1000) == plain[offset : offset + 1000]
            assert len(content._window) <= 2 * STEP_BYTES
        await content.load(0, len(plain) + 1)
        assert content.size() == len(plain)
        assert content.is_sealed
        content.close()
        os.close(fd)

    asyncio.run(scenario())
    assert threading.get_ident() not in threads


def test_few_archives_have_a_decoder_at_once_and_each_gets_its_turn(tmp_path: Path) -> None:
    """One that idles gives it up, and begins again when it goes on."""
    plain = os.urandom(3 * STEP_BYTES)
    (tmp_path / "packed").write_bytes(gzip.compress(plain))

    async def scenario() -> None:
        decoders = Decoders(at_once=2)
        fds = [os.open(tmp_path / "packed", os.O_RDONLY) for _ in range(5)]
        contents = [Unpacked(fd, Kind.GZIP, decoders) for fd in fds]
        await asyncio.gather(*(content.load(0, 10) for content in contents))
        assert sum(content._pass is not None for content in contents) <= 2
        for content in contents:
            assert content.read(0, 10) == plain[:10]
            await content.load(STEP_BYTES, 10)
            assert content.read(STEP_BYTES, 10) == plain[STEP_BYTES : STEP_BYTES + 10]
        for content, fd in zip(contents, fds, strict=True):
            content.close()
            os.close(fd)

    asyncio.run(asyncio.wait_for(scenario(), 30 * IDLE_S))
