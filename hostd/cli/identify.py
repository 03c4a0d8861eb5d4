"""Say which processor takes each file, and why: the ranking, best first. Nothing is parsed, and no plugin's code runs.

It is what the daemon and `hostd parse` decide by. Exit 1 when a file would wait, or cannot be read.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hostd import config, events
from hostd.cli.heads import look_into, route_of
from hostd.cli.named import folder, settings_of
from hostd.cli.printing import complain, printable, say, say_json
from hostd.config import Config
from hostd.errors import Refusal
from hostd.pipeline.detection import Ranking, rank
from hostd.pipeline.routing import Route
from hostd.plugins.manifests import read_manifests

EPILOG = """examples:
  hostd identify /var/log/*          which processor takes each
  hostd identify --json export.dat   with every candidate, for machines
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file; packed and UTF-16 ones are looked into")
    parser.add_argument("--plugins", type=folder, metavar="DIR", help="the plugins folder, instead of the settings'")
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def main(options: argparse.Namespace) -> int:
    """Look at each file; return 0 when every one has a processor."""
    settings = config.load(config.find(options.config))
    events.configure("console", "error")
    reports = asyncio.run(_identify_all(options, settings))
    if options.json:
        say_json(reports)
    else:
        for report in reports:
            _show(report)
    return 0 if all(report["processor"] for report in reports) else 1


async def _identify_all(options: argparse.Namespace, settings: Config) -> list[dict[str, Any]]:
    plugins: Path = options.plugins.absolute() if options.plugins else settings.plugins.folder
    settings_path = config.find(options.config)
    base = settings_path.absolute().parent if settings_path else Path.cwd()
    with tempfile.TemporaryDirectory(prefix="hostd-identify-") as temporary:
        manifests = await read_manifests(plugins, settings.plugins, Path(temporary), _say_refused)
        reports = []
        for file in options.files:
            source = settings_of(file, settings.files)
            try:
                name, head = await look_into(file, base, source)
            except OSError as error:
                reports.append(_report(file, Route(None, f"it cannot be read: {error.strerror or error}")))
                continue
            ranking = rank(name, head, manifests) if head else Ranking((), ())
            reports.append(_report(file, route_of(ranking, head, source, {each.name for each in manifests}), ranking))
        return reports


def _say_refused(path: Path, refusal: Refusal) -> None:
    complain(f"{path.name} is not in service: {refusal}")


def _report(file: str, route: Route, ranking: Ranking | None = None) -> dict[str, Any]:
    candidates, near = (ranking.candidates, ranking.near) if ranking is not None else ((), ())
    return {
        "file": file,
        "processor": route.plugin,
        "why": route.why,
        "candidates": [
            {"processor": each.plugin, "grade": each.grade.name.lower(), "why": each.why, "reasons": each.reasons}
            for each in candidates
        ],
        "near": [{"processor": each.plugin, "missing": each.missing} for each in near],
    }


def _show(report: dict[str, Any]) -> None:
    became = f"{report['processor']} ({report['why']})" if report["processor"] else f"waits: {report['why']}"
    say([f"{printable(report['file'])}: {became}"])
    width = max((len(each["processor"]) for each in report["candidates"]), default=0)
    say(f"  {each['processor']:<{width}}  {'; '.join(each['reasons'])}" for each in report["candidates"])
