"""Reload: milliseconds from a new parser in place to its first record readable, hostd beside peers, under load.

1,000 numbered lines a second are appended while each peer's parser or configuration is replaced again and again:
renamed over the old one, and then whatever makes the peer take it. The reader looks every 0.1 ms. At the end each line
must be there once: what a peer has lost or doubled is counted. A turn is a session of each, in alternating order.
"""

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Report, Target
from benchmarks.numbered import NUMBERED, faults, wait_for_version, write_lines
from benchmarks.peers import erlang
from benchmarks.peers.hostd import HostdSwapped
from benchmarks.peers.peer import Files, Reloadable
from benchmarks.peers.reloaders import Jurigged, Watchfiles
from benchmarks.peers.rsyslog import RsyslogRestarted
from benchmarks.peers.syslog_ng import SyslogNgPythonReloaded, SyslogNgReloaded
from benchmarks.reader import Reader

PEERS: tuple[type[Reloadable], ...] = (
    RsyslogRestarted,
    SyslogNgReloaded,
    SyslogNgPythonReloaded,
    Jurigged,
    Watchfiles,
)
LINES_PER_S = 1000
SETTLE_S = 0.5
BETWEEN_S = (0.4, 0.6)
"""As often as somebody saves a file. hostd gives the swaps of one plugin a tenth of the time; `storm` is for more."""
LAST_LINES_S = 3.0
"""So long are the last lines waited for, before they are counted as lost."""


@dataclass(slots=True)
class Sessions:
    """What one peer has shown: the ms of each replacement, and the faults of all sessions, by what they are."""

    peer: Reloadable
    elapsed_ms: list[float] = field(default_factory=list)
    faults: dict[str, float] = field(default_factory=dict)
    written: int = 0

    def take(self, replacements: int) -> None:
        """Replace the parser so many times under load, in a new folder."""
        with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
            folder = Path(name)
            (folder / "out").mkdir()
            files = Files(folder, folder / "numbers.log", folder / "out" / f"{NUMBERED}.ndjson")
            files.log.touch()
            self.peer.start(files)
            try:
                written = self._replace(files, replacements)
            except RuntimeError as error:
                raise RuntimeError(f"{self.peer.name}: {error}; it said:\n{self.peer.said()}") from error
            finally:
                self.peer.stop()
            self.written += written
            for fault in faults(files.out, written):
                what = fault.label.partition(",")[0]
                self.faults[what] = self.faults.get(what, 0) + fault.measured

    def _replace(self, files: Files, replacements: int) -> int:
        chance = random.Random(1)
        with Reader(files.out) as reader:
            writer = write_lines(files.log, LINES_PER_S)
            try:
                wait_for_version(reader, 0)
                reader.follow_for(SETTLE_S)
                for version in range(1, replacements + 1):
                    began = self.peer.replace(files, version)
                    self.elapsed_ms.append((wait_for_version(reader, version) - began) * 1000)
                    reader.follow_for(chance.uniform(*BETWEEN_S))
            finally:
                said, _ = writer.communicate(timeout=30)
            written = int(said)
            reader.follow_until(lambda row: row.n == written - 1, LAST_LINES_S)
            return written


def run(*, quick: bool) -> Report:
    """Measure; 2 sessions of 5 replacements each when quick, else 5 of 20."""
    turns, replacements = (2, 5) if quick else (5, 20)
    report = Report("reload")
    sessions = [Sessions(HostdSwapped())]
    for kind in PEERS:
        peer = kind()
        version = peer.version()
        report.notes.append(
            f"skipped: {peer.name} is not installed ({peer.install})" if version is None else f"{peer.name}: {version}"
        )
        if version is not None:
            sessions.append(Sessions(peer))
    loaded_ms: list[float] = []
    contestants: list[Callable[[], None]] = [lambda s=session: s.take(replacements) for session in sessions]  # type: ignore[misc]
    if erlang.version() is None:
        report.notes.append(f"skipped: Erlang's code load is not installed ({erlang.INSTALL})")
    else:
        report.notes.append(f"Erlang's code load: {erlang.version()}")
        contestants.append(lambda: loaded_ms.extend(_load(replacements)))
    take_sessions(contestants, turns)
    _add(report, sessions, loaded_ms)
    return report


def take_sessions(contestants: list[Callable[[], None]], turns: int) -> None:
    """Have each take its session once a turn, in alternating order."""
    for turn in range(turns):
        for contestant in contestants if turn % 2 else reversed(contestants):
            contestant()


def _load(count: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name:
        return erlang.load_ms(Path(name), count)


def _add(report: Report, sessions: list[Sessions], loaded_ms: list[float]) -> None:
    hostd, *peers = sessions
    for session in sessions:
        report.add(session.peer.name, "ms", session.elapsed_ms)
    report.add("Erlang: compiled, loaded, called; no data path", "ms", loaded_ms)
    for session in peers:
        pairs = zip(hostd.elapsed_ms, session.elapsed_ms, strict=True)
        report.add(f"ratio {session.peer.name} / hostd", "x", [theirs / ours for ours, theirs in pairs])
        found = ", ".join(f"{count:.0f} {what}" for what, count in session.faults.items() if count) or "none"
        report.notes.append(f"{session.peer.name}: faults in {session.written} lines: {found}")
    report.targets += [Target(f"hostd: {what}", count, 0, "") for what, count in hostd.faults.items()]
