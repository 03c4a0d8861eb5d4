"""Which processor takes each file of the corpus; what it makes of it is for the scoreboard to say (`make corpus`).

The rows of `corpus.csv` are the floor. `fits` says whether the processor is that of the file's format (`format`), a
general one that fits it (`general`), or neither (`no`); `why` says why a file is short of its truth.
"""

from pathlib import Path

import pytest

from tests.processors import support
from tests.processors.corpus import CORPUS, NO_CORPUS, Entry, entries
from tests.processors.floor import read_floor
from tests.processors.test_evtx import MANIFEST as EVTX

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=NO_CORPUS)

MANIFESTS = [*support.SHIPPED_MANIFESTS, EVTX]
PACKED = (".gz", ".bz2", ".xz")


def name_of(path: str) -> str:
    """Return the name that a processor is asked about: that of the log in an archive."""
    name = Path(path).name
    return name.removesuffix(Path(name).suffix) if name.endswith(PACKED) else name


@pytest.mark.parametrize("row", read_floor().values(), ids=lambda row: str(row["path"]))
def test_a_file_of_the_corpus_goes_to_the_processor_of_its_row(row: dict[str, str]) -> None:
    data = Entry(row["path"], "").content()
    if data:
        assert support.taker(name_of(row["path"]), data, MANIFESTS) == (row["processor"] or None)


def test_every_file_of_the_corpus_has_a_row_and_what_is_short_has_a_reason() -> None:
    floor = read_floor()
    assert {entry.path for entry in entries()} == set(floor)
    unexplained = [path for path, row in floor.items() if row["right"] != row["expected"] and not row["why"]]
    assert unexplained == []
