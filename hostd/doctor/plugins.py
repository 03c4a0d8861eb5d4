"""The plugins' side: private copies that a restart may need, environments, and the sandbox."""

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostd.config import Config
from hostd.doctor.finding import Finding, note, ok, problem
from hostd.doctor.reading import columns, reading
from hostd.state import StateFolder
from hostd.workers.confinement import SandboxError
from hostd.workers.pool import Pool
from hostd.workers.sandbox import Sandbox

_NEEDED = (
    "SELECT plugin, number, version, digest, path, kept FROM generations g WHERE number ="
    " (SELECT max(number) FROM generations o WHERE o.plugin = g.plugin) OR (permanent AND number ="
    " (SELECT max(number) FROM generations o WHERE o.plugin = g.plugin AND o.permanent)) ORDER BY plugin, number"
)
"""Of each plugin, the generation that served last, and the last one that was proven."""


def check_artifacts(state: StateFolder) -> Iterator[Finding]:
    """Yield whether the private copies are there that a restart with a broken file would come up on.

    Raises sqlite3.Error.
    """
    needed = _needed(state.ledger)
    for plugin, number, version, digest, path, kept in needed:
        name = f"generation {number} of {plugin} ({version})"
        if not Path(kept).exists():
            if Path(path).exists():
                yield note("artifacts", kept, f"the private copy of {name} is gone", "nothing: it is made again")
            continue
        if hashlib.sha256(Path(kept).read_bytes()).hexdigest() != digest:
            yield problem(
                "artifacts",
                kept,
                f"the private copy of {name} is not what its digest says",
                f"rm -r {Path(kept).parent}",
            )
        else:
            yield ok("artifacts", kept, f"{name} is kept")
    if state.artifacts.exists():
        more = {folder.name for folder in state.artifacts.iterdir()} - {row[3] for row in needed}
        if more:
            yield note("artifacts", state.artifacts, f"{len(more)} private copies of other generations are kept")


def _needed(ledger: Path) -> list[tuple[Any, ...]]:
    if not ledger.exists():
        return []
    with reading(ledger) as db:
        return db.execute(_NEEDED).fetchall() if "permanent" in columns(db, "generations") else []


def check_environments(state: StateFolder) -> Iterator[Finding]:
    """Yield what is installed for plugins, and what an installation that was cut short has left."""
    if not state.environments.exists():
        return
    for folder in sorted(state.environments.iterdir()):
        if folder.name.startswith("."):
            yield note("environments", folder, "an installation was cut short", f"rm -r {folder}")
        elif not any(folder.iterdir()):
            yield problem("environments", folder, "it is empty", f"rmdir {folder}: it is installed again")
        else:
            yield ok("environments", folder, "it is installed")


def check_sandbox(settings: Config) -> Iterator[Finding]:
    """Yield whether plugins can be confined, by trying it."""
    mode = settings.plugins.sandbox.mode
    if mode == "off":
        yield note("sandbox", "[plugins.sandbox]", 'plugins run unconfined: mode = "off"')
        return
    try:
        by, reason = asyncio.run(_try_sandbox(settings))
    except SandboxError as error:
        yield problem("sandbox", error.where, error.problem, error.remedy)
        return
    if by == "none":
        what, _, remedy = reason.rpartition("; ")
        yield note("sandbox", "[plugins.sandbox]", f"plugins run unconfined: {what}", remedy)
    else:
        yield ok("sandbox", "[plugins.sandbox]", f"plugins run under {by}")


async def _try_sandbox(settings: Config) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="hostd-doctor-") as store:
        pool = Pool(1, 1.0, sandbox=Sandbox(settings.plugins.sandbox.mode, Path(store), settings.state.folder))
        try:
            await pool.settle()
            return pool.confinement.by, pool.confinement.reason
        finally:
            await pool.close()
