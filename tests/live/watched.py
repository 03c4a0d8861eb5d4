"""`python watched.py run …` is `hostd run …` that also says which callback held up its event loop, and for how long.

Counted is the time from a callback's begin to its end, less what the kernel says that this thread, or one that may have
had the interpreter's lock, only waited for a core: a loaded machine is not the callback's fault. Of a callback that has
never given up its core by itself, which waiting for anything does, only the time on that core counts: a virtual machine
can lose its cores, and its kernel does not know.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import time

from hostd import cli

MOST_S = 0.05


class _Cores:
    """Knows how long the threads of this process have waited for a core."""

    def __init__(self) -> None:
        self._accounts: dict[int, int] = {}

    def waited_s(self) -> float:
        """Return the sum for all threads that run Python now."""
        total = 0
        for thread in threading.enumerate():
            number = thread.native_id or os.getpid()
            try:
                if number not in self._accounts:
                    self._accounts[number] = os.open(f"/proc/self/task/{number}/schedstat", os.O_RDONLY)
                total += int(os.pread(self._accounts[number], 64, 0).split()[1])
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
        return total / 1e9


def watch() -> None:
    """Watch every callback of the event loops from now on."""
    cores, run = _Cores(), asyncio.Handle._run

    def watched(handle: asyncio.Handle) -> None:
        began, waited_s, cpu_s = time.monotonic(), cores.waited_s(), time.thread_time()
        waits = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        try:
            run(handle)
        finally:
            held_s = time.monotonic() - began
            if held_s > MOST_S and resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw == waits:
                held_s = time.thread_time() - cpu_s
            elif held_s > MOST_S:
                held_s -= max(0.0, cores.waited_s() - waited_s)
            if held_s > MOST_S:
                line = {
                    "event": "loop.blocked",
                    "held_s": round(held_s, 3),
                    "cpu_s": round(time.thread_time() - cpu_s, 3),
                    "callback": repr(getattr(handle._callback, "__self__", handle)),  # type: ignore[attr-defined]
                }
                print(json.dumps(line), file=sys.stderr, flush=True)

    asyncio.Handle._run = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    watch()
    sys.exit(cli.main())
