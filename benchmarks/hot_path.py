"""The hot path of a worker, to be counted: `python -m benchmarks.hot_path FOLDER PASSES KIND:NAME...`.

It parses the whole lines of FOLDER/NAME.log and encodes the records: once, and then so many times in a forked child,
and not at all in another. Their process ids go to standard output as JSON, [not at all, many times] for each KIND:NAME.
KIND is `processor`, the one of that NAME that ships, called as a worker calls it; `loop`, the best loop by hand for its
format; or `careless`, the processor with two copies of each record more, which a guard must notice.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.loops import LOOPS
from benchmarks.processors import parse_of
from hostd.workers.encode import Encoder

Parse = Callable[[bytes], Iterable[Any]]


def by_careless(name: str) -> Parse:
    """Return the same with two copies of each record."""
    parse = parse_of(name)
    return lambda data: [dict(dict(record)) for record in parse(data)]


KINDS: dict[str, Callable[[str], Parse]] = {
    "processor": parse_of,
    "careless": by_careless,
    "loop": lambda name: LOOPS[name](),
}


def hot_path(kind: str, name: str, data: bytes) -> Callable[[], object]:
    """Return what parses and encodes a batch once."""
    parse = KINDS[kind](name)
    if kind == "loop":
        encode_lines = msgspec.json.Encoder().encode_lines
        return lambda: encode_lines(parse(data))
    encoder = Encoder("@source")
    return lambda: encoder.encode(parse(data), f"{name}.log", 1 << 30)


def fork(once: Callable[[], object], passes: int) -> int:
    """Do it so many times in a child; return its process id when it has ended. Raises RuntimeError when it failed."""
    pid = os.fork()
    if pid == 0:
        try:
            for _ in range(passes):
                once()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a pass failed")
    return pid


def main(folder: Path, passes: int, wanted: list[str]) -> dict[str, list[int]]:
    """Run all; return who did what."""
    pids = {}
    for each in wanted:
        kind, _, name = each.partition(":")
        once = hot_path(kind, name, (folder / f"{name}.log").read_bytes())
        once()
        pids[each] = [fork(once, 0), fork(once, passes)]
    return pids


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
