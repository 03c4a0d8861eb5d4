"""Run a program that ends with the daemon, with all that it starts: `python -I -m … DAEMON_PID PROGRAM ARGUMENTS…`.

It leads the program's process group, and kills the group when the daemon is gone. It ends as the program has ended.
"""

import ctypes
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
PARENT_GONE = signal.SIGUSR2


def main(daemon: int, program: list[str]) -> None:
    """Run the program, and end with its status."""
    signal.signal(PARENT_GONE, _kill_group)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, PARENT_GONE, 0, 0, 0)
    if os.getppid() != daemon:
        os._exit(1)
    # What tells the group to end is for the program: how it ends is how this does.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        for number in (PARENT_GONE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execv(program[0], program)  # noqa: S606 - what the settings say
        except OSError as error:
            os.write(2, f"{program[0]}: {error.strerror}\n".encode())
            os._exit(127)
    os.close(1)  # the program's end is the end of its output
    os.close(2)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:  # which nobody may set, nor need to
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _kill_group(_number: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
