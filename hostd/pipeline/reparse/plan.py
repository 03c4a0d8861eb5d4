"""What parsing a generation's input again comes to: which bytes, which records, and what cannot be replaced and why.

Nothing is changed. It blocks, and runs beside the commits on a connection of its own.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from hostd.errors import HostdError
from hostd.pipeline.ledger import SinkMark, SourceRow
from hostd.pipeline.ledger.dead import ids_within
from hostd.pipeline.ledger.packing import Place
from hostd.pipeline.ledger.places import SinkFile, files_of, is_intact, places_of
from hostd.pipeline.ledger.provenance import generations_of, ranges_of
from hostd.pipeline.ledger.reader import Reader
from hostd.pipeline.ledger.streams import has_fed_streams
from hostd.pipeline.sources.memory import find_in
from hostd.pipeline.sources.original import find_original
from hostd.pipeline.spans import Span, both, minus, size, split, union


class Account(Struct, frozen=True):
    """One account of a sink, as it was when it was frozen. With `mark.inode` 0 it is of records that are in no file."""

    number: int
    mark: SinkMark
    last_seq: int
    cuts: int


class Held(Struct, frozen=True):
    """A sink's present file of the processor, maybe none yet, and what the ledger knows of it up to now."""

    path: Path
    file: Account
    nowhere: Account


class Segment(Struct, frozen=True):
    """Bytes of a source that are parsed again as if they were all of it."""

    source: SourceRow
    begin: int
    until: int


class Left(Struct, frozen=True):
    """What stays as it is: bytes of a source, or records in a file, and why."""

    what: str
    reason: str
    amount: int
    unit: str


class Target(Struct):
    """A sink's records that are replaced; `has_file` if any of them are in its present file."""

    held: Held
    base: int = 0
    records: int = 0
    has_file: bool = False
    has_nowhere: bool = False
    spans: dict[int, list[Span]] = field(default_factory=dict)


class Serving(Struct, frozen=True):
    """The generation that would parse it again."""

    generation: int
    reads_streams: bool = False


class Plan(Struct):
    """What is parsed again, what is replaced, and what is not."""

    plugin: str
    generation: int
    segments: list[Segment]
    targets: list[Target]
    left: list[Left]
    sources: frozenset[int] = frozenset()
    dead: int = 0

    def replaces(self, row: Place) -> bool:
        """Tell whether records in a target's account are to be replaced."""
        return row.generation == self.generation and row.source in self.sources

    @property
    def size(self) -> int:
        """How many bytes are parsed again."""
        return sum(segment.until - segment.begin for segment in self.segments)

    @property
    def records(self) -> int:
        """How many records are replaced."""
        return sum(target.records for target in self.targets)


def make_plan(
    reader: Reader, plugin: str, generation: int, held: Iterable[Held], others: Iterable[str], serving: Serving
) -> Plan:
    """Return what can be done; `others` are the sinks that take the plugin's records and can replace none.

    Raises HostdError when the generation has parsed nothing that is known.
    """
    ranges = ranges_of(reader.db, plugin, generation)
    if not ranges:
        known = ", ".join(map(str, generations_of(reader.db, plugin))) or "none"
        raise HostdError(
            plugin,
            f"nothing is known to have been parsed by generation {generation}; known of it are {known}",
            "hostd explain tells which generation made a record",
        )
    if why := _why_not(reader, plugin, generation, serving):
        return Plan(plugin, generation, [], [], _all_left(reader, ranges, why))
    others = frozenset(others)
    left = [Left(name, "what was written to it cannot be taken back", 0, "records") for name in sorted(others)]
    sources = _reachable(reader, ranges, left)
    planned = Plan(plugin, generation, [], [], left, frozenset(sources))
    everything = _Spans()
    files = {file.id: file for file in files_of(reader.db, plugin)}
    held = list(held)
    for each in held:
        base = files[each.file.number].base if each.file.number in files else 0
        target = Target(each, base)
        if each.file.mark.inode:
            _plan_file(reader, planned, target, sources, everything)
        for row in places_of(reader.db, each.nowhere.number, each.nowhere.last_seq):
            if row.generation == generation and row.source in sources:
                target.has_nowhere = True
                target.spans.setdefault(row.source, []).append((row.begin, row.until))
        planned.targets.append(target)
    accounts = {account.number for each in held for account in (each.file, each.nowhere)}
    for file in files.values():
        if file.id not in accounts and file.folder not in others:
            _leave_file(reader, planned, file, everything)
    _cut_segments(planned, sources, ranges, everything)
    planned.targets = [target for target in planned.targets if target.has_file or target.has_nowhere]
    planned.dead = _count_dead(reader, planned)
    return planned


def _why_not(reader: Reader, plugin: str, generation: int, serving: Serving) -> str:
    """Return why nothing of a generation's can be parsed again, or nothing."""
    depends = "what it makes of bytes depends on all that came before them; hostd parse reads it from its start, apart"
    if has_fed_streams(reader.db, plugin, generation):
        return f"generation {generation} has read it as a stream: {depends}"
    if serving.reads_streams:
        return f"generation {serving.generation}, which is in service, reads it as a stream: {depends}"
    return ""


def _all_left(reader: Reader, ranges: dict[int, list[Span]], why: str) -> list[Left]:
    left = []
    for number, spans in ranges.items():
        row = reader.source(number)
        name = row.name if row is not None else f"source {number}"
        left += [Left(f"{name}, from {begin} to {until}", why, until - begin, "bytes") for begin, until in union(spans)]
    return left


class _Spans:
    """Spans by source."""

    def __init__(self) -> None:
        self.of: dict[int, list[Span]] = {}

    def add(self, row: Place) -> None:
        spans = self.of.setdefault(row.source, [])
        if spans and spans[-1][1] == row.begin:
            spans[-1] = spans[-1][0], row.until
        else:
            spans.append((row.begin, row.until))


def _reachable(reader: Reader, ranges: dict[int, list[Span]], left: list[Left]) -> dict[int, SourceRow]:
    """Return the sources whose bytes are still there; note the others."""
    sources = {}
    for number, spans in ranges.items():
        row = reader.source(number)
        found = find_original(row) if row is not None else "its source is not known any more"
        if isinstance(found, str) or row is None:
            left.append(Left(row.name if row else f"source {number}", str(found), size(spans), "bytes"))
        else:
            os.close(found.fd)
            sources[number] = row
    return sources


def _plan_file(
    reader: Reader,
    plan: Plan,
    target: Target,
    sources: dict[int, SourceRow],
    everything: _Spans,
) -> None:
    """Find what is to be replaced in a sink's present file, unless that was edited by hand."""
    account = target.held.file
    spans = _Spans()
    fd = os.open(target.held.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for row in places_of(reader.db, account.number, account.last_seq):
            is_meant = row.generation == plan.generation and row.source in sources
            if not is_intact(fd, row, count=is_meant):
                plan.left.append(
                    Left(
                        str(target.held.path),
                        f"it was edited by hand, before byte {row.end}: where the records lie is not known any more",
                        _records(reader, account, plan.generation),
                        "records",
                    )
                )
                for each in places_of(reader.db, account.number, account.last_seq):
                    everything.add(each)
                target.records, spans = 0, _Spans()
                break
            if is_meant:
                target.records += row.records
                spans.add(row)
    finally:
        os.close(fd)
    target.has_file = bool(spans.of)
    target.spans = spans.of


def _records(reader: Reader, account: Account, generation: int) -> int:
    rows = places_of(reader.db, account.number, account.last_seq)
    return sum(row.records for row in rows if row.generation == generation)


def _leave_file(
    reader: Reader,
    plan: Plan,
    file: SinkFile,
    everything: _Spans,
) -> None:
    """Note what lies in a file that is not a sink's present one."""
    records, is_concerned = 0, False
    for row in places_of(reader.db, file.id):
        if row.generation == plan.generation:
            records, is_concerned = records + row.records, True
            everything.add(row)
    if is_concerned:
        where = find_in(Path(file.folder), (file.device, file.inode)) if file.inode else None
        what = str(where or Path(file.folder) / f"{file.processor}.ndjson")
        reason = (
            "it was rotated away" if where is not None else "it was rotated away, and is not in that folder any more"
        )
        plan.left.append(Left(what, reason, records, "records"))


def _cut_segments(plan: Plan, sources: dict[int, SourceRow], ranges: dict[int, list[Span]], everything: _Spans) -> None:
    """Cut what is parsed again so that each piece is replaced in the same sinks as a whole.

    Whose bytes are is told by the ranges alone: those of a letter lie in the batch that left it, too, and those of one
    that was rejected again may lie in a batch of others that were not.
    """
    for number, row in sources.items():
        by_target = [union(target.spans.get(number, [])) for target in plan.targets]
        meant = both(union(span for spans in by_target for span in spans), ranges[number])
        edges = [edge for spans in by_target for span in spans for edge in span]
        plan.segments += [Segment(row, begin, until) for begin, until in split(meant, edges)]
        unknown = minus(ranges[number], [*meant, *everything.of.get(number, [])])
        if unknown:
            plan.left.append(Left(row.name, "where its records lie is not known (any more)", size(unknown), "bytes"))


def _count_dead(reader: Reader, plan: Plan) -> int:
    spans: dict[int, list[Span]] = {}
    for segment in plan.segments:
        spans.setdefault(segment.source.id, []).append((segment.begin, segment.until))
    return len(ids_within(reader.db, plan.plugin, spans))


def rows_of(reader: Reader, account: Account) -> Iterator[Place]:
    """Yield what was known of an account when it was frozen."""
    return places_of(reader.db, account.number, account.last_seq)
