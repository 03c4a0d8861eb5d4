"""Many: a hundred logs that are each written a line at a time, all at once, as by a hundred applications.

A process of its own writes lines at a steady rate, one a call, to each log in turn: with 100,000 a second, each is a
batch of its own for who takes each as it comes. hostd lets a source rest for some milliseconds after a small batch, so
that those of a busy one gather. What is asked of it is that it keeps up: that the last record is there soon after the
last line, and that none is missing or out of order.

`python -m benchmarks.many FOLDER SECONDS` is the writer; it prints how many lines it has written.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.host import REPOSITORY, Host, cpu_s, descendants
from benchmarks.measure import Report, Target, percentile
from benchmarks.numbered import GIVE_UP_S, NUMBERED, numbered

SOURCES, RATE = 100, 100_000
BURST_S = 0.001
LOOK_S = 0.01
MOST_LEFT_S = 0.5
"""How far behind the last line its record may be: what was under way when the writer stopped, and no more."""
LEAST_SHARE = 0.98


class Row(msgspec.Struct):
    """A record: which line of its log it is, when that was written in ns, and which log it is of."""

    n: int
    at: int
    log: str = msgspec.field(name="@source")


class Seen:
    """The records of a file as they appear, and how late each was."""

    def __init__(self, path: Path) -> None:
        self.rows = self.wrong = 0
        self.late_ms: list[float] = []
        self._path = path
        self._position = 0
        self._next: dict[str, int] = {}
        self._decode = msgspec.json.Decoder(Row).decode_lines

    def look(self) -> int:
        """Take in what is new; return how many records there are."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        now = time.monotonic_ns()
        end = content.rfind(b"\n") + 1
        self._position += end
        for row in self._decode(content[:end]):
            expected = self._next.get(row.log, 0)
            self.wrong += row.n != expected
            self._next[row.log] = row.n + 1
            self.rows += 1
            if not row.n % 100:
                self.late_ms.append((now - row.at) / 1e6)
        return self.rows


class Turn(msgspec.Struct):
    """What one turn came to."""

    written: int
    left_s: float
    late_ms: list[float]
    daemon_s: float
    workers_s: float
    wrong: int


def run(*, quick: bool) -> Report:
    """Measure; 2 seconds of writing when quick, else 10, three times."""
    turns, seconds = (1, 2.0) if quick else (3, 10.0)
    found = [_turn(seconds) for _ in range(turns)]
    report = Report("many")
    rates = report.add(f"lines written to {SOURCES} logs", "1/s", [each.written / seconds for each in found])
    left = report.add("last line to last record", "s", [each.left_s for each in found])
    for percent in (50, 99):
        late = [percentile(each.late_ms, percent) for each in found]
        report.add(f"line to record seen, p{percent}", "ms", late)
    report.add("CPU of the daemon", "us/line", [each.daemon_s / each.written * 1e6 for each in found])
    report.add("CPU of its workers", "us/line", [each.workers_s / each.written * 1e6 for each in found])
    report.targets += [
        Target("lines written a second, median", rates.median, LEAST_SHARE * RATE, "1/s", at_least=True),
        Target("last line to last record, median", left.median, MOST_LEFT_S, "s"),
        Target("lines without a record, or out of order", sum(each.wrong for each in found), 0, ""),
    ]
    return report


def _turn(seconds: float) -> Turn:
    with tempfile.TemporaryDirectory(prefix="hostd-bench-") as name, Host(Path(name)) as host:
        (host.plugins / f"{NUMBERED}.py").write_text(numbered(0).replace('"numbers.log"', '"*.log"'))
        for number in range(SOURCES):
            (host.logs / f"{number:03}.log").touch()
        host.start()
        seen = Seen(host.out / f"{NUMBERED}.ndjson")
        gives_up = time.monotonic() + GIVE_UP_S
        while not host.events("generation.switched") and time.monotonic() < gives_up:
            time.sleep(LOOK_S)
        before = _cpu_s(host)
        command = [sys.executable, "-m", "benchmarks.many", str(host.logs), str(seconds)]
        writer = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
        while writer.poll() is None:
            seen.look()
            time.sleep(LOOK_S)
        stopped_at = time.monotonic()
        written = int(writer.communicate()[0])
        while seen.look() < written and time.monotonic() < stopped_at + GIVE_UP_S:
            time.sleep(LOOK_S)
        left_s = time.monotonic() - stopped_at
        daemon_s, workers_s = (after - first for after, first in zip(_cpu_s(host), before, strict=True))
        wrong = seen.wrong + abs(written - seen.rows)
        return Turn(written, left_s, seen.late_ms, daemon_s, workers_s, wrong)


def _cpu_s(host: Host) -> tuple[float, float]:
    """Return the CPU seconds of the daemon, and of what it has started."""
    others = 0.0
    for pid in descendants(host.pid):
        try:
            others += cpu_s(pid)
        except OSError:  # it has just ended
            continue
    return cpu_s(host.pid), others


def write(folder: Path, seconds: float) -> int:
    """Write for so long, catching up when behind; return how many lines."""
    fds = [os.open(path, os.O_WRONLY | os.O_APPEND) for path in sorted(folder.iterdir())]
    lines, began = 0, time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        due = int(now * RATE)
        while lines < due:
            number, turn = divmod(lines, len(fds))
            os.write(fds[turn], b"%d %d\n" % (number, time.monotonic_ns()))
            lines += 1
        time.sleep(BURST_S)
    return lines


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), float(sys.argv[2])))
