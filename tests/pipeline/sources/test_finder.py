"""Globs to open files: each read once, under whatever names, and known again."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hostd.config import FileSource as FileSourceConfig
from hostd.pipeline.ledger import SourceRow
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.sources.finder import FileFinder
from hostd.pipeline.sources.listing import watched_folder


class Finding:
    """A finder over a folder, and what it reported."""

    def __init__(
        self, folder: Path, *patterns: str, rows: tuple[SourceRow, ...] = (), excluded: tuple[Path, ...] = ()
    ) -> None:
        self.folder = folder
        self.gone: list[FileSource] = []
        self.data: list[str] = []
        self.finder = FileFinder(
            configs=(FileSourceConfig(paths=tuple(f"{folder}/{pattern}" for pattern in patterns or ("*.log",))),),
            base=folder,
            excluded=excluded,
            rows=rows,
            on_data=lambda source: self.data.append(source.name),
            on_gone=self.gone.append,
        )

    def look(self) -> dict[str, tuple[int, int]]:
        """Look, and return the id and the offset of each source."""
        self.finder.look()
        return self.state()

    def state(self) -> dict[str, tuple[int, int]]:
        return {source.name: (source.id, source.offset) for source in self.finder.sources.values()}

    def source(self, name: str) -> FileSource:
        return next(source for source in self.finder.sources.values() if source.name == name)

    def read(self, name: str, end: int) -> None:
        """Read a source up to `end`, as the pump does."""
        source = self.source(name)
        source.advance(end, source.read(source.offset, end - source.offset))

    def rows(self) -> tuple[SourceRow, ...]:
        """Return what a ledger knows of the sources."""
        return tuple(source.row() for source in self.finder.sources.values())


@asynccontextmanager
async def finding(folder: Path, *patterns: str, **circumstances: Any) -> AsyncIterator[Finding]:
    """Find, and close."""
    found = Finding(folder, *patterns, **circumstances)
    try:
        yield found
    finally:
        found.finder.close()


def in_loop(scenario: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Run a test in an event loop."""

    def test(tmp_path: Path) -> None:
        with capture_logs():
            asyncio.run(scenario(tmp_path))

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


def files(folder: Path, **contents: str) -> None:
    """Write files; `__` in a name is a folder, `_` a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@in_loop
async def test_globs_reach_as_far_as_they_say(tmp_path: Path) -> None:
    """`*` in its folder, `**` below it; folders, sockets and dangling links are no sources; later ones are found."""
    files(tmp_path, a_log="1", b_txt="1", sub__c_log="1", sub__deep__d_log="1")
    (tmp_path / "folder.log").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.log"))
    (tmp_path / "dangling.log").symlink_to("nothing")
    async with finding(tmp_path) as found:
        assert set(found.look()) == {"a.log"}
        files(tmp_path, later_log="1")
        assert set(found.look()) == {"a.log", "later.log"}
    async with finding(tmp_path, "**/*.log") as found:
        assert set(found.look()) == {"a.log", "later.log", "sub/c.log", "sub/deep/d.log"}
        assert sorted(id_ for id_, _ in found.state().values()) == [1, 2, 3, 4]


@in_loop
async def test_excluded_folders_are_not_read(tmp_path: Path) -> None:
    """hostd's own output is not its input, also through a link."""
    files(tmp_path, a_log="1", out__b_log="1", outer__c_log="1")
    (tmp_path / "link.log").symlink_to(tmp_path / "out" / "b.log")
    async with finding(tmp_path, "**/*.log", excluded=(tmp_path / "out",)) as found:
        assert set(found.look()) == {"a.log", "outer/c.log"}


@in_loop
async def test_other_settings_hold_for_open_files_and_keep_what_was_rotated(tmp_path: Path) -> None:
    """Moved away it is named by no glob, and read to its end all the same, where its folder still is ours."""
    files(tmp_path, a_log="1\n2\n", b_log="1\n2\n", sub__c_log="1\n2\n")
    async with finding(tmp_path, "*.log", "sub/*.log") as found:
        found.look()
        for name in ("b.log", "sub/c.log"):
            found.read(name, 2)
            (tmp_path / name).rename(tmp_path / f"{name}.1")
        found.look()
        config = FileSourceConfig(paths=(f"{tmp_path}/*.log",), processor="chosen", partial_line_s=9.0)
        assert [source.name for source in found.finder.reconfigure((config,))] == ["sub/c.log"]
        assert found.source("b.log").moved_away
        assert (found.source("a.log").processor, found.source("a.log").partial_line_s) == ("chosen", 9.0)


@in_loop
async def test_what_is_excluded_may_change_and_may_lie_behind_a_link(tmp_path: Path) -> None:
    """The sources that lie there are returned; and what was rotated there while nobody looked is not adopted."""
    for name in ("a", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.log").write_text(f"{name}\n")
    (tmp_path / ".link").symlink_to("out")
    async with finding(tmp_path, "**/*") as found:
        assert found.look().keys() == {"a/x.log", "out/x.log"}
        found.read("out/x.log", 2)
        rows = found.rows()
        [hidden] = found.finder.exclude([tmp_path / ".link"])
        assert hidden.name == "out/x.log"
        found.finder.release(hidden, "a sink writes it now")
        assert found.look().keys() == {"a/x.log"}
        assert found.finder.exclude([]) == []
        assert found.look().keys() == {"a/x.log", "out/x.log"}
    async with finding(tmp_path, "*", rows=rows, excluded=(tmp_path / ".link",)) as found:
        assert found.look() == {}


@in_loop
async def test_only_what_lies_in_the_folders_of_the_globs_is_adopted(tmp_path: Path) -> None:
    """Not what lies beside them, under a name that begins alike."""
    for name in ("logs", "logs2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.log").write_text("1\n2\n")
    async with finding(tmp_path, "logs*/x.log") as found:
        found.look()
        for name in ("logs/x.log", "logs2/x.log"):
            found.read(name, 2)
        rows = found.rows()
    for name in ("logs", "logs2"):
        (tmp_path / name / "x.log").rename(tmp_path / name / "x.log.1")
    async with finding(tmp_path, "logs/*.log", rows=rows) as found:
        assert found.look().keys() == {"logs/x.log"}


@in_loop
async def test_one_file_under_two_names_is_one_source(tmp_path: Path) -> None:
    """Hard link, symbolic link, or two globs: its bytes are read once."""
    files(tmp_path, a_log="1")
    os.link(tmp_path / "a.log", tmp_path / "b.log")
    (tmp_path / "c.log").symlink_to("a.log")
    async with finding(tmp_path, "*.log", "a*") as found:
        assert found.look() == {"a.log": (1, 0)}
        (tmp_path / "a.log").unlink()
        found.look()
        assert len(found.finder.sources) == 1
        assert found.source("a.log").path == str(tmp_path / "b.log")


@in_loop
async def test_a_renamed_file_goes_on_where_it_was_read(tmp_path: Path) -> None:
    """Inside the globs or out of them: the rest of it is read, and its successor is another source."""
    files(tmp_path, a_log="one\ntwo\n")
    async with finding(tmp_path) as found:
        found.look()
        found.read("a.log", 4)
        (tmp_path / "a.log").rename(tmp_path / "a.log.1")
        files(tmp_path, a_log="new\n")
        found.look()
        old, new = found.finder.sources.values()
        assert (old.path, old.offset, old.moved_away) == (str(tmp_path / "a.log.1"), 4, True)
        assert (new.path, new.offset, new.id) == (str(tmp_path / "a.log"), 0, 2)


@in_loop
async def test_a_restart_goes_on_where_the_ledger_says(tmp_path: Path) -> None:
    """By identity and contents, under its first name, and new sources get new numbers."""
    files(tmp_path, a_log="one\ntwo\n")
    async with finding(tmp_path) as found:
        found.look()
        found.read("a.log", 4)
        rows = found.rows()
    (tmp_path / "a.log").rename(tmp_path / "b.log")
    files(tmp_path, c_log="x")
    async with finding(tmp_path, rows=rows) as found:
        assert found.look() == {"a.log": (1, 4), "c.log": (2, 0)}
        assert found.source("a.log").committed.offset == 4


@pytest.mark.parametrize("content", ["", "on", "other, longer than before\n"], ids=["empty", "shorter", "longer"])
def test_a_file_that_was_rewritten_while_nobody_looked_is_read_from_its_start(tmp_path: Path, content: str) -> None:
    """The inode is the same, and what was read is not there: it is another source."""

    @in_loop
    async def scenario(folder: Path) -> None:
        files(folder, a_log="one\ntwo\n")
        async with finding(folder) as found:
            found.look()
            found.read("a.log", 8)
            rows = found.rows()
        (folder / "a.log").write_text(content)
        async with finding(folder, rows=rows) as found:
            assert found.look() == {"a.log": (2, 0)}

    scenario(tmp_path)


@in_loop
async def test_a_copy_is_not_read_again(tmp_path: Path) -> None:
    """copytruncate: what was read of the original was read of the copy; what came after is read there."""
    files(tmp_path, a_log="x" * 299 + "\ntwo\n")
    async with finding(tmp_path, "a.log*") as found:
        found.look()
        found.read("a.log", 300)
        shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
        os.truncate(tmp_path / "a.log", 0)
        found.look()
        assert found.source("a.log.1").offset == 300
        source = found.source("a.log")
        assert source.was_rewritten()
        found.finder.rewritten(source)
        assert (source.id, source.offset) == (3, 0)


@in_loop
async def test_a_copy_that_holds_less_than_was_read_is_known_by_where_reading_stopped(tmp_path: Path) -> None:
    """The original went on after it was copied; another file of that length that only begins alike is read whole."""
    files(tmp_path, a_log="x" * 299 + "\none\n")
    async with finding(tmp_path, "a.log*") as found:
        found.look()
        found.read("a.log", 304)
        shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
        (tmp_path / "a.log.2").write_text("x" * 299 + "\ntwo\n")
        with (tmp_path / "a.log").open("a") as file:
            file.write("more\n")
        found.read("a.log", 309)
        found.look()
        assert found.source("a.log.1").offset == 304
        assert found.source("a.log.2").offset == 0


@in_loop
async def test_an_unrelated_file_is_no_copy(tmp_path: Path) -> None:
    """Another name with the same bytes is a source of its own."""
    files(tmp_path, a_log="one\n")
    async with finding(tmp_path) as found:
        found.look()
        found.read("a.log", 4)
        shutil.copy(tmp_path / "a.log", tmp_path / "z.log")
        assert found.look()["z.log"] == (2, 0)


@in_loop
async def test_a_file_rotated_out_of_the_globs_while_nobody_looked_is_read_to_its_end(tmp_path: Path) -> None:
    """Where it lies now does not matter; one that was read to its end is left."""
    files(tmp_path, a_log="one\ntwo\n", b_log="all\n")
    async with finding(tmp_path) as found:
        found.look()
        found.read("a.log", 4)
        found.read("b.log", 4)
        rows = found.rows()
    (tmp_path / "a.log").rename(tmp_path / "a.old")
    (tmp_path / "b.log").rename(tmp_path / "b.old")
    files(tmp_path, a_log="new\n")
    async with finding(tmp_path, rows=rows) as found:
        found.look()
        old, new = sorted(found.finder.sources.values(), key=lambda source: source.id)
        assert (old.path, old.offset, old.moved_away) == (str(tmp_path / "a.old"), 4, True)
        assert (new.path, new.offset) == (str(tmp_path / "a.log"), 0)


@in_loop
async def test_released_sources_are_closed_and_known_again(tmp_path: Path) -> None:
    """What is dropped by new settings goes on where it was when it is named again."""
    files(tmp_path, a_log="one\ntwo\n", b_txt="x")
    async with finding(tmp_path) as found:
        found.look()
        found.read("a.log", 4)
        before = found.finder._configs
        [dropped] = found.finder.reconfigure((FileSourceConfig(paths=(f"{tmp_path}/*.txt",)),))
        found.finder.release(dropped, "not named")
        assert dropped.fd == -1
        assert found.look() == {"b.txt": (2, 0)}
        found.finder.reconfigure(before)
        assert found.look()["a.log"] == (1, 4)


@in_loop
async def test_a_removed_file_stays_open_until_it_has_ended(tmp_path: Path) -> None:
    """Its writer may still have it; what is in it is read."""
    files(tmp_path, a_log="one\n")
    async with finding(tmp_path) as found:
        found.look()
        (tmp_path / "a.log").unlink()
        assert found.look() == {"a.log": (1, 0)}
        source = found.source("a.log")
        assert source.moved_away
        assert source.read(0, 9) == b"one\n"
        assert found.gone == []
        long_ago = 1_000_000_000
        os.utime(source.fd, (long_ago, long_ago))
        found.finder._check_ended(source)
        assert found.gone == [source]


@pytest.mark.parametrize(
    ("pattern", "folder", "recursive"),
    [
        ("/var/log/*.log", "/var/log", False),
        ("/var/log/a.log", "/var/log", False),
        ("/var/**/*.log", "/var", True),
        ("/var/*/a.log", "/var", True),
    ],
)
def test_watched_folder_is_what_has_no_wildcard(pattern: str, folder: str, recursive: bool) -> None:
    """As little as the glob needs."""
    assert watched_folder(pattern) == (Path(folder), recursive)
