"""What goes wrong with disks and the ledger, in words: what it is, whether it may pass, and what to do about it."""

import errno
import sqlite3
from pathlib import Path

from hostd.errors import LedgerError

_REMEDIES = {
    errno.ENOSPC: "free space on its disk, and it goes on",
    errno.EDQUOT: "raise the quota of the daemon's user, or free space, and it goes on",
    errno.EROFS: "mount its disk so that it can be written, and it goes on",
    errno.EACCES: "let the daemon's user write it, and it goes on",
    errno.EPERM: "let the daemon's user write it, and it goes on",
    errno.ENOTDIR: "move away what lies where its folder should be, and it goes on",
    errno.EISDIR: "move that folder away, and it goes on",
    errno.ESPIPE: "move it away, and it goes on",
    errno.EBADMSG: "move it away, and it goes on; or set another path for the sink",
    errno.EBUSY: "end what holds its lock, and it goes on",
    errno.EFBIG: "rotate it, or raise the limit on file sizes",
    errno.EPIPE: "its reader has ended: restart hostd with another one",
    errno.ESTALE: "put it back, with the files beside it, and it goes on; restarted without it, all is read again",
    errno.EIO: "look for errors of its disk in the kernel's log",
    errno.EMFILE: "raise the limit on open files (LimitNOFILE=)",
    errno.ENFILE: "raise fs.file-max",
}

_LEDGER_REMEDIES = {
    sqlite3.SQLITE_FULL: _REMEDIES[errno.ENOSPC],
    sqlite3.SQLITE_READONLY: "let the daemon's user write it, and its folder, on a disk that can be written",
    sqlite3.SQLITE_CANTOPEN: "let the daemon's user write it, and its folder, on a disk that can be written",
    sqlite3.SQLITE_PERM: _REMEDIES[errno.EACCES],
    sqlite3.SQLITE_BUSY: "end what has it open beside the daemon",
    sqlite3.SQLITE_IOERR: "look whether its disk is full, or has errors in the kernel's log",
}

RECOVER = (
    "see what is left with hostd doctor, and save it with hostd doctor --recover; or restore it from a backup, "
    "together with the sinks' folders; moved away, every source is read again from its start"
)
_CORRUPT = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
}
"""A constraint that does not hold is one too: the rows that hostd writes keep them all."""


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_corrupt(error: sqlite3.Error) -> bool:
    """Tell whether the ledger itself is broken, so that trying again is of no use."""
    # A table or column that is missing, or whose name is no text, is reported as SQLITE_ERROR, with these words.
    words = ("no such table", "no such column", "malformed", "Could not decode to UTF-8")
    return _code(error) in _CORRUPT or str(error).startswith(words)


def ledger_error(error: sqlite3.Error, path: Path) -> LedgerError:
    """Return what to tell the operator about a ledger that cannot be used."""
    if is_corrupt(error):
        return LedgerError(str(path), f"the ledger is broken: {error}", RECOVER)
    remedy = _LEDGER_REMEDIES.get(_code(error), "look at its disk, and at who else uses it")
    return LedgerError(str(path), f"the ledger cannot be used: {error}", remedy)


def explain(error: OSError | sqlite3.Error) -> str:
    """Return what is wrong with a write and what to do, as far as that is known."""
    if isinstance(error, sqlite3.Error):
        return _joined(error, _LEDGER_REMEDIES.get(_code(error)))
    return _joined(error, _REMEDIES.get(error.errno or 0))


def _joined(error: Exception, remedy: str | None) -> str:
    return f"{error}; {remedy}" if remedy else str(error)
