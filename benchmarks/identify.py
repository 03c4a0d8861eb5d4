"""Identify: how long it takes to tell which processor a file is for, with every one that ships loaded.

The function that decides, in this process, on the first bytes of each sample that the processors carry, of words and of
noise, and with HOSTD_CORPUS set of every file there. For the first file patterns are compiled.
"""

import os
import random
import time
from pathlib import Path

from benchmarks.measure import Report, Target
from contract.manifest import Manifest, read_script
from hostd.pipeline.detection import rank
from hostd.pipeline.sources.unpacked import HEAD_BYTES

ROOT = Path(__file__).parents[1]
MOST_MS, MOST_HEAD_KIB = 5.0, 64


def run(*, quick: bool) -> Report:
    """Measure; each file 5 times when quick, else 50 times."""
    manifests = [read_script(path.read_text(encoding="utf-8"))[0] for path in sorted((ROOT / "plugins.d").glob("*.py"))]
    heads = _heads(manifests)
    first = [_took_ms(name, head, manifests) for name, head in heads[:1]]
    for name, head in heads:
        rank(name, head, manifests)
    took = [_took_ms(name, head, manifests) for _ in range(5 if quick else 50) for name, head in heads]
    report = Report("identify")
    report.add("the first file", "ms", first)
    report.add(f"each of {len(heads)} files, with {len(manifests)} processors", "ms", took)
    report.targets += [
        Target("a file, p99", report.series[-1].as_json()["p99"], MOST_MS, "ms"),
        Target("bytes that are looked at", HEAD_BYTES / 1024, MOST_HEAD_KIB, "KiB"),
    ]
    return report


def _took_ms(name: str, head: bytes, manifests: list[Manifest]) -> float:
    began = time.perf_counter()
    rank(name, head, manifests)
    return (time.perf_counter() - began) * 1000


def _heads(manifests: list[Manifest]) -> list[tuple[str, bytes]]:
    samples = [(each.name, each.header.encode() + each.content()) for one in manifests for each in one.samples]
    words = random.Random(7).choices(["one", "two", "three", "\n", "192.0.2.7", "[x]", "2024-05-17 10:05:03"], k=9000)
    samples.append(("words.log", " ".join(words).encode()))
    samples.append(("noise", random.Random(7).randbytes(HEAD_BYTES)))
    if folder := os.environ.get("HOSTD_CORPUS"):
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and ".truth." not in path.name]
        samples += [(path.name, path.open("rb").read(HEAD_BYTES)) for path in files]
    return [(name, head[:HEAD_BYTES]) for name, head in samples]
