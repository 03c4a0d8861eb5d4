"""The tables of the ledger. A ledger of an older version is brought up to date, step by step, when it is opened."""

SCHEMAS = (
    """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, offset INTEGER NOT NULL,
    fingerprint_length INTEGER NOT NULL, fingerprint BLOB NOT NULL,
    marker_length INTEGER NOT NULL, marker BLOB NOT NULL
) STRICT;
CREATE TABLE sinks (
    folder TEXT NOT NULL, processor TEXT NOT NULL, length INTEGER NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, PRIMARY KEY (folder, processor)
) STRICT;
CREATE TABLE generations (
    plugin TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    key TEXT NOT NULL, path TEXT NOT NULL, kept TEXT NOT NULL, since TEXT NOT NULL,
    records INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (plugin, number)
) STRICT;
CREATE TABLE provenance (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    plugin TEXT NOT NULL, generation INTEGER NOT NULL
) STRICT;
CREATE INDEX provenance_by_source ON provenance (source, end);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, raw BLOB NOT NULL, plugin TEXT NOT NULL, generation INTEGER NOT NULL,
    reason TEXT NOT NULL, traceback TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
""",
    """
ALTER TABLE generations ADD COLUMN permanent INTEGER NOT NULL DEFAULT 1;
CREATE TABLE holds (
    plugin TEXT PRIMARY KEY, kind TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
    generation INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE recent (plugin TEXT PRIMARY KEY, pieces TEXT NOT NULL) STRICT;
""",
    """
CREATE TABLE seals (source INTEGER PRIMARY KEY, seal BLOB NOT NULL, length INTEGER NOT NULL) STRICT;
""",
)
"""What each version of the schema adds to the one before; a ledger of an older version is brought up to date."""

SCHEMA_VERSION = len(SCHEMAS)
