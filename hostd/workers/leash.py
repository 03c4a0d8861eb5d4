"""Run a program that ends with the daemon: `python -I -m hostd.workers.leash DAEMON_PID PROGRAM ARGUMENTS…`.

What a killed daemon had started must not go on writing into a folder that the next one has taken over.
"""

import os
import sys

from hostd.workers.zygote import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a fixed program of the daemon's
