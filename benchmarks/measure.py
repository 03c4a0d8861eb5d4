"""Samples to medians, spreads and targets, as a table for people and as JSON for machines."""

import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1 << 20


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the sample that `percent` of all samples do not exceed."""
    ordered = sorted(samples)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity, measured many times, in one unit."""

    label: str
    unit: str
    samples: Sequence[float]

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """Return the figures and the samples they come from."""
        figures = {f"p{percent}": round(percentile(self.samples, percent), 4) for percent in (10, 50, 90, 99)}
        extremes = {"min": round(min(self.samples), 4), "max": round(max(self.samples), 4)}
        rounded = [round(sample, 4) for sample in self.samples]
        return {"label": self.label, "unit": self.unit, **figures, **extremes, "samples": rounded}


@dataclass(frozen=True, slots=True)
class Target:
    """A promise, what was measured, and whether it holds: at most `limit`, or at least."""

    label: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Tell whether the promise holds."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return the promise, the figure and the verdict."""
        bound = "at_least" if self.at_least else "at_most"
        measured = round(self.measured, 4)
        return {"label": self.label, "measured": measured, bound: self.limit, "unit": self.unit, "met": self.met}


@dataclass(slots=True)
class Report:
    """What one benchmark found. `notes` say how to read the figures."""

    name: str
    series: list[Series] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, label: str, unit: str, samples: Sequence[float]) -> Series:
        """Add a series; one without samples is left out of the report."""
        series = Series(label, unit, samples)
        if samples:
            self.series.append(series)
        return series

    def as_json(self) -> dict[str, Any]:
        """Return the whole report."""
        return {
            "name": self.name,
            "series": [series.as_json() for series in self.series],
            "targets": [target.as_json() for target in self.targets],
            "notes": self.notes,
        }


def show(report: Report) -> str:
    """Return a report as a table."""
    width = max((len(series.label) for series in report.series), default=0)
    head = f"  {'':{width}}  {'unit':6} {'n':>5} {'median':>9} {'p10':>9} {'p90':>9} {'p99':>9} {'max':>9}"
    lines = [head]
    for series in report.series:
        p10, p90, p99 = (percentile(series.samples, percent) for percent in (10, 90, 99))
        figures = (series.median, p10, p90, p99, max(series.samples))
        cells = " ".join(f"{_figure(value):>9}" for value in figures)
        lines.append(f"  {series.label:{width}}  {series.unit:6} {len(series.samples):>5} {cells}")
    for target in report.targets:
        sign = ">=" if target.at_least else "<="
        verdict = "met   " if target.met else "MISSED"
        measured, limit = _figure(target.measured), _figure(target.limit)
        lines.append(f"  {verdict}  {target.label}: {measured} {sign} {limit} {target.unit}".rstrip())
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join([*lines, ""])


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return {
        "cores": cores(),
        "processor": model or platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "scratch": tempfile.gettempdir(),
    }


def _figure(value: float) -> str:
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
