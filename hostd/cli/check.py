"""Check plugins as the daemon would before it swaps them in, with the same messages. Exit 0 or 1."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from hostd import config, events
from hostd.cli.printing import printable, say, say_json
from hostd.config import Config
from hostd.errors import Refusal, Stage
from hostd.plugins import artifact as artifacts
from hostd.plugins import proof, trust
from hostd.plugins.environment import Environments
from hostd.plugins.folder import is_plugin_name
from hostd.workers.pool import Pool
from hostd.workers.sandbox import Sandbox

EPILOG = """examples:
  hostd check my_format.py
  hostd check plugins.d/* dist/*.whl --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .py or .toml plugin, or a wheel")
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def main(options: argparse.Namespace) -> int:
    """Check each file; return 0 when the daemon would take them all."""
    settings = config.load(config.find(options.config))
    events.configure("console", "error")
    reports = asyncio.run(_check_all(options.files, settings))
    if options.json:
        say_json(reports)
    else:
        for report in reports:
            _show(report)
    return 0 if all(report["ok"] for report in reports) else 1


async def _check_all(files: list[Path], settings: Config) -> list[dict[str, Any]]:
    workers = settings.workers
    with tempfile.TemporaryDirectory(prefix="hostd-check-") as temporary:
        store = Path(temporary) / "artifacts"
        store.mkdir()
        environments = Environments(Path(temporary) / "environments", settings.plugins.find_links)
        sandbox = Sandbox(settings.plugins.sandbox.mode, store, settings.state.folder)
        pool = Pool(settings.busy_workers, workers.idle_s, sandbox=sandbox, start_timeout_s=workers.start_timeout_s)
        try:
            return [await _check(file, store, settings, pool, environments) for file in files]
        finally:
            await pool.close()


async def _check(file: Path, store: Path, settings: Config, pool: Pool, environments: Environments) -> dict[str, Any]:
    report: dict[str, Any] = {
        "file": str(file),
        "ok": False,
        "name": None,
        "version": None,
        "stage": None,
        "reason": None,
    }
    try:
        if not is_plugin_name(file.name):
            raise Refusal(
                Stage.FOUND, str(file), "is not a plugin by its name", "call it NAME.py or NAME.toml, or build a wheel"
            )
        artifact = await asyncio.to_thread(artifacts.read, file.absolute(), store, trust.policy(settings.plugins.trust))
        report |= {"name": artifact.manifest.name, "version": artifact.manifest.version}
        options = settings.plugins.options.get(artifact.manifest.name)
        generation = proof.make(1, artifact, options, settings.pipeline.source_field, pool, environments)
        try:
            await proof.prove(generation, environments, settings.plugins.sandbox.grants)
        finally:
            await generation.crew.kill()
        report |= {"ok": True, "samples": len(artifact.manifest.samples)}
    except Refusal as refusal:
        report |= {"stage": refusal.stage.value, "reason": str(refusal)}
    except artifacts.BeingWrittenError:
        report |= {
            "stage": Stage.FOUND.value,
            "reason": f"{file}: is being written; check it again when that is done",
        }
    except FileNotFoundError:
        report |= {"stage": Stage.FOUND.value, "reason": f"{file}: is not there; check the path"}
    return report


def _show(report: dict[str, Any]) -> None:
    if report["ok"]:
        samples = f"{report['samples']} samples pass" if report["samples"] else "it carries no samples; add one"
        say([f"{printable(report['file'])}: ok, {report['name']} {report['version']}; {samples}"])
    else:
        say([f"refused at {report['stage']}: {report['reason']}"], sys.stderr)
