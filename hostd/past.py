"""What is remembered of a plugin beyond the life of the daemon: the words that the ledger and the plugins share."""

from msgspec import Struct


class Past(Struct, frozen=True):
    """A generation that went live. `path` is where its file lay, `kept` its private copy.

    `proven_under` says what it was proven under, if it was: hostd, Python and what confines plugins.
    """

    plugin: str
    number: int
    version: str
    digest: str
    key: str
    path: str
    kept: str
    since: str
    records: int = 0
    rejected: int = 0
    permanent: bool = False
    proven_under: str = ""


class Hold(Struct, frozen=True):
    """An operator's or a probation's decision against what lies in the folder, until that file changes.

    `pinned`: `generation`, made from the file `path` with `digest`, serves whatever else arrives.
    `rolled back`: that file is set aside, and `generation` serves in its place.
    """

    plugin: str
    kind: str
    path: str
    digest: str
    generation: int
    reason: str


PINNED = "pinned"
ROLLED_BACK = "rolled back"
