"""Calls inside a process: `python inprocess.py FOLDER` prints us of calls through pluggy and stevedore, on demand.

It needs nothing of hostd: the environment that `install.sh` makes runs it. For each line on standard input, a number,
it prints that many samples of each as JSON. FOLDER gets a distribution with an entry point, which stevedore loads.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parsing import parse  # type: ignore[import-not-found]  # beside this file

LINE = b"12345 67890\n"
_ENTRY_POINT = "[hostd.bench]\nnumbered = parsing:parse\n"


def by_pluggy() -> Callable[[bytes], Any]:
    """Return a hook with one plugin registered."""
    import pluggy  # type: ignore[import-not-found]

    declared, implements = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")

    class Declared:
        @declared(firstresult=True)
        def parse(self, line: bytes) -> dict[str, int]:
            raise NotImplementedError

    class Plugin:
        @implements
        def parse(self, line: bytes) -> dict[str, int]:
            return parse(line)

    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Declared)
    manager.register(Plugin())
    return lambda line: manager.hook.parse(line=line)


def by_stevedore(folder: Path) -> Callable[[bytes], Any]:
    """Return the driver that an entry point names."""
    made = folder / "numbered_bench-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: numbered-bench\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(_ENTRY_POINT)
    sys.path.insert(0, str(folder))
    import stevedore.driver  # type: ignore[import-not-found]

    manager = stevedore.driver.DriverManager("hostd.bench", "numbered", invoke_on_load=False)
    return lambda line: manager.driver(line)


def _sample(call: Callable[[bytes], Any], count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        record = call(LINE)
        took.append((time.perf_counter() - began) * 1e6)
        assert record == {"n": 12345, "at": 67890}
    return took


def main(folder: Path) -> None:
    """Answer until standard input ends."""
    calls = {"pluggy": by_pluggy(), "stevedore": by_stevedore(folder)}
    for line in sys.stdin:
        print(json.dumps({name: _sample(call, int(line)) for name, call in calls.items()}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
