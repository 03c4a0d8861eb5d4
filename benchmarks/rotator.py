"""A process that appends numbered lines to a log and rotates it by renaming, as an application with logrotate does.

`python -m benchmarks.rotator FILE LINES_PER_SECOND ROTATE_EVERY_S new|shift` writes bursts of lines until its standard
input is closed, then prints, as JSON, how many lines it has written and with which number each of its files begins.
`new` gives a rotated file a number of its own, `shift` renames them all, the youngest to `.1`.
"""

import json
import os
import select
import sys
import time
from pathlib import Path

BURSTS_PER_S = 50


class Rotator:
    """The log under `path`, and those that it was before."""

    def __init__(self, path: Path, way: str) -> None:
        self.begins = [0]
        self._path = path
        self._way = way
        self._fd = self._open()

    def write(self, first: int, count: int) -> None:
        """Append the lines `first` up to `first + count`, a part of the last one later than the rest."""
        content = b"".join(b"%d %d\n" % (number, time.monotonic_ns()) for number in range(first, first + count))
        os.write(self._fd, content[:-5])
        os.write(self._fd, content[-5:])

    def rotate(self, first: int) -> None:
        """Go on in a new file with the line `first`."""
        if self._way == "new":
            self._path.rename(self._path.with_name(f"{self._path.name}.{len(self.begins):04}"))
        else:
            for number in range(len(self.begins), 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
                older.rename(self._path.with_name(f"{self._path.name}.{number}"))
        os.close(self._fd)
        self._fd = self._open()
        self.begins.append(first)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)


def main(path: Path, rate: float, rotate_every_s: float, way: str) -> dict[str, object]:
    """Write until told to stop; return what was written."""
    rotator = Rotator(path, way)
    burst = max(1, round(rate / BURSTS_PER_S))
    lines, due, rotates_at = 0, time.monotonic(), time.monotonic() + rotate_every_s
    while True:
        due += burst / rate
        if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            return {"lines": lines, "begins": rotator.begins}
        if time.monotonic() >= rotates_at:
            rotator.rotate(lines)
            rotates_at += rotate_every_s
        rotator.write(lines, burst)
        lines += burst


if __name__ == "__main__":
    said = main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
    print(json.dumps(said))
