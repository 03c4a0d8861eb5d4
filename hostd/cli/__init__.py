"""The command `hostd`. One small file a subcommand; errors go to standard error, usage errors exit with 2."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from hostd import __version__
from hostd.cli.failing import describe, give_up_output, stand_in
from hostd.cli.loading import loading

EXIT_INTERRUPTED = 130
"""As shells say of what Ctrl-C has ended."""

COMMANDS = {
    "run": "run the daemon in the foreground",
    "parse": "parse files once and print the records",
    "identify": "say which processor takes a file, and why",
    "check": "check plugins as the daemon would",
    "new": "write a working plugin to start from",
    "status": "show what a running daemon does",
    "dead": "list, show, replay, export or drop dead letters",
    "rollback": "go back to an earlier generation of a plugin",
    "pin": "keep the generation of a plugin that serves now",
    "unpin": "let the folder decide again, after pin or rollback",
    "explain": "say where a record comes from",
    "reparse": "parse again what a generation parsed, and replace its records",
    "doctor": "look into a stopped daemon: state, ledger, sinks, sources; save a broken ledger",
    "rescan": "have a running daemon read its folders and settings again",
}

EPILOG = """examples:
  hostd run                          watch plugins.d/ and read what hostd.toml names
  hostd parse access.log             records as JSON lines, without a daemon
  hostd identify access.log          which parser takes it, and why
  hostd new my_format                a plugin to start from, with its test
  hostd check my_format.py           would the daemon take it?
  cp my_format.py plugins.d/         it is live, nothing restarts
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    stand_in()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        give_up_output()
        return EXIT_INTERRUPTED


def _run(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="hostd",
        description="Turn raw logs into records, with parsers that are swapped live.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hostd {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        # A command's module is imported only when it is the one: `hostd status` need not load the pipeline.
        subparsers.add_parser(name, help=help_text, add_help=False)
    if not given or given[0] not in COMMANDS:
        parser.parse_args(given)
    # Looking for plugins of pydantic, installed packages that hook into validation, takes longer than all our models.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with loading():
        command = import_module(f"hostd.cli.{given[0]}")
    options = argparse.ArgumentParser(
        prog=f"hostd {given[0]}",
        description=command.__doc__,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (default: $HOSTD_CONFIG, else ./hostd.toml, else defaults)",
    )
    command.add_arguments(options)
    return invoke(command.main, options.parse_args(given[1:]))


def invoke(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Call a command's `main`; tell what went wrong as one line on standard error."""
    from hostd.errors import HostdError

    code = 1
    try:
        code = command(options)
        sys.stdout.flush()
    except HostdError as error:
        _complain(str(error))
    except BrokenPipeError:
        code = 1  # whoever read our output has had enough
    except OSError as error:
        code = 1
        _complain(describe(error, is_output=give_up_output()))
    give_up_output()
    return code


def _complain(message: str) -> None:
    from hostd.cli.printing import complain  # the zygote of `hostd run` need not wait for it

    complain(message)
