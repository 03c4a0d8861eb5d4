"""The scoreboard: `hostd parse` on every file of the corpus, with nothing named, against the files' truth.

`python -m tests.processors.scoreboard` prints a table by format, the total, and what is short with its reason, and
ends with 1 where a file came out worse than `corpus.csv` says, which is the floor; `--raise` raises that.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processors.comparing import Score, compare
from tests.processors.corpus import CORPUS, NO_CORPUS, Entry, entries

ROOT = Path(__file__).parents[2]
WHEEL = ROOT / "examples" / "wheels" / "evtx"
TABLE = Path(__file__).with_name("corpus.csv")
COLUMNS = ("path", "processor", "fits", "records", "rejected", "right", "expected", "why")
AT_ONCE = 40
TIMEOUT_S = 240


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


def install(plugins: Path) -> None:
    """Put the processors that ship into a plugins folder: those of one file, and the one that is a wheel."""
    for path in (ROOT / "plugins.d").glob("*.py"):
        shutil.copy(path, plugins)
    with tempfile.TemporaryDirectory(prefix="hostd-wheel-") as name:
        project = shutil.copytree(WHEEL, Path(name) / "project")
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(plugins), str(project)]
        subprocess.run(command, check=True, capture_output=True)


def parse_all(chosen: Iterable[Entry], plugins: Path) -> list[Became]:
    """Parse files, some at a time; one that takes the command down is tried alone."""
    became: list[Became] = []
    left = list(chosen)
    while left:
        batch, left = left[:AT_ONCE], left[AT_ONCE:]
        found = _parse(batch, plugins)
        if found is None and len(batch) > 1:
            became += [each for entry in batch for each in _parse([entry], plugins) or [_dead(entry)]]
        else:
            became += found or [_dead(batch[0])]
    return became


def _dead(entry: Entry) -> Became:
    return Became(entry, None, compare(entry, [], []))


def _parse(batch: list[Entry], plugins: Path) -> list[Became] | None:
    with tempfile.TemporaryDirectory(prefix="hostd-corpus-") as name:
        folder = Path(name)
        report, out = folder / "report.jsonl", folder / "records.ndjson"
        command = [sys.executable, "-m", "hostd", "parse", "--plugins", str(plugins), "--report", str(report)]
        command += ["-o", str(out), *(str(CORPUS / entry.path) for entry in batch)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return None
        reports = {each["file"]: each for each in map(json.loads, report.read_bytes().splitlines())}
        if done.returncode not in (0, 1) or len(reports) < len(batch):
            print(done.stderr[-2000:], file=sys.stderr)
            return None
        records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with out.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                records[record["@source"]].append(record)
        return [_became(entry, reports[str(CORPUS / entry.path)], records) for entry in batch]


def _became(entry: Entry, report: dict[str, Any], records: dict[str, list[dict[str, Any]]]) -> Became:
    content = entry.content() if report["rejections"] else b""
    rejected = [content[each["offset"] :].partition(b"\n")[0] for each in report["rejections"]]
    return Became(entry, report, compare(entry, records[report["file"]], rejected))


def read_floor() -> dict[str, dict[str, str]]:
    """Return the floor by path."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["path"]: {name: row.get(name) or "" for name in COLUMNS} for row in csv.DictReader(file)}


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


def raised(became: list[Became], floor: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Return the floor as it is now; reasons stay."""
    rows = []
    for each in sorted(became, key=lambda each: each.entry.path):
        row, rejected = floor.get(each.entry.path, {}), (each.report or {}).get("rejected", 0)
        numbers = (each.score.records, rejected, each.score.right, each.score.expected)
        fits = row.get("fits", "") if row.get("processor") == each.processor else ""
        told = (each.entry.path, each.processor, fits or ("format" if each.processor else "no"), *map(str, numbers))
        rows.append(dict(zip(COLUMNS, (*told, row.get("why", "")), strict=True)))
    return rows


def main() -> int:
    """Print the board; return 1 where something is worse than the floor."""
    parser = argparse.ArgumentParser(prog="python -m tests.processors.scoreboard", description=__doc__)
    parser.add_argument("paths", nargs="*", help="files of the corpus, by their path in it (default: all)")
    parser.add_argument("--raise", dest="raises", action="store_true", help="write what is better into corpus.csv")
    parser.add_argument("--missing", action="store_true", help="show values that the truth has, and no record")
    options = parser.parse_args()
    if not CORPUS.is_dir():
        print(NO_CORPUS)
        return 0
    began = time.monotonic()
    chosen = [entry for entry in entries() if not options.paths or entry.path in options.paths]
    with tempfile.TemporaryDirectory(prefix="hostd-plugins-") as plugins:
        install(Path(plugins))
        became = parse_all(chosen, Path(plugins))
    floor = read_floor()
    if options.raises:
        rows = [row for path, row in floor.items() if path not in {entry.path for entry in chosen}]
        rows = sorted(rows + raised(became, floor), key=lambda row: row["path"])
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        floor = read_floor()
    from tests.processors.board import show

    problems = {each.entry.path: found for each in became if (found := worse(each, floor.get(each.entry.path)))}
    print(show(became, floor, missing=options.missing))
    print(f"{len(became)} files in {time.monotonic() - began:.0f} s")
    for path, found in problems.items():
        print(f"WORSE {path}: {'; '.join(found)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
