"""Processors: CPU time of each text processor beside the best bare loop for its format, with the same records out.

Each has a process of its own, in which processor and loop take the same chunks in turn, to JSON lines in memory; the
ratio is of the loop's time to the processor's, of neighbouring turns. Both are called as a worker calls a processor:
on 256 KiB of whole lines. The lines are of the ordinary kind, as nearly all of a log are.
"""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.host import REPOSITORY, SHIPPED
from benchmarks.logs import HEADERS, MAKERS, block
from benchmarks.loops import LOOPS
from benchmarks.measure import MIB, Report, Target
from contract import Context
from contract.testing import load, make_processor, make_stream_processor
from hostd.workers.encode import Encoder

RATIO = 0.8
ACCESS_MIB_S = 80
CHUNK_BYTES = 256 << 10


def run(*, quick: bool = False) -> Report:
    """Measure each processor, and report the ratios."""
    report = Report("processors")
    turns, size = (3, MIB) if quick else (9, 4 * MIB)
    wrong = 0
    for name in MAKERS:
        command = [sys.executable, "-m", "benchmarks.processors", name, str(turns), str(size)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        wrong += not found["same"]
        report.add(f"{name}: processor", "MiB/s", found["processor"])
        report.add(f"{name}: bare loop", "MiB/s", found["loop"])
        ratio = report.add(f"{name}: ratio", "ratio", found["ratio"])
        report.targets.append(Target(f"{name}: of its bare loop", ratio.median, RATIO, "ratio", at_least=True))
        if name == "access":
            fastest = max(found["processor"])  # what a core can do; slower turns are of what else it did
            report.targets.append(Target("access, at best", fastest, ACCESS_MIB_S, "MiB/s", at_least=True))
    report.targets.append(Target("processors whose records are not those of the loop", wrong, 0, ""))
    report.notes.append("CPU time of one core, records encoded and thrown away; ratios are medians of pairs of turns")
    return report


def measure(name: str, turns: int, size: int) -> dict[str, Any]:
    """Take turns in this process; the first is a warm-up."""
    gc.set_threshold(50_000, 20, 50)  # as a worker does
    chunks = _chunks(name, size)
    contestants = {"processor": parse_of(name), "loop": LOOPS[name]()}
    encoder = Encoder("")
    first = [list(contestants[who](chunks[0])) for who in contestants]
    took: dict[str, list[float]] = {who: [] for who in contestants}
    for turn in range(turns + 1):
        for who in contestants if turn % 2 else reversed(contestants):
            began = time.process_time()
            for chunk in chunks:
                encoder.encode(contestants[who](chunk), "", 1 << 30)
            if turn:
                took[who].append(time.process_time() - began)
    bytes_of_all = sum(map(len, chunks))
    speeds = {who: [bytes_of_all / MIB / seconds for seconds in took[who]] for who in took}
    ratios = [loop / processor for loop, processor in zip(took["loop"], took["processor"], strict=True)]
    return {**speeds, "ratio": ratios, "same": first[0] == first[1], "median": statistics.median(ratios)}


def _chunks(name: str, size: int) -> list[bytes]:
    lines = block(name)
    whole = lines * -(-size // len(lines))
    manifest, _ = load(SHIPPED / f"{name}.py")
    framing = manifest.compiled_framing()
    ends = [0]
    while ends[-1] + CHUNK_BYTES < len(whole):
        piece = whole[ends[-1] : ends[-1] + CHUNK_BYTES]
        ends.append(ends[-1] + (piece.rfind(b"\n") + 1 if framing.kind == "stream" else framing.boundary(piece)))
    return [whole[start:end] for start, end in pairwise(ends)]


def parse_of(name: str) -> Callable[[bytes], Any]:
    """Return the parsing of a processor that ships, called as a worker calls it; what it rejects is an error."""
    manifest, module = load(SHIPPED / f"{name}.py")
    options = module.Options() if hasattr(module, "Options") else None
    header = HEADERS.get(name, "").encode()
    framing = manifest.compiled_framing()
    ctx = Context(
        source=name,
        reject=_refuse,
        say=lambda _level, _message: None,
        header=header,
        options=options,
        framing=framing,
    )
    if framing.kind != "stream":
        processor = make_processor(manifest, module.new_processor)
        return lambda data: processor.parse(data, ctx)
    stream = make_stream_processor(module.new_processor).open(ctx, None)
    list(stream.feed(header, False))  # noqa: FBT003
    return lambda data: stream.feed(data, False)  # noqa: FBT003


def _refuse(raw: bytes, reason: str) -> None:
    raise RuntimeError(f"{reason}: {raw!r:.200}")


if __name__ == "__main__":
    json.dump(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
