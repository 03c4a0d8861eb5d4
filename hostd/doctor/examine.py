"""All checks, in the order in which one's trouble explains the next one's."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from hostd.config import Config
from hostd.doctor.finding import Finding, Level, note, ok, problem
from hostd.doctor.flow import check_sources
from hostd.doctor.folders import check_state
from hostd.doctor.kept import check_kept
from hostd.doctor.ledger import SAVE, check_ledger
from hostd.doctor.plugins import check_artifacts, check_environments, check_sandbox
from hostd.doctor.sinks import check_sinks
from hostd.pipeline.faults import is_corrupt, ledger_error
from hostd.state import StateFolder


def examine(settings: Config, path: Path | None, state: StateFolder) -> list[Finding]:
    """Look into everything, and change nothing. The caller holds the state folder's lock."""
    found = [*_check_settings(settings, path), *check_state(state.path)]
    ledger = list(check_ledger(state.ledger))
    found += ledger
    by_ledger: list[Callable[[], Iterator[Finding]]] = [
        lambda: check_sinks(settings, state.ledger),
        lambda: check_sources(settings, state.ledger),
        lambda: check_artifacts(state),
    ]
    if any(finding.level is Level.PROBLEM and finding.where == str(state.ledger) for finding in ledger):
        found.append(note("sinks", "all", "not compared: the ledger cannot be read"))
        by_ledger = []
    for check in by_ledger:
        try:
            found += check()
        except sqlite3.Error as error:
            said = ledger_error(error, state.ledger)
            found.append(problem("ledger", said.where, said.problem, SAVE if is_corrupt(error) else said.remedy))
    return [*found, *check_kept(settings, state), *check_environments(state), *check_sandbox(settings)]


def _check_settings(settings: Config, path: Path | None) -> Iterator[Finding]:
    yield ok("settings", path or "defaults", "they are valid")
    if not settings.plugins.folder.is_dir():
        yield note(
            "settings", settings.plugins.folder, "there is no such plugins folder", "make it, and drop plugins in"
        )
    if not settings.sources:
        yield note("settings", path or "defaults", "no source is named", 'add [[sources]] with paths = ["…"]')
