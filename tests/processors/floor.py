"""What became of each file of the corpus, and the floor that it must not fall below: `corpus.csv`."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processors.comparing import Score
from tests.processors.corpus import Entry

TABLE = Path(__file__).with_name("corpus.csv")
COLUMNS = ("path", "processor", "fits", "records", "rejected", "right", "expected", "why")
Floor = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a file: hostd's report of it, and how that compares; no report when the command died."""

    entry: Entry
    report: dict[str, Any] | None
    score: Score

    @property
    def processor(self) -> str:
        """The processor that took it, empty for none."""
        return (self.report or {}).get("processor") or ""

    @property
    def is_whole(self) -> bool:
        """Tell whether every byte of it was handed to the processor, or none, since it waits."""
        return self.report is not None and (not self.processor or self.report["read"] == self.report["bytes"])


def read_floor() -> Floor:
    """Return the floor by path."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["path"]: {name: row.get(name) or "" for name in COLUMNS} for row in csv.DictReader(file)}


def write_floor(floor: Floor) -> None:
    """Write the floor, by path."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(floor[path] for path in sorted(floor))


def worse(each: Became, row: dict[str, str] | None) -> list[str]:
    """Tell in what a file came out worse than its row, or not at all as it must."""
    problems = []
    if each.report is None:
        problems.append("hostd parse crashed or hung")
    elif not each.is_whole:
        problems.append(f"{each.report['read']} of {each.report['bytes']} bytes were read: {each.report['trouble']}")
    if row is None:
        return [*problems, "has no row; add it with --raise"]
    if each.processor != row["processor"]:
        problems.append(f"went to {each.processor or 'none'}, not to {row['processor'] or 'none'}")
    floors = (("records", each.score.records), ("right", each.score.right))
    problems += [f"{name} {now}, were {row[name]}" for name, now in floors if now < int(row[name] or 0)]
    if each.report and row["rejected"] and each.report["rejected"] > int(row["rejected"]):
        problems.append(f"rejected {each.report['rejected']}, were {row['rejected']}")
    return problems


def is_short(each: Became) -> bool:
    """Tell whether a file did not come out wholly as its truth says."""
    score = each.score
    return not each.processor or score.right < score.expected or score.records < (score.expected_records or 0)


def raised(became: list[Became], floor: Floor) -> Floor:
    """Return the floor as these files are now; reasons, and other files, stay."""
    rows = dict(floor)
    for each in became:
        row, rejected = floor.get(each.entry.path, {}), (each.report or {}).get("rejected", 0)
        numbers = (each.score.records, rejected, each.score.right, each.score.expected)
        fits = row.get("fits", "") if row.get("processor") == each.processor else ""
        told = (each.entry.path, each.processor, fits or ("format" if each.processor else "no"), *map(str, numbers))
        rows[each.entry.path] = dict(zip(COLUMNS, (*told, row.get("why", "")), strict=True))
    return rows
