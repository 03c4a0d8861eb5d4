"""The scoreboard: `hostd parse` on every file of the corpus, with nothing named, against the files' truth.

`python -m tests.processors.scoreboard` prints a table by format, the total, and what is short with its reason, and
ends with 1 where a file came out worse than `corpus.csv` says, which is the floor; `--raise` raises that.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.processors.board import show
from tests.processors.comparing import compare
from tests.processors.corpus import CORPUS, NO_CORPUS, Entry, entries
from tests.processors.floor import Became, raised, read_floor, worse, write_floor

ROOT = Path(__file__).parents[2]
WHEEL = ROOT / "examples" / "wheels" / "evtx"
AT_ONCE = 80
"""How many files a command parses: each has to start all processors first."""
TIMEOUT_S = 240


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
        written = report.read_bytes() if report.exists() else b""
        reports = {each["file"]: each for each in map(json.loads, written.splitlines())}
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
        floor = raised(became, floor)
        write_floor(floor)
    problems = {each.entry.path: found for each in became if (found := worse(each, floor.get(each.entry.path)))}
    print(show(became, floor, missing=options.missing))
    print(f"{len(became)} files in {time.monotonic() - began:.0f} s")
    for path, found in problems.items():
        print(f"WORSE {path}: {'; '.join(found)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
