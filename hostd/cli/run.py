"""Run the daemon in the foreground. SIGHUP: read everything again. SIGTERM, Ctrl-C: finish and stop."""

import argparse
import signal
from pathlib import Path

from hostd import early
from hostd.cli.loading import loading
from hostd.state import StateFolder
from hostd.workers.launch import Launched, launch
from hostd.workers.sandbox import Sandbox

EPILOG = """examples:
  hostd run
  hostd run --config /etc/hostd/hostd.toml
  hostd run --once     parse all there is, commit, exit: 0, or 3 when input was left or there are dead letters

exit code 4: the ledger is broken, of a newer hostd, or its disk does not take it; see hostd doctor
"""

EXIT_LEDGER = 4
"""The ledger cannot be used: to start again is of no use until somebody has seen to it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--once", action="store_true", help="parse all there is, commit, and exit")


def main(options: argparse.Namespace) -> int:
    """Run until stopped; return the exit code."""
    # First of all: unhandled, a SIGHUP ends the process, and whoever sends one need not know whether it is up yet.
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    # And then: the zygote loads what it needs on another core while we load what we need.
    path = early.find(options.config)
    state, launched = _launch(path)
    import asyncio

    with loading():
        from hostd import config, events
        from hostd.daemon import Daemon
        from hostd.errors import ConfigError, LedgerError

    try:
        settings = config.load(path)
    except ConfigError:
        if state is not None:
            state.unmake()
        raise
    events.configure(settings.log.format, settings.log.level)

    async def run() -> int:
        return await Daemon(settings, path, launched, once=options.once, hung_up=lambda: bool(hangups)).run()

    try:
        return asyncio.run(run())
    except LedgerError as error:
        events.emit(events.LEDGER_REFUSED, path=error.where, reason=error.problem, remedy=error.remedy)
        return EXIT_LEDGER
    except OSError as error:  # a bug of ours, to be seen as what it is
        raise RuntimeError("a failure that nobody expected") from error


def _launch(path: Path | None) -> tuple[StateFolder | None, Launched | None]:
    """Start the zygote that the settings at `path` ask for, and make the state folder that it is shown a part of.

    Neither where that has to wait until the settings are loaded: what is wrong is said then.
    """
    peeked = early.peek(path)
    if peeked is None:
        return None, None
    mode, folder = peeked
    if mode == "off":
        return None, launch()
    state = StateFolder(folder)
    try:
        state.make()
        return state, launch(sandbox=Sandbox(mode, state.artifacts, state.path))
    except OSError:
        return state, None
