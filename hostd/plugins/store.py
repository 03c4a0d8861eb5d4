"""The private copies of plugin files: each in a folder named by its digest, whole or not there.

Paths are strings here: `pathlib` interns each part of a path, and the interpreter's table of interned strings grows
with each name that is new to it, which a digest is at each swap.
"""

import os
import shutil
import tempfile
from collections.abc import Set
from pathlib import Path

UNPACKED = "unpacked"


def kept_at(store: Path, digest: str, name: str) -> str:
    """Return where the store has a file of a digest."""
    return os.path.join(store, digest, name)


def keep(content: bytes, name: str, digest: str, store: Path) -> str:
    """Put the bytes in the store, whole or not at all, and return their path there."""
    kept = kept_at(store, digest, name)
    folder = os.path.dirname(kept)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        # Compared, not trusted: a power loss may have left a name without its bytes.
        if _holds(kept, content):
            return kept
    except FileNotFoundError:
        os.makedirs(folder, 0o700, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=folder)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        os.fchmod(fd, 0o400)
    os.replace(temporary, kept)
    return kept


def _holds(kept: str, content: bytes) -> bool:
    try:
        with open(kept, "rb") as file:
            return file.read() == content
    except FileNotFoundError:
        return False


def forget_unpacked(store: Path) -> None:
    """Remove what earlier daemons unpacked: it is unpacked anew from the bytes that count."""
    for folder in store.glob(f"*/{UNPACKED}"):
        shutil.rmtree(folder, ignore_errors=True)


def remove_others(digests: Set[str], store: Path) -> None:
    """Remove all private copies but those of some digests; one that is gone already is no error."""
    # Somebody may have removed the store; what is dropped in makes it anew.
    for digest in os.listdir(store) if os.path.isdir(store) else ():
        if digest not in digests:
            shutil.rmtree(os.path.join(store, digest), ignore_errors=True)
