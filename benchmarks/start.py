"""Start: milliseconds from exec to the first record committed, with the five processors that ship and real logs.

A turn is one start in a new folder, one interpreter that imports the libraries hostd stands on, and one bare
interpreter, in alternating order.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.host import REPOSITORY, SHIPPED, Host
from benchmarks.measure import Report, Target

TARGET_MS = 1000.0
POLL_S = 0.001
GIVE_UP_S = 30.0
LIBRARIES = "import pydantic, structlog, watchdog"


def run(*, quick: bool) -> Report:
    """Measure; 3 turns when quick, else 10."""
    committed: list[float] = []
    ready: list[float] = []
    libraries: list[float] = []
    python: list[float] = []
    turns: list[Callable[[], None]] = [
        lambda: _start_daemon(committed, ready),
        lambda: libraries.append(_python(LIBRARIES)),
        lambda: python.append(_python("pass")),
    ]
    for number in range((3 if quick else 10) + 1):
        for turn in turns if number % 2 else reversed(turns):
            turn()
    report = Report("start")
    first = report.add("exec to first record committed", "ms", committed[1:])
    report.add("daemon's own account: run to ready", "ms", ready[1:])
    report.add(f"python -c '{LIBRARIES}'", "ms", libraries[1:])
    report.add("python -c pass", "ms", python[1:])
    report.add("ratio first record / the libraries", "x", _ratios(committed, libraries))
    report.targets.append(Target("exec to first record committed, median", first.median, TARGET_MS, "ms"))
    return report


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [own / other for own, other in zip(ours[1:], theirs[1:], strict=True)]


def _start_daemon(committed_ms: list[float], ready_ms: list[float]) -> None:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        for plugin in SHIPPED.glob("*.py"):
            shutil.copy(plugin, host.plugins)
        shutil.copytree(REPOSITORY / "examples" / "logs", host.logs, dirs_exist_ok=True)
        began = host.start()
        while not any(output.stat().st_size for output in host.out.glob("*.ndjson")):
            time.sleep(POLL_S)
            if time.monotonic() - began > GIVE_UP_S:
                raise RuntimeError(f"no record within {GIVE_UP_S:g} s:\n{host.log.read_text()}")
        committed_ms.append((time.monotonic() - began) * 1000)
        host.stop()
        ready_ms.append(host.event("daemon.ready")["ms"])


def _python(code: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.monotonic() - began) * 1000
