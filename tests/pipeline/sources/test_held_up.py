"""Copies of a log of which batches are under way: what counts as read of them is committed."""

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.pipeline.sources.reading import Reading, in_loop, pack, write

LINES = [f"line {number}, long enough to be known again" for number in range(12)]


@pytest.mark.parametrize("is_packed", [False, True], ids=["a copy", "an archive"])
def test_a_copy_waits_until_what_was_read_of_its_log_is_committed(tmp_path: Path, is_packed: bool) -> None:
    """However old it is: if the batch must be read again, the copy may be all that there is of it."""

    async def scenario() -> None:
        reading = Reading(tmp_path, "a.log*", lags=True)
        log = write(tmp_path / "a.log", *LINES)
        reading.start()
        await reading.look()
        assert reading.source("a.log").reached.offset == log.stat().st_size
        copy = tmp_path / "a.log.1"
        shutil.copy(log, copy)
        name = (pack(copy) if is_packed else copy).name
        for _ in range(2):
            await reading.pass_time()
            found = [source for source in reading.sources if source.name == name]
            assert [source.copy_of for source in found] == [None] * is_packed
        assert reading.rows == {}, "nothing is committed, and nothing is said to have been read"
        reading.commits.commit()
        await reading.pass_time()
        found = [source for source in reading.sources if source.name == name]
        assert [source.reached.offset for source in found] == [log.stat().st_size]
        reading.commits.commit()
        reading.stop()
        assert reading.lines == LINES

    with capture_logs():
        in_loop(scenario)
