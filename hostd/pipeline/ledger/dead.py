"""Input that could not be parsed, kept with the reason until it can be, or until it is too old or too much.

A letter leaves in the same transaction that commits what came of it; its number is never used again.
"""

import hashlib
import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from hostd import clock, events
from hostd.pipeline.ledger.letters import Shelf
from hostd.pipeline.ledger.rows import Letter, Replay, Result
from hostd.pipeline.ledger.selection import Selection
from hostd.pipeline.spans import Span, is_in, union
from hostd.workers.batch import DeadLetter

MAX_DEAD_BYTES = 64 << 10
"""How many bytes of one dead letter are kept; the rest is in the source, at its offset."""
PACKED_FROM_BYTES = 512
"""From which size on bytes are deflated: below it little is gained, and thousands come at once."""
ROW_BYTES = 128
"""What a row takes beyond its texts and bytes, roughly."""
AT_ONCE = 1000
"""How many are removed before others have their turn with the ledger."""
GIVEN_UP_AT_ONCE = 50_000
SLACK = 16
"""When the letters take too much, a sixteenth of what they may take is given up at once, not a letter a commit."""


class DeadLetters(Shelf):
    """The tables `dead_letters`, `dead_headers`, `dead_totals` and `dead_counters`.

    `keep_bytes` and `keep_days` bound what is kept; 0 is no bound. The oldest go first.
    """

    def __init__(self, db: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(db)
        self.keep_bytes = 0
        self.keep_days = 0.0
        self._transaction = transaction
        self._given_up: Counter[str] = Counter()

    def keep(self, days: float, mib: int) -> None:
        """Keep letters for so long, and so much of them, from the next time on that some are put or looked at."""
        self.keep_days, self.keep_bytes = days, mib << 20

    def of_source(self, source_id: int) -> list[DeadLetter]:
        """Return a source's dead letters in the order of their offsets; their bytes up to `MAX_DEAD_BYTES`."""
        rows = self._db.execute(
            "SELECT offset, raw, reason, traceback, length, kept, packed FROM dead_letters WHERE source = ?"
            " ORDER BY offset, id",
            (source_id,),
        )
        return [
            DeadLetter(at, zlib.decompress(raw) if packed else raw, reason, trace, length if kept < length else 0)
            for at, raw, reason, trace, length, kept, packed in rows
        ]

    def drop_ranges(self, plugin: str, results: Sequence[Result]) -> int:
        """Remove a plugin's dead letters of the bytes of `results`, inside the caller's transaction; count them.

        Also those that are another generation's by now, which has tried them in vain.
        """
        spans: dict[int, list[Span]] = {}
        for r in results:
            spans.setdefault(r.source.id, []).append((r.start, r.source.checkpoint.offset))
        ids = ids_within(self._db, plugin, spans)
        self._delete(ids, "replayed")
        return len(ids)

    def put(self, results: Sequence[Result], now: str) -> None:
        """Write the dead letters of a group of results, inside the caller's transaction; `say_given_up` after it."""
        self._given_up.clear()
        for result in results:
            if result.dead:
                header = self._put_header(result.header)
                self._insert(
                    (result.source.id, result.source.name, result.plugin, result.generation, now),
                    (header, result.framing),
                    result.dead,
                )
        if self.keep_bytes and any(result.dead for result in results):
            self._give_up_oldest()

    def settle(self, replay: Replay) -> list[Letter]:
        """Write what became of letters, inside the caller's transaction; return those that are settled for good.

        What was dropped or given up meanwhile is none of them, and does not come back.
        """
        ids = [letter.id for letter in replay.letters]
        there = {row[0] for row in self._db.execute(_SELECT_IDS, (json.dumps(ids),))}
        letters = [letter for letter in replay.letters if letter.id in there]
        if replay.note:
            self._db.executemany(
                "UPDATE dead_letters SET tried = ?, note = ? WHERE id = ?",
                [(replay.generation, replay.note, letter.id) for letter in letters],
            )
            return []
        failed = {(dead.offset, dead.length or len(dead.raw)): dead for dead in replay.dead}
        again = [(letter, dead) for letter in letters if (dead := failed.pop((letter.offset, letter.length), None))]
        self._put_again(again, replay.generation)
        kept = {letter.id for letter, _ in again}
        gone = [letter for letter in letters if letter.id not in kept]
        self._delete([letter.id for letter in gone], "replayed")
        for letter in gone:
            # Of a letter of several records some may be parsed now; each of the others becomes one of its own.
            parts = [dead for (at, _), dead in failed.items() if letter.offset <= at < letter.end]
            if parts:
                self._insert(
                    (letter.source, letter.name, replay.plugin, replay.generation, letter.at),
                    (self._put_header(replay.header), replay.framing),
                    parts,
                )
        return gone

    def drop(self, selection: Selection, after: int = 0) -> tuple[int, int | None]:
        """Remove a page of a selection; return how many, and the number to go on after. Durable on return."""
        ids, following = self.ids(selection, after, AT_ONCE)
        with self._transaction():
            self._delete(ids, "dropped")
        return len(ids), following

    def expire(self) -> dict[str, int]:
        """Remove some of the letters that are too old; return how many, by plugin, none when it is done.

        Looks at the first letters alone: those behind them are younger, unless a clock has jumped.
        """
        if not self.keep_days:
            return {}
        before = clock.timestamp_ago(self.keep_days)
        rows = self._db.execute(
            "SELECT id, plugin FROM (SELECT id, plugin, at FROM dead_letters ORDER BY id LIMIT ?) WHERE at < ?",
            (AT_ONCE, before),
        ).fetchall()
        if rows:
            with self._transaction():
                self._delete([row[0] for row in rows], "expired")
        return Counter(plugin for _, plugin in rows)

    def shrink(self) -> None:
        """Remove some of the letters that are too much, and say so."""
        if self.keep_bytes:
            self._given_up.clear()
            with self._transaction():
                self._give_up_oldest()
            self.say_given_up()

    def say_given_up(self) -> None:
        """Log what `put` has given up to make room, once that is durable."""
        if self._given_up:
            self.say_expired(self._given_up, f"they took more than {self.keep_bytes >> 20} MiB")
            self._given_up.clear()

    def say_expired(self, plugins: Counter[str], reason: str) -> None:
        """Log that letters were given up, how many of each plugin."""
        events.emit(events.LETTERS_EXPIRED, letters=plugins.total(), plugins=dict(plugins), reason=reason)

    def _insert(self, who: tuple[int, str, str, int, str], how: tuple[int, str], dead: Iterable[DeadLetter]) -> None:
        source, name, plugin, generation, at = who
        rows = [(source, name, plugin, generation, at, *how, *_stored(letter, name)) for letter in dead]
        self._db.executemany(
            "INSERT INTO dead_letters (source, name, plugin, generation, at, header, framing, offset, length, raw,"
            " reason, traceback, kept, packed, digest, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._db.execute(_ADD_TOTAL, (plugin, generation, len(rows), sum(row[-1] for row in rows)))

    def _put_header(self, header: bytes) -> int:
        """Return the number of a header, which is kept once for all letters that have it."""
        if not header:
            return 0
        digest = digest_of(header)
        self._db.execute(
            "INSERT OR IGNORE INTO dead_headers (digest, packed) VALUES (?, ?)", (digest, zlib.compress(header, 1))
        )
        return int(self._db.execute("SELECT id FROM dead_headers WHERE digest = ?", (digest,)).fetchone()[0])

    def _give_up_oldest(self) -> None:
        taken = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM dead_totals").fetchone()[0]
        if taken <= self.keep_bytes:
            return
        excess = taken - self.keep_bytes + self.keep_bytes // SLACK
        ids: list[int] = []
        rows = self._db.execute("SELECT id, size, plugin FROM dead_letters ORDER BY id")
        for number, size, plugin in rows:
            ids.append(number)
            self._given_up[plugin] += 1
            excess -= size
            if excess <= 0 or len(ids) == GIVEN_UP_AT_ONCE:
                break
        rows.close()
        self._delete(ids, "expired")

    def _delete(self, ids: Sequence[int], counter: str) -> None:
        """Remove letters, and headers that no other has, and count them under `counter`."""
        if not ids:
            return
        given = json.dumps(ids)
        plugins = self._count(ids)
        had_header = self._db.execute(_HAVE_HEADERS, (given,)).fetchone()[0]
        self._db.execute(_DELETE, (given,))
        if had_header:
            self._db.execute(_DELETE_HEADERS)
        self._db.executemany(_ADD_COUNTER[counter], plugins.items())

    def _put_again(self, again: Sequence[tuple[Letter, DeadLetter]], generation: int) -> None:
        """Write that letters have failed once more, and why."""
        if not again:
            return
        ids = [letter.id for letter, _ in again]
        self._count(ids)
        self._db.executemany(
            "UPDATE dead_letters SET size = size + ? - length(reason) - length(traceback), generation = ?, reason = ?,"
            " traceback = ?, note = '' WHERE id = ?",
            [
                (len(dead.reason) + len(dead.traceback), generation, dead.reason, dead.traceback, letter.id)
                for letter, dead in again
            ],
        )
        self._count(ids, sign=1)

    def _count(self, ids: Sequence[int], sign: int = -1) -> Counter[str]:
        """Take letters out of the totals, or put them in; return how many they are of each plugin."""
        counts: Counter[str] = Counter()
        for plugin, generation, letters, size in self._db.execute(_SUMS, (json.dumps(ids),)).fetchall():
            self._db.execute(_ADD_TOTAL, (plugin, generation, sign * letters, sign * size))
            counts[plugin] += letters
        self._db.execute("DELETE FROM dead_totals WHERE letters = 0")
        return counts


def ids_within(db: sqlite3.Connection, plugin: str, spans: Mapping[int, Iterable[Span]]) -> list[int]:
    """Return the numbers of a plugin's dead letters that begin in some bytes of some sources; looks at all it has."""
    joined = {source: union(of_source) for source, of_source in spans.items()}
    rows = db.execute("SELECT id, source, offset FROM dead_letters WHERE plugin = ?", (plugin,))
    return [number for number, source, offset in rows if source in joined and is_in(joined[source], offset)]


_IDS = "id IN (SELECT value FROM json_each(?))"
_SELECT_IDS = f"SELECT id FROM dead_letters WHERE {_IDS}"  # noqa: S608 - constants, here and below
_HAVE_HEADERS = f"SELECT EXISTS (SELECT 1 FROM dead_letters WHERE header > 0 AND {_IDS})"  # noqa: S608
_DELETE = f"DELETE FROM dead_letters WHERE {_IDS}"  # noqa: S608
_SUMS = f"SELECT plugin, generation, count(*), sum(size) FROM dead_letters WHERE {_IDS} GROUP BY 1, 2"  # noqa: S608
_DELETE_HEADERS = (
    "DELETE FROM dead_headers WHERE NOT EXISTS"
    " (SELECT 1 FROM dead_letters WHERE header > 0 AND header = dead_headers.id)"
)
_ADD_TOTAL = (
    "INSERT INTO dead_totals VALUES (?, ?, ?, ?) ON CONFLICT (plugin, generation)"
    " DO UPDATE SET letters = letters + excluded.letters, bytes = bytes + excluded.bytes"
)
_ADD_COUNTER = {
    name: f"INSERT INTO dead_counters (plugin, {name}) VALUES (?, ?)"  # noqa: S608
    f" ON CONFLICT (plugin) DO UPDATE SET {name} = {name} + excluded.{name}"
    for name in ("replayed", "expired", "dropped")
}


def digest_of(content: bytes) -> bytes:
    """Return the hash by which bytes are known again."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _stored(letter: DeadLetter, name: str) -> tuple[int, int, bytes, str, str, int, int, bytes, int]:
    """Return the columns of a letter from `offset` on."""
    length = letter.length or len(letter.raw)
    raw = letter.raw[:MAX_DEAD_BYTES]
    # The hash of all of it, for where the rest has to be read from the source; of what is kept whole it says nothing.
    digest = digest_of(letter.raw) if len(raw) < length == len(letter.raw) else b""
    kept, packed = len(raw), 0
    if kept >= PACKED_FROM_BYTES and len(smaller := zlib.compress(raw, 1)) < kept:
        raw, packed = smaller, 1
    size = len(raw) + len(name) + len(letter.reason) + len(letter.traceback) + ROW_BYTES
    return letter.offset, length, raw, letter.reason, letter.traceback, kept, packed, digest, size
