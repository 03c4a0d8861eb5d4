"""The hot path of a worker, to be counted: `python -m benchmarks.hot_path KIND NAME FILE PASSES`.

It parses the whole lines of FILE and encodes the records, so many times. KIND is `processor`, the one of that NAME that
ships, called as a worker calls it; `loop`, the best loop by hand for its format; or `careless`, the processor with one
copy of each record more, which a guard must notice.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.host import SHIPPED
from benchmarks.loops import LOOPS
from contract import Context
from hostd.workers.encode import Encoder

Parse = Callable[[bytes], list[Any]]


def by_processor(name: str) -> Parse:
    """Return the parsing of a processor that ships."""
    spec = importlib.util.spec_from_file_location(name, SHIPPED / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    processor = module.new_processor()
    options = module.Options() if hasattr(module, "Options") else None
    ctx = Context(source=name, reject=_refuse, say=lambda _level, _message: None, options=options)
    return lambda data: list(processor.parse(data, ctx))


def by_careless(name: str) -> Parse:
    """Return the same with a copy of each record."""
    parse = by_processor(name)
    return lambda data: [dict(record) for record in parse(data)]


KINDS: dict[str, Callable[[str], Parse]] = {
    "processor": by_processor,
    "careless": by_careless,
    "loop": lambda name: LOOPS[name](),
}


def _refuse(raw: bytes, reason: str) -> None:
    raise RuntimeError(f"{reason}: {raw!r:.200}")


def main(kind: str, name: str, data: bytes, passes: int) -> None:
    """Parse and encode."""
    parse = KINDS[kind](name)
    if kind == "loop":
        encode_lines = msgspec.json.Encoder().encode_lines
        for _ in range(passes):
            encode_lines(parse(data))
        return
    encoder = Encoder("@source")
    for _ in range(passes):
        encoder.encode(parse(data), f"{name}.log", 1 << 30)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes(), int(sys.argv[4]))
