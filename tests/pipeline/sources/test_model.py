"""Whatever is done to a folder of logs, in whatever order: every complete line comes out once, in its file's order.

Known losses and repetitions are computed, not guessed: what was truncated or removed before anybody could read it, and
what was too short to be known again.
"""

import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hostd.pipeline.sources.file import FINGERPRINT_BYTES, MARKER_BYTES
from tests.pipeline.sources.reading import PACK, Reading, copy_and_truncate, pack

STEPS = (
    *("write",) * 6,
    "half a line",
    *("look",) * 4,
    *("pass time",) * 2,
    *("rotate",) * 3,
    "truncate",
    "delete",
    "copy",
    "link",
    *("pack",) * 2,
    *("stop",) * 2,
    *("start",) * 3,
    *("commit",) * 2,
)

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Model:
    """A log `a.log`, its writer, whoever rotates it, and what may be missing or come twice in the end."""

    def __init__(self, folder: Path, seed: int, *, copies: bool, lags: bool = False) -> None:
        self.folder = folder
        self.reading = Reading(folder, "a.log*", batch=512, lags=lags)
        self.written: list[str] = []
        self.may_miss: set[str] = set()
        self.may_repeat: set[str] = set()
        self._random = random.Random(seed)
        self._copies = copies
        self._log = folder / "a.log"
        self._stream = 0
        self._half = ""
        self._extra = 0

    async def do(self, step: str) -> None:
        await getattr(self, "_" + step.replace(" ", "_"))()

    async def _write(self) -> None:
        width = self._random.choice((0, 0, 20, 90, 400))
        lines = [self._half + "+"] if self._half else []
        lines += [self._line(width) for _ in range(self._random.randint(1, 12))]
        with self._log.open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines)[len(self._half) :].encode())
        self._half = ""
        self.written += lines

    async def _half_a_line(self) -> None:
        if not self._half:
            self._half = f"~{self._line(10)}"
            with self._log.open("ab") as file:
                file.write(self._half.encode())

    async def _look(self) -> None:
        await self.reading.look()

    async def _pass_time(self) -> None:
        await self.reading.pass_time()

    async def _rotate(self) -> None:
        if not self._log.exists():
            return
        for path in sorted(self._rotated(), key=_number, reverse=True):
            number = _number(path)
            path.rename(self.folder / path.name.replace(f".{number}", f".{number + 1}", 1))
        if self._copies:
            self._note_copy(self._log)
            if self._log.stat().st_nlink > 1:
                self.may_repeat |= _lines(self._log)  # by another of its names it is not known what this is a copy of
            copy_and_truncate(self._log, self.folder / "a.log.1")
        else:
            self._log.rename(self.folder / "a.log.1")
        self._begin_stream()

    async def _truncate(self) -> None:
        if self._log.exists():
            self.may_miss |= self._unread(self._log)
            os.truncate(self._log, 0)
            self._begin_stream()

    async def _delete(self) -> None:
        if self._log.exists():
            if not self._is_open(self._log) and self._log.stat().st_nlink == 1:
                self.may_miss |= self._unread(self._log)
            self._log.unlink()
            self._begin_stream()

    async def _copy(self) -> None:
        if self._log.exists() and not self._half:
            self._note_copy(self._log)
            if self._log.stat().st_size < FINGERPRINT_BYTES:
                self.may_repeat |= _lines(self._log)
            self._extra += 1
            shutil.copy(self._log, self.folder / f"a.log.copy{self._extra}")
            await self.reading.look()
            await self.reading.pass_time()
            if not self.reading.is_running:
                self.may_repeat |= _lines(self._log)  # it may become another's name before anybody looks

    async def _link(self) -> None:
        if self._log.exists():
            await self.reading.look()
            if not self.reading.is_running and self._copies:  # see `_rotate`; the copies were made before the link
                self.may_repeat |= {
                    line for path in self._rotated() if path.suffix not in PACK for line in _lines(path)
                }
            self._extra += 1
            os.link(self._log, self.folder / f"a.log.link{self._extra}")

    async def _pack(self) -> None:
        plain = [path for path in self._rotated() if path.suffix not in PACK]
        if plain:
            path = self._random.choice(plain)
            self._note_copy(path)
            if path.stat().st_nlink > 1:
                self.may_repeat |= _lines(path)
            pack(path, self._random.choice(tuple(PACK)))

    async def _stop(self) -> None:
        if self.reading.is_running:
            for source in self.reading.sources:
                if os.fstat(source.fd).st_nlink == 0:
                    content = os.pread(source.fd, 1 << 20, 0)
                    self.may_miss |= set(content.decode().splitlines()) - set(self.reading.lines)
            self.reading.stop()

    async def _commit(self) -> None:
        self.reading.commits.commit()

    async def _start(self) -> None:
        if not self.reading.is_running:
            self.reading.start()

    async def finish(self) -> None:
        """Let everything be read that can be."""
        await self._start()
        await self.reading.pass_time()
        for _ in range(3):
            self.reading.commits.commit()
            await self.reading.pass_time()
        self.reading.commits.commit()
        self.reading.stop()

    def check(self) -> None:
        """Compare what came out with what was written."""
        came = Counter(line for line in self.reading.lines if not line.startswith("~") or line.endswith("+"))
        wanted = set(self.written)
        assert not set(came) - wanted, "came from nowhere"
        assert not wanted - set(came) - self.may_miss, "lost"
        assert not {line for line, count in came.items() if count > 1} - self.may_repeat, "came twice"
        streams: dict[str, list[int]] = {}
        for line in self.reading.lines:
            if line not in self.may_repeat and line in wanted:
                stream, number = line.strip("~+ x").split("-")
                streams.setdefault(stream, []).append(int(number))
        assert all(numbers == sorted(numbers) for numbers in streams.values()), "out of order"

    def _line(self, width: int) -> str:
        self._extra += 1
        return f"{self._stream}-{self._extra} {'x' * width}".strip()

    def _begin_stream(self) -> None:
        self._stream += 1
        self._half = ""

    def _rotated(self) -> list[Path]:
        return [path for path in self.folder.glob("a.log.*") if path.name.split(".")[2].isdigit()]

    def _is_open(self, path: Path) -> bool:
        inode = path.stat().st_ino
        return any(source.inode == inode for source in self.reading.sources)

    def _unread(self, path: Path) -> set[str]:
        return _lines(path) - set(self.reading.lines)

    def _note_copy(self, path: Path) -> None:
        """What is copied while it is too short to be known again, or was read by too little, may be read twice."""
        read = sum(len(line) + 1 for line in _lines(path) & set(self.reading.lines))
        if read < MARKER_BYTES and read < path.stat().st_size:
            self.may_repeat |= _lines(path)


def _lines(path: Path) -> set[str]:
    return set(path.read_text().splitlines())


def _number(path: Path) -> int:
    return int(path.name.split(".")[2])


def _run(steps: list[str], seed: int, copies: bool, lags: bool = False) -> None:
    async def scenario(folder: Path) -> None:
        model = Model(folder, seed, copies=copies, lags=lags)
        model.reading.start()
        try:
            for step in steps:
                await model.do(step)
            await model.finish()
        finally:
            model.reading.stop()
        model.check()

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, capture_logs():
        asyncio.run(scenario(Path(folder)))


cases = given(
    steps=st.lists(st.sampled_from(STEPS), min_size=3, max_size=30),
    seed=st.integers(0, 1 << 16),
    copies=st.booleans(),
    lags=st.booleans(),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@cases
def test_every_line_comes_out_once_whatever_is_done_to_its_file(
    steps: list[str], seed: int, copies: bool, lags: bool
) -> None:
    """Some hundred histories: written, rotated, copied, linked, packed, truncated, removed, killed and restarted."""
    _run(steps, seed, copies, lags)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, derandomize=True)
@cases
def test_every_line_comes_out_once_in_thousands_of_histories(
    steps: list[str], seed: int, copies: bool, lags: bool
) -> None:
    """The same, at length."""
    _run(steps, seed, copies, lags)


@pytest.mark.xfail(reason="a copy of a log, of which another copy was made while it was short, is read after a restart")
def test_a_second_copy_after_a_restart_is_known_too() -> None:
    """Rare: only where the globs name both copies, and the first was made below the length of a fingerprint."""
    _run(["write", "write", "rotate", "write", "copy", "stop", "start", "write", "copy"], seed=17, copies=False)
