"""hostd itself, run as the others are. What it has written at its end is durable."""

import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.host import REPOSITORY, SHIPPED
from benchmarks.numbered import numbered
from benchmarks.peers.peer import Files, Parser, Peer, Reloadable


class _Hostd(Peer):
    name = "hostd"
    install = "make .venv/run.stamp"

    def version(self) -> str | None:
        return version("hostd")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(REPOSITORY)}

    def _command(self, files: Files) -> list[str | Path]:
        settings = files.folder / "hostd.toml"
        settings.write_text(
            f'[[sources]]\npaths = ["{files.log}"]\n\n[[sinks]]\nkind = "ndjson"\nfolder = "{files.out.parent}"\n'
        )
        return [sys.executable, "-m", "hostd", "run", "--config", settings]


class Hostd(_Hostd, Parser):
    """`hostd run --once` with the shipped access processor."""

    ends = True
    most_mib = 1024

    def prepare(self, files: Files) -> Sequence[str | Path]:
        plugins = files.folder / "plugins.d"
        plugins.mkdir()
        (plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
        return [*self._command(files), "--once"]


class HostdSwapped(_Hostd, Reloadable):
    """A plugin renamed over the one in service; all else as it comes, the trial on recent input too."""

    def prepare(self, files: Files) -> Sequence[str | Path]:
        (files.folder / "plugins.d").mkdir()
        (files.folder / "plugins.d" / "numbered.py").write_text(numbered(0))
        return self._command(files)

    def replace(self, files: Files, version: int) -> float:
        staged = files.folder / "staged.py"
        staged.write_text(numbered(version))
        began = time.monotonic()
        staged.replace(files.folder / "plugins.d" / "numbered.py")
        return began
