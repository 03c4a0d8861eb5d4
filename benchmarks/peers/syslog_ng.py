"""syslog-ng: a file, its native regexp-parser or a parser in Python inside it, a file. One reader keeps the order."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bare import COMBINED
from benchmarks.peers.peer import Files, Parser, Peer, Reloadable, ask, program

_SETTINGS = """\
@version: 3.38
options {{ stats-freq(0); keep-hostname(yes); use-dns(no); dns-cache(no); log-msg-size(65536); }};
{code}
source in {{ file("{log}" flags(no-parse) read-old-records(yes) follow-freq({follow_s})
                 log-fetch-limit(10000) log-iw-size(20000)); }};
parser parse {{ {parser}; }};
destination out {{ file("{out}" template("{template}\\n") flush-lines({flush_lines}) log-fifo-size(40000)); }};
log {{ source(in); parser(parse); destination(out); flags(flow-control); }};
"""
_ACCESS = "$(format-json --key access.* --replace-prefix access.=)"
_NUMBERS = r"^(?<n>\d+) (?<at>\d+)$"
_CODE = """\
python {{
import re
_LINE = re.compile({pattern!r}, re.ASCII)
class Parse(object):
    def parse(self, message):
        found = _LINE.match(message["MESSAGE"].decode())
        if found is None:
            return False
        for name, value in found.groupdict().items():
            message["access." + name] = value
        return True
}};"""


class _SyslogNg(Peer):
    in_python = False

    def version(self) -> str | None:
        found = program("bin/syslog-ng", "syslog-ng")
        if found is None or (self.in_python and "mod-python" not in _modules(found)):
            return None
        return ask(found, "--version")

    def _command(self, files: Files) -> Sequence[str | Path]:
        found = program("bin/syslog-ng", "syslog-ng")
        assert found is not None
        own = {f"--{name}": files.folder / name for name in ("persist-file", "pidfile", "control")}
        settings: list[str | Path] = ["--cfgfile", files.folder / "syslog-ng.conf"]
        return [found, "-F", "--no-caps", *settings, *(part for pair in own.items() for part in pair)]

    def _configure(self, path: Path, files: Files, pattern: str, template: str, **more: object) -> None:
        """Write its configuration for lines of this pattern, whose group names are written as Perl does."""
        quoted = pattern.replace("'", "\\'")
        code = _CODE.format(pattern=pattern.replace("(?<", "(?P<")) if self.in_python else ""
        native = f"regexp-parser(prefix('access.') template('${{MESSAGE}}') patterns('{quoted}'))"
        parser = 'python(class("Parse"))' if self.in_python else native
        settings = {"log": files.log, "out": files.out, "code": code, "parser": parser, "template": template, **more}
        path.write_text(_SETTINGS.format(**settings))


class SyslogNg(_SyslogNg, Parser):
    """All fields of the access log by the native parser, as JSON."""

    name = "syslog-ng, regexp-parser"
    install = "benchmarks/peers/install.sh, or apt-get install syslog-ng-core where rsyslog may go"
    most_mib = 64

    def prepare(self, files: Files) -> Sequence[str | Path]:
        pattern = COMBINED.pattern.replace("(?P<", "(?<")
        self._configure(files.folder / "syslog-ng.conf", files, pattern, _ACCESS, follow_s=0.1, flush_lines=1000)
        return self._command(files)


class SyslogNgPython(SyslogNg):
    """The same by a class in Python, which syslog-ng runs in its own process."""

    name = "syslog-ng, Python parser"
    install = "benchmarks/peers/install.sh, or apt-get install syslog-ng-mod-python where rsyslog may go"
    in_python = True


class SyslogNgReloaded(_SyslogNg, Reloadable):
    """A new configuration is renamed into its place, and SIGHUP makes it take that."""

    name = "syslog-ng, reload"
    install = SyslogNg.install

    def prepare(self, files: Files) -> Sequence[str | Path]:
        self._write(files, 0, files.folder / "syslog-ng.conf")
        return self._command(files)

    def _write(self, files: Files, version: int, path: Path) -> None:
        template = f'{{\\"n\\":${{access.n}},\\"at\\":${{access.at}},\\"v\\":{version}}}'
        self._configure(path, files, _NUMBERS, template, follow_s=0.001, flush_lines=1)

    def replace(self, files: Files, version: int) -> float:
        staged = files.folder / "staged.conf"
        self._write(files, version, staged)
        began = time.monotonic()
        staged.replace(files.folder / "syslog-ng.conf")
        os.kill(self.process.pid, signal.SIGHUP)
        return began


class SyslogNgPythonReloaded(SyslogNgReloaded):
    """The same with the parser in Python."""

    name = "syslog-ng, reload, Python parser"
    install = SyslogNgPython.install
    in_python = True


def _modules(found: Path) -> str:
    return subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
