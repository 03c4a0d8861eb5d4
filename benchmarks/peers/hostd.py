"""hostd itself, as the others are run: a plugin, a log, a pass to its end; every record durable when it ends."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.host import REPOSITORY, SHIPPED
from benchmarks.peers.peer import Files, Parser


class Hostd(Parser):
    """`hostd run --once` with the shipped access processor."""

    name = "hostd"
    install = "make .venv/run.stamp"
    ends = True

    def version(self) -> str | None:
        return version("hostd")

    def prepare(self, files: Files) -> Sequence[str | Path]:
        plugins = files.folder / "plugins.d"
        plugins.mkdir()
        (plugins / "access.py").write_bytes((SHIPPED / "access.py").read_bytes())
        settings = files.folder / "hostd.toml"
        settings.write_text(
            f'[[sources]]\npaths = ["{files.log}"]\n\n[[sinks]]\nkind = "ndjson"\nfolder = "{files.out.parent}"\n'
        )
        return [sys.executable, "-m", "hostd", "run", "--config", settings, "--once"]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(REPOSITORY)}
