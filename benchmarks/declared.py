"""Formats without code: MiB/s of one worker, beside a plugin in Python that uses the same expression line by line.

The access log, batch after batch through the pool's own path: frames, parsing and encoding in the worker. The rounds
alternate. The last rows show what RE2 costs, for which Python's `re` is taken where that is safe.
"""

import asyncio
import re
import tempfile
import time
from pathlib import Path

from benchmarks import corpus
from benchmarks.measure import MIB, Report, Target
from contract.declared.expression import read_expression
from contract.declared.grok import Grok
from hostd.plugins import artifact, proof
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation
from hostd.workers.pool import Batch, Pool

BATCH_BYTES = 256 << 10
TARGET_RATIO = 0.9

REGEX = (
    r"(?P<client>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) (?P<protocol>[^"\s]+)" (?P<status>\d{3}) (?P<bytes>\d+|-)'
    r' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)
GROK = "%{COMBINEDAPACHELOG}"
DISSECT = (
    '%{client} %{ident} %{user} [%{time}] "%{method} %{path} %{protocol}" %{status} %{bytes} "%{referer}" "%{agent}"'
)
AMBIGUOUS = REGEX.replace(r"[^\]]+", ".*?").replace('[^"]*', ".*?").replace(r"\S+", ".*?")

_HAND = """\
# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "{name}"
# version = "1.0.0"
# contract = ">=1.0,<2"
# ///
import re

from contract import Processor, Record, each_line

_LINE = re.compile({expression!r})


def parse(line: str) -> Record:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("does not match")
    record = found.groupdict()
    record["{status}"] = int(record["{status}"])
    return record


def new_processor() -> Processor:
    return each_line(parse)
"""


def run(*, quick: bool) -> Report:
    """Measure; 3 rounds when quick, else 15; the first round of each is thrown away."""
    return asyncio.run(_run((3 if quick else 15) + 1, (2 if quick else 8) * MIB))


async def _run(rounds: int, size: int) -> Report:
    report = Report("declared")
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        corpus.write(folder / "access.log", size)
        data = (folder / "access.log").read_bytes()[:size]
        batches = _batches(data[: data.rfind(b"\n") + 1])
        pool = Pool(1, 60.0)
        generations = {
            label: _generation(folder, number, *what, pool) for number, (label, what) in enumerate(_KINDS.items())
        }
        samples: dict[str, list[float]] = {label: [] for label in generations}
        records: dict[str, int] = {}
        try:
            for generation in generations.values():
                await generation.crew.start()
            for _ in range(rounds):
                for label, generation in generations.items():
                    began = time.perf_counter()
                    records[label] = await _parse(generation, batches)
                    samples[label].append(sum(map(len, batches)) / MIB / (time.perf_counter() - began))
        finally:
            for generation in generations.values():
                await generation.crew.kill()
            await pool.close()
    series = {label: report.add(label, "MiB/s", figures[1:]) for label, figures in samples.items()}
    for ours, hand in (("regex", "hand: the same regex"), ("grok", "hand: what the grok expands to")):
        ratio = series[ours].median / series[hand].median
        report.targets.append(Target(f"{ours} / {hand}, of the medians", ratio, TARGET_RATIO, "x", at_least=True))
    lost = max(records.values()) - min(records[label] for label in ("regex", "dissect", "hand: the same regex"))
    report.targets.append(Target("records that one of the first three lacks", lost, 0, ""))
    return report


_STATUS = "fields = { status = 'int' }\n"
_KINDS = {
    "hand: the same regex": (".py", _HAND.format(name="hand_regex", expression=REGEX, status="status")),
    "regex": (".toml", f"regex = '{REGEX}'\n{_STATUS}"),
    "dissect": (".toml", f"dissect = '{DISSECT}'\n{_STATUS}"),
    "hand: what the grok expands to": (
        ".py",
        _HAND.format(
            name="hand_grok",
            expression=re.sub(r"\(\?<(?=\w)", "(?P<", Grok({}).expand(GROK, ())),
            status="response",
        ),
    ),
    "grok": (".toml", f"grok = '{GROK}'\nfields = {{ response = 'int' }}\n"),
    "regex that only RE2 is safe for": (".toml", f"regex = '{AMBIGUOUS}'\n{_STATUS}"),
}
assert read_expression(AMBIGUOUS, ()).names == read_expression(REGEX, ()).names


def _generation(folder: Path, number: int, suffix: str, text: str, pool: Pool) -> Generation:
    path = folder / f"kind_{number}{suffix}"
    path.write_text(text)
    store = folder / "store"
    return proof.make(1, artifact.read(path, store), None, "@source", pool, Environments(store))


def _batches(data: bytes) -> list[bytes]:
    found, start = [], 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BATCH_BYTES) + 1
        found.append(data[start:end])
        start = end
    return found


async def _parse(generation: Generation, batches: list[bytes]) -> int:
    records = 0
    for batch in batches:
        records += (await generation.crew.parse(Batch("access.log", 0, b"", batch))).records
    return records
