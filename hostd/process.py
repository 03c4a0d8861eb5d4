"""What the daemon sets of its own process, once, before all else."""

import contextlib
import ctypes
import resource

_M_MMAP_THRESHOLD = -3
"""mallopt(3) of glibc."""
_LARGE_BYTES = 4 << 20


def raise_file_limit() -> None:
    """Use all descriptors that the system allows: every tailed file is an open one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems report a limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def return_large_blocks() -> None:
    """Have the C library give large blocks back to the system when they are freed.

    glibc raises its threshold with the first one that is, and later ones, such as the table of interned strings when
    it is made anew, then leave holes in the heap: a daemon that runs for months has grown by them. Batches, and what
    they yield, are smaller: their pages are used again.
    """
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
