"""Python that reloads in its own process: jurigged, and watchfiles with importlib.reload. No parser is isolated."""

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.peer import Files, Reloadable, ask, program

_MODULE = """\
def parse(line):
    number, written_ns = line.split()
    return {{"n": int(number), "at": int(written_ns), "v": {version}}}
"""


class _Reloader(Reloadable):
    install = "benchmarks/peers/install.sh, or pip install jurigged watchfiles in an environment of their own"
    package: str

    def version(self) -> str | None:
        code = f"from importlib.metadata import version; print({self.package!r}, version({self.package!r}))"
        return ask(program("python/bin/python"), "-c", code)

    def prepare(self, files: Files) -> Sequence[str | Path]:
        python = program("python/bin/python")
        assert python is not None
        module = self._module(files)
        module.parent.mkdir()
        module.write_text(_MODULE.format(version=0))
        return [python, Path(__file__).with_name("tail.py"), self.package, module, files.log, files.out]

    def _module(self, files: Files) -> Path:
        return files.folder / "modules" / "numbers_module.py"


class Jurigged(_Reloader):
    """Written in place: jurigged does not see a file that is renamed over the one it knows."""

    name = "jurigged, file written in place"
    package = "jurigged"

    def replace(self, files: Files, version: int) -> float:
        began = time.monotonic()
        self._module(files).write_text(_MODULE.format(version=version))
        return began


class Watchfiles(_Reloader):
    """Renamed over the old one. Its defaults wait for 50 ms in which nothing more changes."""

    name = "watchfiles, importlib.reload"
    package = "watchfiles"

    def replace(self, files: Files, version: int) -> float:
        staged = files.folder / "staged.py"
        staged.write_text(_MODULE.format(version=version))
        began = time.monotonic()
        staged.replace(self._module(files))
        return began
