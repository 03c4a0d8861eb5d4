"""Look into a stopped hostd: settings, state, ledger, sinks, sources, plugins. Exit 1 when it finds a problem."""

import argparse

from msgspec.structs import asdict

from hostd import config, events
from hostd.cli.printing import say, say_json
from hostd.doctor.finding import Finding, Level, problem
from hostd.errors import ConfigError
from hostd.state import StateFolder

EPILOG = """examples:
  hostd doctor                       looks, and changes nothing
  hostd doctor --json | python3 -m json.tool
  hostd doctor --recover             saves what a broken ledger holds; that one is kept beside it
  hostd doctor --recover --unknown again    files whose checkpoint is lost are read from their start
  hostd doctor --recover --unknown skip     files whose checkpoint is lost are read from their present end
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--verbose", action="store_true", help="show what is well, too")
    parser.add_argument("--recover", action="store_true", help="make a new ledger of what a broken one still holds")
    parser.add_argument(
        "--unknown",
        choices=("again", "skip"),
        help="with --recover: what to do about files whose checkpoint is lost: read them from their start, so that "
        "records may come twice, or from their present end, so that lines may be missed",
    )
    parser.set_defaults(refuse=parser.error)


def main(options: argparse.Namespace) -> int:
    """Look, and save if asked to; return 1 when a problem is left."""
    from hostd.doctor.examine import examine
    from hostd.doctor.recover import recover

    if options.unknown and not options.recover:
        options.refuse("argument --unknown: it goes with --recover alone")
    path = config.find(options.config)
    events.configure("console", "error")
    try:
        settings = config.load(path)
    except ConfigError as error:
        findings = [problem("settings", error.where, error.problem, error.remedy)]
    else:
        state = StateFolder(settings.state.folder)
        with state.held():
            unknown = options.unknown
            findings = recover(settings, state, unknown) if options.recover else examine(settings, path, state)
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]
    if options.json:
        report = {"ok": not problems, "findings": [asdict(finding) for finding in findings]}
        say_json(report)
    else:
        shown = [each for each in findings if options.verbose or options.recover or each.level is not Level.OK]
        say([*map(_line, shown), _sum(findings)])
    return 1 if problems else 0


def _line(finding: Finding) -> str:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{finding.level.value:8} {finding.check:13} {finding.where}: {finding.what}{remedy}"


def _sum(findings: list[Finding]) -> str:
    counts = [(level, sum(finding.level is level for finding in findings)) for level in reversed(Level)]
    return ", ".join(
        f"{count} {level.value}{'s' if level is not Level.OK and count != 1 else ''}" for level, count in counts
    )
