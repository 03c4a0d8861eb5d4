"""Sources, a sink and a ledger on a disk, and a model of what must be in them: who made which record of which line.

Lines are all different, and each record names its line and the generation that made it, so that what is in the output
can be told without positions. How a generation parses a line goes by its first letter and the generation's number.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contract.framing import Framing
from hostd.past import Past
from hostd.pipeline.commit import Committer, Entry
from hostd.pipeline.explain import Explanation, explain
from hostd.pipeline.ledger import Ledger, Replay, Result
from hostd.pipeline.ledger.reader import reading
from hostd.pipeline.ledger.selection import Selection
from hostd.pipeline.runs import fitted, joined, side_by_side
from hostd.pipeline.sinks import rewrite
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sources.file import FileSource
from hostd.workers.batch import Batch, DeadLetter, Yield
from hostd.workers.slots import Slots
from tests.pipeline.build import open_source

NAME = "demo"
LINES = Framing(kind="lines")
CUT_AS = '["lines", null, null, null]'


def records_of(line: str, generation: int) -> list[dict[str, Any]] | None:
    """Return what a generation makes of a line; None when it rejects it."""
    kind = line[:1]
    if (kind == "o" and generation % 2) or (kind == "e" and not generation % 2):
        return None
    count = {"t": 2 if generation % 2 else 1, "": 0, " ": 0}.get(kind, 1)
    return [{"line": line, "by": generation, "n": n} for n in range(count)]


def parsed(data: bytes, offset: int, generation: int) -> Yield:
    """Return what a generation makes of a batch."""
    records, dead = [], []
    for line in data.splitlines(keepends=True):
        made = records_of(line.decode().rstrip("\n"), generation)
        if made is None:
            dead.append(DeadLetter(offset, line, f"rejected by {generation}", ""))
        else:
            records += made
        offset += len(line)
    return Yield(len(records), b"".join(json.dumps(r).encode() + b"\n" for r in records), tuple(dead))


class Few(int):
    """A limit in KiB that is so many bytes: real ones are longer than what is tried here."""

    def __lshift__(self, _: int) -> int:
        return int(self)


@dataclass(eq=False)
class InProcess:
    """A generation whose batches are parsed here: what a worker does is not what these tests are about."""

    number: int
    batch_kib: int = 256
    framing: Framing = LINES
    records: int = 0
    rejected: int = 0
    is_told_of: bool = False
    plugin: str = NAME
    parses: int = 0
    manifest: Any = None
    crew: Any = None
    on_parse: Any = None

    def __post_init__(self) -> None:
        self.manifest = SimpleNamespace(
            limits=SimpleNamespace(batch_kib=self.batch_kib, record_mib=1, time_s=1.0),
            framing=SimpleNamespace(kind="lines", start=None, quote=None),
            header=None,
        )
        self.crew = SimpleNamespace(parse=self._parse, intensity=SimpleNamespace(succeeded=lambda now: False))

    async def _parse(self, batch: Batch, time_s: float | None = None, *, behind: bool = True) -> Yield:
        self.parses += 1
        if self.on_parse is not None:
            await self.on_parse()
        await asyncio.sleep(0)
        return parsed(batch.data, batch.offset, self.number)


@dataclass
class Made:
    """One batch of the model: which file its records went to (None: it had none, and there was no file)."""

    source: int
    begin: int
    until: int
    generation: int
    file: tuple[int, int] | None


@dataclass
class World:
    """One daemon's pipeline without the daemon."""

    folder: Path
    generation: int = 1
    sources: list[FileSource] = field(default_factory=list)
    batches: list[Made] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    replayed: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = field(default_factory=dict)
    """Whose each letter is that was replayed, by source and offset, and which file its records went to."""
    kept: Past = field(default_factory=lambda: Past(NAME, 1, "1.0", "abc", "abc:{}", "demo.py", "kept", "now"))

    def __post_init__(self) -> None:
        (self.folder / "logs").mkdir()
        self.out = self.folder / "out"
        self.output = self.out / f"{NAME}.ndjson"
        self._count = 0
        self.has_doubles = False
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.db")
        self.ledger._db.execute("PRAGMA synchronous=OFF")  # no power is lost here
        self.sink = NdjsonSink(self.out, ("*",), self.ledger)
        rewrite.recover(self.ledger, [self.out])
        self.sink.recover()
        self.committer = Committer(self.ledger, [self.sink], give_up=True)
        self.serve(self.generation)

    def close(self) -> None:
        self.committer.close()

    def serve(self, generation: int) -> None:
        self.generation = generation
        self.ledger.book.put_generations([Past(NAME, generation, f"{generation}.0", "d", "d:{}", "p", "kept", "now")])

    def append(self, source: int, kinds: str) -> None:
        """Append a line for each letter; `_` for a blank one."""
        while len(self.sources) <= source:
            path = self.folder / "logs" / f"{len(self.sources)}.log"
            path.touch()
            self.sources.append(open_source(path, len(self.sources) + 1))
        self.has_doubles |= "t" in kinds
        with Path(self.sources[source].path).open("ab") as file:
            for kind in kinds:
                self._count += 1
                file.write(b"\n" if kind == "_" else f"{kind}{source}.{self._count}\n".encode())

    def results(self, source: int, lines: int) -> list[Result]:
        """Read up to `lines` lines of a source as one batch, parsed."""
        file = self.sources[source]
        data = b"".join(file.read(file.offset, 1 << 20).splitlines(keepends=True)[:lines])
        if not data:
            return []
        start = file.offset
        file.advance(start + len(data), data)
        made = parsed(data, start, self.generation)
        return [Result(file.row(), start, NAME, self.generation, made.records, made.lines, made.dead, b"", CUT_AS)]

    def commit(self, results: list[Result]) -> None:
        """Commit a group, and take note of it."""
        if results:
            self.committer._commit(results)
            self.note(results)

    def note(self, results: list[Result]) -> None:
        file = self.file()
        for r in results:
            self.batches.append(Made(r.source.id, r.start, r.source.checkpoint.offset, r.generation, file))

    def replay(self) -> None:
        """Have the generation in service try the letters of the others, those side by side as one batch."""
        mine = Selection(plugin=NAME, untried_by=self.generation)
        for run in side_by_side(self.ledger.dead.page(mine).letters):
            data = joined(run)
            made = parsed(data, run[0].offset, self.generation)
            dead = fitted(made.dead, run, data)
            entry = Replay(NAME, self.generation, made.records, made.lines, tuple(run), dead, "", b"", CUT_AS)
            self.committer._commit([entry])
            file = self.file()
            again = {letter.offset for letter in dead}
            for letter in run:
                if letter.offset not in again:
                    self.replayed[letter.source, letter.offset] = self.generation, file

    def file(self) -> tuple[int, int] | None:
        """Return which file records go to now, None for none yet."""
        mark = self.sink.place(NAME)
        return (mark.device, mark.inode) if mark.inode else None

    def by(self, responsible: dict[tuple[int, int], int], batch: Made, offset: int) -> int:
        """Return whose a line of a batch is. That of a letter is told by the complement of its offset."""
        if (batch.source, offset) in self.replayed:
            return responsible.get((batch.source, ~offset), self.replayed[batch.source, offset][0])
        return responsible.get((batch.source, batch.begin), batch.generation)

    def rotate(self) -> None:
        """Rename the output, as logrotate does."""
        if self.output.exists():
            self.outputs.append(self.output.rename(self.out / f"{NAME}.ndjson.{len(self.outputs) + 1}"))

    def explain(self, path: Path, number: int) -> Explanation:
        with reading(self.ledger.path) as reader:
            return explain(path, number, reader, lambda past: LINES)

    # What must be true.

    def check(self, responsible: dict[tuple[int, int], int] | None = None) -> None:
        """Check all files, the provenance, the dead letters, and what is explained of every line."""
        where: dict[str, tuple[int, int, int]] = {}
        expected: Counter[str] = Counter()
        dead: set[tuple[int, int]] = set()
        for batch in self.batches:
            offset = batch.begin
            for line in self.sources[batch.source - 1].read(offset, batch.until - offset).splitlines(keepends=True):
                text = line.decode().rstrip("\n")
                made = records_of(text, self.by(responsible or {}, batch, offset))
                if text:
                    where[text] = batch.source, offset, offset + len(line)
                if made is None:
                    dead.add((batch.source, offset))
                else:
                    expected.update(json.dumps(record) for record in made)
                offset += len(line)
        found: Counter[str] = Counter()
        for path in [*self.outputs, *([self.output] if self.output.exists() else [])]:
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                found[line] += 1
                self._check_explained(path, number, json.loads(line), where)
        assert found == expected
        rows = self.ledger._db.execute("SELECT source, offset FROM dead_letters").fetchall()
        assert sorted(rows) == sorted(dead), "dead letters are lost or doubled"
        self._check_provenance(responsible or {})
        if self.output.exists():
            mark = self.sink.place(NAME)
            assert mark.inode == 0 or mark.length == self.output.stat().st_size or not mark.length

    def _check_explained(self, path: Path, number: int, record: dict[str, Any], where: dict[str, Any]) -> None:
        explained = self.explain(path, number)
        source, begin, until = where[record["line"]]
        assert explained.generation == record["by"]
        assert explained.past is not None
        assert explained.past.version == f"{record['by']}.0"
        assert explained.source is not None
        assert explained.source.id == source
        if explained.is_exact and self.has_doubles:
            return  # two records of one line and none of another look like one of each
        assert explained.begin <= begin < until <= explained.until
        if explained.is_exact:
            assert (explained.begin, explained.until) == (begin, until)
            assert explained.input == record["line"].encode() + b"\n"

    def _check_provenance(self, responsible: dict[tuple[int, int], int]) -> None:
        expected: dict[tuple[int, int], int] = {}
        for batch in self.batches:
            offset = batch.begin
            for line in self.sources[batch.source - 1].read(offset, batch.until - offset).splitlines(keepends=True):
                by = self.by(responsible, batch, offset)
                expected.update(dict.fromkeys(((batch.source, at) for at in range(offset, offset + len(line))), by))
                offset += len(line)
        found: dict[tuple[int, int], int] = {}
        for source, start, end, by in self.ledger._db.execute("SELECT source, start, end, generation FROM provenance"):
            for at in range(start, end):
                assert (source, at) not in found, "a byte was parsed twice"
                found[source, at] = by
        assert found == expected


@asynccontextmanager
async def committing(world: World) -> AsyncIterator[None]:
    """Commit what is submitted while the block runs."""
    task = asyncio.create_task(world.committer.run())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def entry(world: World, results: list[Result]) -> list[Entry]:
    """Return what is submitted of some results; the model learns of it once it is durable."""
    return [Entry(result, lambda result=result: world.note([result])) for result in results]


def pool_of(capacity: int = 2) -> Any:
    """Return what parses of a pool."""
    return SimpleNamespace(slots=Slots(capacity, 5.0))
