"""What is written in an afternoon: a loop in one Python process, and the same on concurrent.futures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from platform import python_version

from benchmarks.host import REPOSITORY
from benchmarks.peers.peer import Files, Parser


class _Python(Parser):
    install = "it is there"
    ends = True
    agent = False
    most_mib = 1024

    def version(self) -> str | None:
        return f"Python {python_version()}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(REPOSITORY)}


class BareLoop(_Python):
    """One expression over the file, dicts of its groups, msgspec to JSON."""

    name = "Python, one process"

    def prepare(self, files: Files) -> Sequence[str | Path]:
        size = files.log.stat().st_size
        return [sys.executable, "-m", "benchmarks.bare", "regex", files.log, files.out, "0", str(size)]


class Executor(_Python):
    """The same loop in two processes behind a ProcessPoolExecutor, results in order."""

    name = "Python, ProcessPoolExecutor(2)"

    def prepare(self, files: Files) -> Sequence[str | Path]:
        return [sys.executable, "-m", "benchmarks.peers.executor", files.log, files.out]
