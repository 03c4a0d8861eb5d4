"""What the settings say of a file that a command is given, so that it is taken as the daemon takes it."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from hostd.config import FileSource
from hostd.pipeline.sources.listing import paths_of


def settings_of(file: str, sources: Iterable[FileSource]) -> FileSource | None:
    """Return what the settings say of a file, if they name it: the first that does, as in the daemon."""
    real = os.path.realpath(file)
    for source in sources:
        if any(os.path.realpath(path) == real for pattern in source.paths for path, _ in paths_of(pattern)):
            return source
    return None


def folder(text: str) -> Path:
    """Read an option that names a folder: an empty one would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a folder")
    return Path(text)
