"""Which processor takes each file of the corpus, and what it makes of it: a floor that only rises.

The share of values is of those that the truth names and that occur in the record, or anywhere in the file where records
do not correspond. What is short, and why, is told beside the row.
"""

import csv
import io
from pathlib import Path

import pytest

from contract.testing import Outcome
from tests.processors import support
from tests.processors.corpus import CORPUS, NO_CORPUS, Entry, entries, expected_values, values

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=NO_CORPUS)

TABLE = Path(__file__).with_name("corpus.csv")
ROWS = list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))
PACKED = (".gz", ".bz2", ".xz")


def name_of(path: str) -> str:
    """Return the name that a processor is asked about: that of the log in an archive."""
    name = Path(path).name
    return name.removesuffix(Path(name).suffix) if name.endswith(PACKED) else name


def compared(entry: Entry, outcome: Outcome) -> tuple[int, int]:
    """Return how many of the truth's values are right, and how many there are."""
    truth = entry.truth()
    found = [set(values(record)) for record in outcome.records]
    anywhere = set[str]().union(*found)
    bodies = {str(record.get("body", "")).strip() for record in outcome.records}
    right = expected = 0
    for item in truth.get("items", []):
        there = found[item["i"]] if len(found) == truth.get("records") else anywhere
        wanted = expected_values(item)
        expected += len(wanted)
        right += sum(value in there or value in anywhere for value in wanted)
        if "text" in item:
            expected += 1
            right += str(item["text"]).strip() in bodies
    return right, expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["path"]))
def test_a_file_of_the_corpus_comes_out_at_least_as_well_as_before(row: dict[str, str]) -> None:
    entry = Entry(row["path"], "")
    data = entry.content()
    taker = support.taker(name_of(entry.path), data)
    assert taker == (row["processor"] or None)
    if taker is None:
        return
    outcome = support.parse_source(taker, data)
    right, _ = compared(entry, outcome)
    assert len(outcome.records) >= int(row["records"])
    assert len(outcome.rejected) <= int(row["rejected"]), outcome.rejected
    assert right >= int(row["right"])


def test_no_file_of_the_corpus_ties() -> None:
    for entry in entries():
        support.taker(name_of(entry.path), entry.content())
