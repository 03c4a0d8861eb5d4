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
CREATE TABLE streams (
    source INTEGER PRIMARY KEY, plugin TEXT NOT NULL, generation INTEGER NOT NULL, offset INTEGER NOT NULL,
    state BLOB NOT NULL, ended INTEGER NOT NULL, origin_offset INTEGER NOT NULL, origin_state BLOB
) STRICT;
""",
    # The numbers of dead letters are never used again: one that is dropped while it is parsed anew is no other one.
    # `kept` of `length` bytes are in `raw`, deflated if `packed`; `header` is 0 for none, null where it is not known.
    """
CREATE TABLE dead_letters_anew (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, raw BLOB NOT NULL, plugin TEXT NOT NULL, generation INTEGER NOT NULL,
    reason TEXT NOT NULL, traceback TEXT NOT NULL, at TEXT NOT NULL,
    kept INTEGER NOT NULL, packed INTEGER NOT NULL DEFAULT 0, digest BLOB NOT NULL DEFAULT x'',
    header INTEGER, framing TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL,
    tried INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO dead_letters_anew
    (id, source, name, offset, length, raw, plugin, generation, reason, traceback, at, kept, size)
    SELECT *, length(raw), length(raw) + length(name) + length(reason) + length(traceback) + 128 FROM dead_letters;
DROP TABLE dead_letters;
ALTER TABLE dead_letters_anew RENAME TO dead_letters;
CREATE INDEX dead_letters_by_generation ON dead_letters (plugin, generation, id);
CREATE INDEX dead_letters_by_header ON dead_letters (header) WHERE header > 0;
CREATE TABLE dead_headers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, packed BLOB NOT NULL
) STRICT;
CREATE TABLE dead_totals (
    plugin TEXT NOT NULL, generation INTEGER NOT NULL, letters INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (plugin, generation)
) STRICT;
INSERT INTO dead_totals
    SELECT plugin, generation, count(*), sum(size) FROM dead_letters GROUP BY plugin, generation;
CREATE TABLE dead_counters (
    plugin TEXT PRIMARY KEY, replayed INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
""",
    """
CREATE TABLE sink_files (
    id INTEGER PRIMARY KEY, folder TEXT NOT NULL, processor TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, base INTEGER NOT NULL, coming INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX sink_files_by_identity ON sink_files (device, inode);
CREATE TABLE places (
    file INTEGER NOT NULL, seq INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    records INTEGER NOT NULL, source INTEGER NOT NULL, begin INTEGER NOT NULL, until INTEGER NOT NULL,
    generation INTEGER NOT NULL, at INTEGER NOT NULL, head INTEGER NOT NULL, tail INTEGER NOT NULL,
    PRIMARY KEY (file, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE packs (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    newest INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX packs_by_file ON packs (file, start);
CREATE TABLE replacements (
    folder TEXT NOT NULL, processor TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    new_device INTEGER NOT NULL, new_inode INTEGER NOT NULL, PRIMARY KEY (folder, processor)
) STRICT;
CREATE TABLE source_days (source INTEGER PRIMARY KEY, day INTEGER NOT NULL) STRICT;
""",
    """
CREATE TABLE seals (source INTEGER PRIMARY KEY, seal BLOB NOT NULL, length INTEGER NOT NULL) STRICT;
""",
    """
CREATE TABLE received_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL,
    done INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, at INTEGER NOT NULL, UNIQUE (source, key)
) STRICT;
CREATE INDEX received_keys_by_age ON received_keys (at);
""",
    """
ALTER TABLE generations ADD COLUMN proven_under TEXT NOT NULL DEFAULT '';
""",
    # Of an older ledger those are known whose snapshots it has. The number comes first: in a broken ledger rows are
    # told by their columns, and SQLite has a table of a name and a number itself.
    """
CREATE TABLE stream_generations (
    generation INTEGER NOT NULL, plugin TEXT NOT NULL, PRIMARY KEY (plugin, generation)
) STRICT;
INSERT INTO stream_generations SELECT DISTINCT generation, plugin FROM streams;
""",
)
"""What each version of the schema adds to the one before; a ledger of an older version is brought up to date."""

SCHEMA_VERSION = len(SCHEMAS)
