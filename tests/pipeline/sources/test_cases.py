"""What happens to log files, one row each: to a file that was read and to one that was not, watched and unwatched.

Each row says what is done to `a.log`, which holds `BEFORE`, and which lines that adds. All lines come out once; only a
row that `loses` may take with it what nobody had read.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.pipeline.sources.reading import PACK, Reading, copy_and_truncate, in_loop, pack, write

BEFORE = [f"before {number}, long enough to be known again" for number in range(12)]
SAME = BEFORE[0]


@dataclass(frozen=True)
class Row:
    """One thing that is done to a log."""

    what: str
    does: Callable[[Path], list[str]]
    loses: bool = False


def renamed(log: Path) -> list[str]:
    log.rename(log.with_name("a.log.1"))
    write(log, "new")
    return ["new"]


def renamed_while_written(log: Path) -> list[str]:
    with log.open("a") as writer:
        log.rename(log.with_name("a.log.1"))
        write(log, "new")
        writer.write("late\n")
    return ["new", "late"]


def renamed_thrice(log: Path) -> list[str]:
    for turn in range(3):
        for number in range(turn, 0, -1):
            log.with_name(f"a.log.{number}").rename(log.with_name(f"a.log.{number + 1}"))
        log.rename(log.with_name("a.log.1"))
        write(log, f"turn {turn}")
    return ["turn 0", "turn 1", "turn 2"]


def renamed_by_date(log: Path) -> list[str]:
    log.rename(log.with_name("a.log-20240131"))
    write(log, "new")
    return ["new"]


def renamed_with_the_same_first_line(log: Path) -> list[str]:
    log.rename(log.with_name("a.log.1"))
    write(log, "new")
    write(log.with_name("a.log.9"), "new")
    return ["new", "new"]


def copied_and_truncated(log: Path) -> list[str]:
    copy_and_truncate(log, log.with_name("a.log.1"))
    write(log, "new")
    return ["new"]


def copied_and_truncated_twice(log: Path) -> list[str]:
    copy_and_truncate(log, log.with_name("a.log.1"))
    write(log, *(f"between {number}, about as long as before" for number in range(20)))
    log.with_name("a.log.1").rename(log.with_name("a.log.2"))
    copy_and_truncate(log, log.with_name("a.log.1"))
    write(log, "new")
    return [*(f"between {number}, about as long as before" for number in range(20)), "new"]


def copied_and_begun_alike(log: Path) -> list[str]:
    copy_and_truncate(log, log.with_name("a.log.1"))
    write(log, SAME, "new")
    return [SAME, "new"]


def copied_and_begun_alike_and_longer(log: Path) -> list[str]:
    copy_and_truncate(log, log.with_name("a.log.1"))
    new = [SAME, *(f"new {number}, and more than there was before" for number in range(40))]
    write(log, *new)
    return new


def copied_and_left_with_a_hole(log: Path) -> list[str]:
    with log.open("r+") as writer:
        writer.seek(0, os.SEEK_END)
        copy_and_truncate(log, log.with_name("a.log.1"))
        writer.write("after the hole\nnew\n")
    return ["after the hole", "new"]


def truncated(log: Path) -> list[str]:
    os.truncate(log, 0)
    write(log, "new")
    return ["new"]


def truncated_and_begun_alike(log: Path) -> list[str]:
    os.truncate(log, 0)
    new = [SAME, *(f"new {number}, and more than there was before" for number in range(40))]
    write(log, *new)
    return new


def truncated_with_a_large_hole(log: Path) -> list[str]:
    os.truncate(log, 0)
    os.truncate(log, 3 << 20)
    write(log, "after the hole")
    return ["after the hole"]


def truncated_with_stored_nuls(log: Path) -> list[str]:
    log.write_bytes(bytes(200_000) + b"after the nuls\n")
    return ["after the nuls"]


def removed_and_made_anew(log: Path) -> list[str]:
    log.unlink()
    write(log, "new")
    return ["new"]


def removed_and_begun_alike(log: Path) -> list[str]:
    log.unlink()
    write(log, SAME, "new")
    return [SAME, "new"]


def saved_by_an_editor(log: Path) -> list[str]:
    shutil.copy(log, log.with_name(".a.log.swp"))
    write(log.with_name(".a.log.swp"), "added")
    log.with_name(".a.log.swp").replace(log)
    return ["added"]


def linked(log: Path) -> list[str]:
    os.link(log, log.with_name("a.log.link"))
    log.with_name("a.log.soft").symlink_to(log)
    write(log, "new")
    return ["new"]


def packed(suffix: str) -> Callable[[Path], list[str]]:
    def does(log: Path) -> list[str]:
        log.rename(log.with_name("a.log.1"))
        write(log.with_name("a.log.1"), "last")
        write(log, "new")
        pack(log.with_name("a.log.1"), suffix)
        return ["last", "new"]

    return does


def packed_a_turn_later(log: Path) -> list[str]:
    log.rename(log.with_name("a.log.1"))
    write(log, "second")
    pack(log.with_name("a.log.1")).rename(log.with_name("a.log.2.gz"))
    log.rename(log.with_name("a.log.1"))
    write(log, "third")
    return ["second", "third"]


def packed_by_name_of_the_day(log: Path) -> list[str]:
    pack(log).rename(log.with_name("2024-01-31-a.log.gz"))
    write(log, "new")
    return ["new"]


def copied_truncated_and_packed(log: Path) -> list[str]:
    copy_and_truncate(log, log.with_name("a.log.1"))
    pack(log.with_name("a.log.1"))
    write(log, "new")
    return ["new"]


def packed_in_two_members(log: Path) -> list[str]:
    content = log.read_bytes()
    log.unlink()
    middle = len(content) // 2
    log.with_name("a.log.1.gz").write_bytes(PACK[".gz"](content[:middle]) + PACK[".gz"](content[middle:] + b"last\n"))
    return ["last"]


def begun_like_an_old_one_but_shorter(log: Path) -> list[str]:
    """A banner of more than a fingerprint, as many programs write it, is not what makes a copy."""
    shorter = [*BEFORE[:8], "another"]
    write(log.with_name("a.log.1"), *shorter)
    return shorter


def continued_by_halves(log: Path) -> list[str]:
    write(log, "first ha", end="")
    write(log, "lf", "second")
    return ["first half", "second"]


def continued_with_windows_ends(log: Path) -> list[str]:
    write(log, "one\r", "two\r", "three\r", end="")
    write(log, "", "four\r")
    return ["one", "two", "three", "four"]


def continued_with_no_text(log: Path) -> list[str]:
    with log.open("ab") as file:
        file.write(b"caf\xe9 \xff\xfe\n\0in the middle\0\n")
    return ["caf\\xe9 \\xff\\xfe", "\0in the middle\0"]


ROWS = [
    Row("renamed", renamed),
    Row("renamed while its writer goes on", renamed_while_written),
    Row("renamed three times in a row", renamed_thrice),
    Row("renamed by date", renamed_by_date),
    Row("renamed, and two begin with the same line", renamed_with_the_same_first_line),
    Row("copied and truncated", copied_and_truncated),
    Row("copied and truncated twice", copied_and_truncated_twice),
    Row("copied and truncated, with the same first line", copied_and_begun_alike),
    Row("copied and truncated, with the same first line, and longer", copied_and_begun_alike_and_longer),
    Row("copied and truncated under a writer that keeps its place", copied_and_left_with_a_hole),
    Row("truncated", truncated, loses=True),
    Row("truncated, with the same first line", truncated_and_begun_alike, loses=True),
    Row("truncated, with a large hole", truncated_with_a_large_hole, loses=True),
    Row("truncated, with stored NULs", truncated_with_stored_nuls, loses=True),
    Row("removed and made anew, maybe with the same inode", removed_and_made_anew, loses=True),
    Row("removed and made anew with the same first line", removed_and_begun_alike, loses=True),
    Row("saved by an editor", saved_by_an_editor),
    Row("linked", linked),
    *(Row(f"packed as {suffix}", packed(suffix)) for suffix in PACK),
    Row("packed a turn later", packed_a_turn_later),
    Row("packed under a name of its own", packed_by_name_of_the_day),
    Row("copied, truncated and packed", copied_truncated_and_packed),
    Row("packed in two members", packed_in_two_members),
    Row("joined by one that begins alike and is shorter", begun_like_an_old_one_but_shorter),
    Row("continued by halves of lines", continued_by_halves),
    Row("continued with Windows line ends", continued_with_windows_ends),
    Row("continued with what is no text", continued_with_no_text),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
@pytest.mark.parametrize("watched", [True, False], ids=["watched", "unwatched"])
@pytest.mark.parametrize("known", [True, False], ids=["read", "unread"])
def test_every_line_comes_out_once(tmp_path: Path, row: Row, *, watched: bool, known: bool) -> None:
    """While hostd runs or is stopped; to a file that it has read, or has not seen."""

    async def scenario() -> None:
        reading = Reading(tmp_path, "*a.log*")
        log = write(tmp_path / "a.log", *BEFORE)
        reading.start()
        if known:
            await reading.look()
        if not watched:
            reading.stop()
        new = row.does(log)
        if watched:
            await reading.look()
            await reading.pass_time()
            reading.stop()
        for _ in range(2):  # and nothing comes again with the next start
            reading.start()
            await reading.pass_time()
            await reading.pass_time()
            reading.stop()
        before = [] if row.loses and not known else BEFORE
        assert sorted(reading.lines) == sorted([*before, *new])
        in_order = [line for line in before if line not in new]
        assert [line for line in reading.lines if line in in_order] == in_order

    with capture_logs():
        in_loop(scenario)


def test_a_link_that_is_switched_leads_to_the_rest_of_the_old_file_and_all_of_the_new(tmp_path: Path) -> None:
    """`current.log` names yesterday's file, then today's; the globs name the link alone."""

    async def scenario() -> None:
        old, new = write(tmp_path / "1.txt", *BEFORE), write(tmp_path / "2.txt", "new")
        link = tmp_path / "current.log"
        link.symlink_to(old)
        reading = Reading(tmp_path, "*.log")
        reading.start()
        await reading.look()
        write(old, "last of the old")
        link.unlink()
        link.symlink_to(new)
        await reading.pass_time()
        assert sorted(reading.lines) == sorted([*BEFORE, "last of the old", "new"])
        reading.stop()
        reading.start()
        write(new, "newer")
        await reading.look()
        reading.stop()
        assert reading.lines[-1] == "newer"
        assert len(reading.lines) == len(BEFORE) + 3

    with capture_logs():
        in_loop(scenario)


@pytest.mark.parametrize("suffix", PACK)
def test_a_line_over_the_limit_in_an_archive_is_set_aside_and_the_next_one_read(tmp_path: Path, suffix: str) -> None:
    """Without more of it in memory than the limit and a piece."""

    async def scenario() -> None:
        log = write(tmp_path / "a.log", "before", "x" * (5 << 20), "after")
        pack(log, suffix)
        reading = Reading(tmp_path, record=1 << 16)
        reading.start()
        await reading.pass_time()
        assert reading.lines == ["before", "after"]
        assert reading.too_long == [(5 << 20) + 1]
        content = reading.source("a.log" + suffix).unpacked
        assert content is not None
        assert len(content._window) < 2 << 20
        reading.stop()

    with capture_logs():
        in_loop(scenario)


def test_the_last_line_of_an_archive_needs_no_end(tmp_path: Path) -> None:
    """Nothing will be appended to it."""

    async def scenario() -> None:
        pack(write(tmp_path / "a.log", "one", "two", end=""))
        reading = Reading(tmp_path)
        reading.start()
        await reading.look()
        assert reading.lines == [], "it is left alone as long as it may be being written"
        await reading.pass_time()
        assert reading.lines == ["one", "two"]
        reading.stop()

    with capture_logs():
        in_loop(scenario)
