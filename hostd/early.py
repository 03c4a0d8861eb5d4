"""What a command must know before it has loaded the rest: which settings file, and how plugins are to be confined.

The zygote starts with this while the daemon is still being loaded, so it imports next to nothing and judges nothing:
`hostd.config` reads the same file again, in full.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

DEFAULT_NAME = "hostd.toml"
STATE_FOLDER = "state"
SandboxMode = Literal["auto", "required", "off"]
SANDBOX_MODE: SandboxMode = "auto"
_MODES: dict[object, SandboxMode] = {"auto": "auto", "required": "required", "off": "off"}


def find(named: Path | None) -> Path | None:
    """Return the settings file: the one named, else $HOSTD_CONFIG, else ./hostd.toml, else None."""
    if named is not None:
        return named
    if from_environment := os.environ.get("HOSTD_CONFIG"):
        return Path(from_environment)
    here = Path(DEFAULT_NAME)
    return here if here.exists() else None


def peek(path: Path | None) -> tuple[SandboxMode, Path] | None:
    """Return the sandbox's mode and the state folder that the settings at `path` name; None if they are no settings."""
    table: Any = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
    mode = _MODES.get(str(_get(table, SANDBOX_MODE, "plugins", "sandbox", "mode")))
    folder = _get(table, STATE_FOLDER, "state", "folder")
    if mode is None or not isinstance(folder, str):
        return None
    base = path.absolute().parent if path is not None else Path.cwd()
    return mode, Path(os.path.normpath(base / folder))


def _get(table: Any, default: object, *names: str) -> Any:
    for name in names:
        if not isinstance(table, dict):
            return None
        if name not in table:
            return default
        table = table[name]
    return table
