"""What the daemon sets of its own process, once, before all else."""

import contextlib
import resource


def raise_file_limit() -> None:
    """Use all descriptors that the system allows: every tailed file is an open one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems report a limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
