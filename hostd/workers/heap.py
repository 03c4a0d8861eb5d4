"""What the C library does with memory that is freed. For the daemon and for what workers are forked from."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""mallopt(3) of glibc."""
LARGE_BYTES = 7 << 18
"""Less than the table of interned strings has when it grows, and more than a long batch mostly yields."""
KEPT_BYTES = 8 << 20


def keep_small_blocks() -> None:
    """Have large blocks go back to the system when they are freed, and a heap of small ones be kept.

    glibc raises its threshold with the first large one that is freed, and later ones, such as the table of interned
    strings when it is made anew, then leave holes in the heap: a daemon that runs for months has grown by them. What
    becomes of a batch is smaller mostly: each takes what the one before had, whose pages are there already.
    """
    with contextlib.suppress(AttributeError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
