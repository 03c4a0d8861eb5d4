"""rsyslog: imfile, mmnormalize (liblognorm) and omfile, with one worker, which keeps the order."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.peer import STOP_S, Files, Parser, Peer, Reloadable, ask, program

_ACCESS_RULES = (
    "version=2\n"
    'rule=:%client:word% %ident:word% %user:word% [%time:char-to:]%] "%method:word% %path:word% %protocol:char-to:"%"'
    ' %status:number% %bytes:word% "%referer:char-to:"%" "%agent:char-to:"%"\n'
)
_NUMBER_RULES = "version=2\nrule=:%n:number% %at:number%\n"
# A batch is up to 2,000 lines, of which omfile writes 256 KiB at once.
_SETTINGS = """\
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="mmnormalize")
template(name="record" type="string" string="{template}\\n")
input(type="imfile" File="{log}" Tag="log" Ruleset="parse" addMetadata="off")
ruleset(name="parse" queue.type="LinkedList" queue.size="20000" queue.dequeueBatchSize="2000"
        queue.workerThreads="1" queue.timeoutShutdown="10000") {{
  action(type="mmnormalize" ruleBase="{folder}/rules.rb" path="$!")
  action(type="omfile" file="{out}" template="record" ioBufferSize="256k")
}}
"""


class _Rsyslog(Peer):
    name = "rsyslog, mmnormalize"
    install = "apt-get install rsyslog"

    def version(self) -> str | None:
        said = ask(program("rsyslogd"), "-v")
        return said and said.removesuffix(" compiled with:")

    def _command(self, files: Files) -> Sequence[str | Path]:
        found = program("rsyslogd")
        assert found is not None
        return [found, "-n", "-f", files.folder / "rsyslog.conf", "-i", files.folder / "rsyslog.pid"]


class Rsyslog(_Rsyslog, Parser):
    """All fields of the access log, as JSON."""

    most_mib = 1024

    def prepare(self, files: Files) -> Sequence[str | Path]:
        (files.folder / "rules.rb").write_text(_ACCESS_RULES)
        (files.folder / "rsyslog.conf").write_text(
            _SETTINGS.format(folder=files.folder, log=files.log, out=files.out, template="%$!all-json-plain%")
        )
        return self._command(files)


class RsyslogRestarted(_Rsyslog, Reloadable):
    """rsyslog takes no new configuration while it runs: it is stopped, and started again where it was."""

    name = "rsyslog, restarted"

    def prepare(self, files: Files) -> Sequence[str | Path]:
        (files.folder / "rules.rb").write_text(_NUMBER_RULES)
        self._configure(files, 0, files.folder / "rsyslog.conf")
        return self._command(files)

    def _configure(self, files: Files, version: int, path: Path) -> None:
        template = f'{{\\"n\\":%$!n%,\\"at\\":%$!at%,\\"v\\":{version}}}'
        path.write_text(_SETTINGS.format(folder=files.folder, log=files.log, out=files.out, template=template))

    def replace(self, files: Files, version: int) -> float:
        staged = files.folder / "staged.conf"
        self._configure(files, version, staged)
        command = self._command(files)
        began = time.monotonic()
        staged.replace(files.folder / "rsyslog.conf")
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(STOP_S)
        self._spawn(command, files)
        return began
