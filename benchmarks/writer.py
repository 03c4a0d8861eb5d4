"""A process that appends numbered, dated lines to a file at a steady rate: an application that logs.

`python -m benchmarks.writer FILE LINES_PER_SECOND` writes one line a call until its standard input is closed, then
prints how many. A line is its number and the monotonic time in ns just before it was written.
"""

import os
import select
import sys
import time


def main(path: str, rate: float) -> int:
    """Write until told to stop; return the number of lines."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    lines, due = 0, time.monotonic()
    while True:
        due += 1 / rate
        # When behind, as after a pause of the machine, it catches up: the number of lines is the rate's.
        if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            return lines
        os.write(fd, b"%d %d\n" % (lines, time.monotonic_ns()))
        lines += 1


if __name__ == "__main__":
    print(main(sys.argv[1], float(sys.argv[2])))
