"""What the kernel lets one worker use, in force with the sandbox and without. Standard library only."""

import contextlib
import math
import os
import resource
import time

OPEN_FILES = 256
PROCESSES = 4096
"""Of the daemon's user, threads counted, or of one zygote's where that has a user namespace of its own."""
STACK_BYTES = 64 << 20
CPU_PER_SECOND = 2 + (os.cpu_count() or 1)
"""Processor seconds that a worker may use in a second of a batch's time: native code may use every core."""

CPU_AHEAD_S = 2.0
"""By how many processor seconds the limit is set ahead of need."""


class DataSize:
    """What RLIMIT_DATA counts of the process that makes this, to be asked also once /proc is out of its sight."""

    def __init__(self) -> None:
        self._statm = -1
        with contextlib.suppress(OSError):  # not Linux
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def bytes(self) -> int:
        """Return it as of now; 0 where it cannot be told."""
        try:
            return int(os.pread(self._statm, 200, 0).split()[5]) * resource.getpagesize()
        except OSError:
            return 0


def set_limits(memory_mib: int, used: DataSize) -> None:
    """Limit this worker for good. It may allocate `memory_mib` beyond what it shares with the zygote."""
    memory_bytes = memory_mib << 20
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_NPROC, PROCESSES)
    _lower(resource.RLIMIT_STACK, STACK_BYTES)  # a stack is no data
    # Nor is what it writes to its memory files, which are as large as the records of one batch.
    _lower(resource.RLIMIT_FSIZE, memory_bytes)
    if shared := used.bytes():
        _lower(resource.RLIMIT_DATA, shared + memory_bytes)


class CpuAllowance:
    """The processor time that this worker may use, past which it is ended.

    Its batches end at their deadlines already: this is for threads that are left behind.
    """

    def __init__(self) -> None:
        self._limit_s = 0

    def allow(self, time_s: float) -> None:
        """Let it use what `time_s` of parsing can need, from now on."""
        needed_s = time.process_time() + CPU_PER_SECOND * time_s
        if needed_s <= self._limit_s <= needed_s + 2 * CPU_AHEAD_S:
            return
        # More than is asked for, so that the kernel need not be told with each of many short batches.
        self._limit_s = math.ceil(needed_s + CPU_AHEAD_S)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(ValueError):  # a limit of the daemon's own is lower
            resource.setrlimit(resource.RLIMIT_CPU, (self._limit_s, hard))


def _lower(which: int, limit: int) -> None:
    soft, hard = resource.getrlimit(which)
    for present in (soft, hard):
        if present != resource.RLIM_INFINITY:
            limit = min(limit, present)
    resource.setrlimit(which, (limit, limit))
