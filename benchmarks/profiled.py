"""`hostd` with the calls of its main thread counted: `python -m benchmarks.profiled COUNT_FILE ARGUMENT...`.

The number of calls, of Python's functions and of C's, is written to COUNT_FILE at the end.
"""

import cProfile
import pstats
import sys
from pathlib import Path

from hostd.cli import main


def run(count_file: Path, arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    profile = cProfile.Profile()
    code = profile.runcall(main, arguments)
    count_file.write_text(str(pstats.Stats(profile).total_calls))  # type: ignore[attr-defined]
    return code


if __name__ == "__main__":
    raise SystemExit(run(Path(sys.argv[1]), sys.argv[2:]))
