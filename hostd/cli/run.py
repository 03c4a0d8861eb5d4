"""Run the daemon in the foreground. SIGHUP: read everything again. SIGTERM, Ctrl-C: finish and stop."""

import argparse
import signal

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
    # First of all: unhandled, a SIGHUP ends the process, and whoever sends one need not know whether it is up yet.
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: early.append(number))
    from hostd.workers.launch import launch

    # And then: the zygote loads what it needs on another core while we load what we need.
    launched = launch()
    import asyncio
    import gc

    gc.disable()
    from hostd import config, events
    from hostd.daemon import Daemon

    # What is loaded now lives as long as the daemon: the collector need not look at it, now or ever.
    gc.freeze()
    gc.enable()
    path = config.find(options.config)
    settings = config.load(path)
    events.configure(settings.log.format, settings.log.level)

    async def run() -> int:
        return await Daemon(settings, path, launched, once=options.once, hung_up=lambda: bool(early)).run()

    return asyncio.run(run())
