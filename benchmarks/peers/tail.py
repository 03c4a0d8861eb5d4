"""A process that tails a file through a module that is reloaded: `python tail.py HOW MODULE LOG OUT`.

It needs nothing of hostd: the environment that `install.sh` makes runs it. HOW is `jurigged`, which patches functions
of the module when its file is written to, or `watchfiles`, upon whose word `importlib.reload` loads the module again.
Both as their documentation shows them, with their defaults.
"""

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

LOOK_EVERY_S = 0.0005


def main(how: str, path: Path, log: Path, out: Path) -> None:
    """Parse what is in the log, and what comes, until killed."""
    # Else a reload within the same second would load the compiled file of the version before.
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(path.parent))
    module = importlib.import_module(path.stem)
    due = threading.Event()
    if how == "jurigged":
        import jurigged  # type: ignore[import-not-found]

        jurigged.watch(str(path.parent / "*.py"), logger=None)
    else:
        threading.Thread(target=_watch, args=(path, due.set), daemon=True).start()
    _tail(module, log, out, due)


def _watch(path: Path, tell: Callable[[], None]) -> None:
    import watchfiles  # type: ignore[import-not-found]

    for _ in watchfiles.watch(path.parent):
        tell()


def _tail(module: ModuleType, log: Path, out: Path, due: threading.Event) -> None:
    rest = b""
    with log.open("rb", buffering=0) as lines, out.open("ab", buffering=0) as records:
        while True:
            data = lines.read(1 << 20)
            if not data:
                time.sleep(LOOK_EVERY_S)
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if due.is_set():
                due.clear()
                importlib.reload(module)
            if newline:
                made = [json.dumps(module.parse(line)) for line in whole.decode().splitlines()]
                records.write("".join(f"{record}\n" for record in made).encode())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
