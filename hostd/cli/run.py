"""Run the daemon in the foreground. SIGHUP: read everything again. SIGTERM, Ctrl-C: finish and stop."""

import argparse
import asyncio

from hostd import config, events
from hostd.daemon import Daemon

EPILOG = """examples:
  hostd run
  hostd run --config /etc/hostd/hostd.toml
  hostd run --once     parse all there is, commit, exit: 0, or 3 when input was left or rejected
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--once", action="store_true", help="parse all there is, commit, and exit")


def main(options: argparse.Namespace) -> int:
    """Run until stopped; return the exit code."""
    path = config.find(options.config)
    settings = config.load(path)
    events.configure(settings.log.format, settings.log.level)

    async def run() -> int:
        return await Daemon(settings, path, once=options.once).run()

    return asyncio.run(run())
