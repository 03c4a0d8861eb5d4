"""The command: run the benchmarks named, all of them by default; exit with 1 when a target was missed."""

import argparse
import json
import signal
import sys
from pathlib import Path

from benchmarks import (
    append,
    calls,
    columns,
    counters,
    declared,
    durable,
    faults,
    formats,
    http,
    identify,
    idle,
    ledger,
    many,
    peers,
    processors,
    reload,
    roundtrip,
    scale,
    sinks,
    start,
    storm,
    swap,
    syslog,
    throughput,
    unload,
)
from benchmarks.measure import Report, machine, show
from hostd import events

MODULES = (
    start,
    identify,
    roundtrip,
    swap,
    storm,
    append,
    throughput,
    formats,
    declared,
    durable,
    sinks,
    http,
    idle,
    ledger,
    syslog,
    many,
    processors,
    columns,
    peers,
    reload,
    calls,
    counters,
    unload,
    scale,
    faults,
)
BENCHMARKS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
RESULTS = Path("bench-results")


def main() -> int:
    """Run, print, write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer turns on less input: a smoke test, in which only correctness decides",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to this file as well")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is stopped too
    events.configure("auto", "warning")  # of the pools that benchmarks run in this process
    reports: list[Report] = []
    for name in options.names or BENCHMARKS:
        print(f"{name}: {(BENCHMARKS[name].__doc__ or '').partition(chr(10))[0]}", flush=True)
        report = BENCHMARKS[name].run(quick=options.quick)
        print(show(report), flush=True)
        _write(RESULTS / f"{name}.json", [report], quick=options.quick)
        reports.append(report)
    if options.json is not None:
        _write(options.json, reports, quick=options.quick)
    # On little input, beside whatever else runs, only what must be right decides, not what must be fast.
    targets = [target for report in reports for target in report.targets if not (options.quick and target.unit)]
    return 0 if all(target.met for target in targets) else 1


def _write(path: Path, reports: list[Report], *, quick: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "quick": quick, "benchmarks": [report.as_json() for report in reports]}
    path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
