"""`python -m tests.fuzz [NAME...] --seconds N`: coverage-guided fuzzing of the processors that ship, with atheris.

Each processor has a process of its own, since a finding ends it. What was found interesting is kept in
`fuzz-corpus/NAME/`, where the next run begins; an input for which the invariant does not hold is in `fuzz-found/`, and
`python -m tests.fuzz NAME --replay FILE` shows why.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.invariant import check
from tests.processors.support import MODULES, SHIPPED

CORPUS, FOUND = Path("fuzz-corpus"), Path("fuzz-found")
MOST_BYTES = 4096
TIMEOUT_S = 10
MEMORY_MIB = 2048
NAMES = [path.stem for path in SHIPPED]


def main() -> int:
    """Fuzz the processors named, all of them by default; exit with 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="of a processor that ships (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each processor (default: 60)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="check the invariant for one input that was found")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no processor {unknown[0]!r} ships; there are {', '.join(NAMES)}")
    if options.replay is not None:
        for name in options.names:
            one_input(name, options.replay.read_bytes())
        return 0
    if options.here:
        fuzz(options.names[0], options.seconds)
        return 0
    found = [name for name in options.names or NAMES if not run(name, options.seconds)]
    print(f"found something in {', '.join(found)}: see {FOUND}/" if found else "found nothing")
    return 1 if found else 0


def run(name: str, seconds: int) -> bool:
    """Fuzz one processor in a process of its own; tell whether nothing was found."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--here"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = [line for line in done.stderr.splitlines() if line[:1] == "#" and line[1:2].isdecimal()][-1:]
    print(f"{name}: {'nothing' if not done.returncode else 'FOUND'}  {' '.join(last)}", flush=True)
    if done.returncode:
        print("\n".join([*done.stdout.splitlines()[-12:], *done.stderr.splitlines()[-4:]]), flush=True)
    return not done.returncode


def one_input(name: str, data: bytes) -> None:
    """Check one input: its first two bytes say where the rest is cut."""
    cut = int.from_bytes(data[:2], "little") % max(1, len(data) - 2)
    check(name, data[2:], cut)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz in this process, and end it."""
    import atheris  # type: ignore[import-not-found,unused-ignore] # of the extra `fuzz`

    seeds = CORPUS / name
    seeds.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    for number, sample in enumerate(MODULES[name][0].samples):
        (seeds / f"sample-{number}").write_bytes(b"\x10\x00" + sample.content())
    module = MODULES[name][1]
    for value in list(vars(module).values()):
        _instrument(atheris, value, module.__name__)
    arguments = [sys.argv[0], str(seeds), f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}"]
    arguments += [f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={FOUND}/{name}-"]
    atheris.Setup(arguments, lambda data: one_input(name, data))
    atheris.Fuzz()


def _instrument(atheris: object, value: object, module: str) -> None:
    """Have the functions of a plugin, and the methods of its classes, report which branches they take."""
    if getattr(value, "__module__", None) != module:
        return
    methods = vars(value).values() if isinstance(value, type) else [value]
    for method in methods:
        if hasattr(method, "__code__"):
            atheris.instrument_func(method)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
