"""What hostd costs in things that can be counted stays within limits, whatever machine counts; and a slow-down shows.

A busy machine can make a count larger (a batch that is given to two workers, say), never smaller: so the least of a few
tries counts. The slow-downs are put in on purpose, so that it is known that these tests can fail.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import counted, counters, traced

needs_strace = pytest.mark.skipif(not traced.available(), reason="strace is not installed, or may not trace")
needs_valgrind = pytest.mark.skipif(not counted.available(), reason="valgrind is not installed")

SLOWED = """
import os
import hostd.pipeline.pump as pump
cut, nowhere = pump.next_cut, os.open(os.devnull, os.O_WRONLY)
def slowed(*arguments, **named):
    found = cut(*arguments, **named)
    for line in getattr(found, "data", b"").splitlines(keepends=True):
        os.write(nowhere, line)
    return found
pump.next_cut = slowed
"""
"""The daemon looks at each line: what it must never do."""
SLOWED_PROGRAM = ("-c", f"{SLOWED}\nimport sys\nfrom hostd.cli import main\nsys.exit(main())")


def least(count: Callable[[int], float], limit: float) -> float:
    """Return the first count within the limit, or the least of all tries."""
    found = []
    for number in range(counters.TRIES):
        found.append(count(number))
        if found[-1] <= limit:
            break
    return min(found)


def test_the_main_thread_calls_little_for_a_mib(tmp_path: Path) -> None:
    found = least(
        lambda number: counters.main_thread_calls_per_mib(tmp_path / f"{number}"), counters.MAIN_THREAD_CALLS_PER_MIB
    )
    assert found <= counters.MAIN_THREAD_CALLS_PER_MIB, f"{found:.0f} calls for a MiB"


@needs_strace
def test_the_daemon_asks_little_of_the_kernel(tmp_path: Path) -> None:
    tries = []
    for number in range(counters.TRIES):
        tries.append(counters.system(tmp_path / f"{number}"))
        if tries[-1].calls_per_mib <= counters.CALLS_PER_MIB and tries[-1].moved_per_byte <= counters.MOVED_PER_BYTE:
            break
    calls, moved = min(one.calls_per_mib for one in tries), min(one.moved_per_byte for one in tries)
    assert calls <= counters.CALLS_PER_MIB, f"{calls:.0f} system calls for a MiB"
    assert moved <= counters.MOVED_PER_BYTE, f"{moved:.2f} bytes copied for a byte"


@needs_valgrind
@pytest.mark.parametrize(
    ("what", "counter", "limits"),
    # What is copied shows in the instructions, and counting allocations takes as long again.
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each[0] == "allocations" else [])
        for each in counters.WORKER_LIMITS
    ],
)
def test_a_worker_takes_hardly_more_than_the_best_loop_and_copies_of_each_record_show(
    what: str, counter: counted.Counter, limits: dict[str, float], tmp_path: Path
) -> None:
    kinds = [f"{kind}:{name}" for name in limits for kind in ("processor", "careless", "loop")]
    found = counted.per_record(counter, kinds, tmp_path)
    for name, limit in limits.items():
        ours, careless, loop = (found[f"{kind}:{name}"] for kind in ("processor", "careless", "loop"))
        assert ours / loop <= limit, f"{name}: {ours:.1f} {what} for a record, the loop {loop:.1f}"
        assert careless / loop > limit, f"{name}: {careless:.1f} {what} with copies of each record, the loop {loop:.1f}"


@pytest.mark.slow
def test_calls_for_each_line_show_in_the_main_thread(tmp_path: Path) -> None:
    found = counters.main_thread_calls_per_mib(tmp_path, before=SLOWED)
    assert found > counters.MAIN_THREAD_CALLS_PER_MIB, f"{found:.0f} calls for a MiB"


@pytest.mark.slow
@needs_strace
def test_a_copy_more_and_a_system_call_for_each_line_show(tmp_path: Path) -> None:
    found = counters.system(tmp_path, SLOWED_PROGRAM)
    assert found.calls_per_mib > counters.CALLS_PER_MIB, f"{found.calls_per_mib:.0f} system calls for a MiB"
    assert found.moved_per_byte > counters.MOVED_PER_BYTE, f"{found.moved_per_byte:.2f} bytes copied for a byte"
