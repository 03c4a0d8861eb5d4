"""The file that a source was read from, found again by what the ledger knows of it: by identity, else by its bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostd.pipeline.ledger import SourceRow
from hostd.pipeline.sources.file import FINGERPRINT_BYTES, is_continued_by
from hostd.pipeline.sources.memory import list_files
from hostd.pipeline.sources.spool import NOT_KEPT, is_spooled


@dataclass(frozen=True, slots=True)
class Original:
    """An open file that holds what was read of a source. The caller closes `fd`."""

    path: Path
    fd: int


def find_original(row: SourceRow) -> Original | str:
    """Open the file that holds what was read of a source, also after a rename or a rotation that copied it.

    Return why not when there is none: it is gone, rewritten, or may not be read.
    """
    if is_spooled(row):
        return NOT_KEPT
    why = f"{row.path} is gone"
    for path, is_it in _candidates(row):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if is_it:
                why = f"{path} cannot be read: {error.strerror}"
            continue
        if is_continued_by(row.checkpoint, fd, os.fstat(fd).st_size):
            return Original(path, fd)
        os.close(fd)
        if is_it:
            why = f"{path} was rewritten, or cut"
    return why


def _candidates(row: SourceRow) -> Iterator[tuple[Path, bool]]:
    """Yield where it may be, and whether that is the same file by identity."""
    path, identity = Path(row.path), (row.device, row.inode)
    here = list_files(path.parent)
    if identity in here:
        yield here[identity], True
    if row.checkpoint.fingerprint_length < FINGERPRINT_BYTES:
        return  # too short to tell a copy of it from another file that begins alike
    for other in sorted(here.values()):
        if other.name.startswith(path.name) and here.get(identity) != other:
            yield other, False
