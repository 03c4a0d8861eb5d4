"""One line of a sink's file to where it comes from: source, bytes, plugin, version, digest, and when."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from contract.framing import Framing
from hostd import clock
from hostd.errors import HostdError
from hostd.past import Past
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.ledger.packing import Place, samples
from hostd.pipeline.ledger.places import SinkFile, file_at, is_coming, place_at, reaches_back_to
from hostd.pipeline.ledger.reader import Reader
from hostd.pipeline.ledger.rows import SourceRow
from hostd.pipeline.sources.file import MAX_HEADER_BYTES
from hostd.pipeline.sources.original import find_original

CHUNK_BYTES = 1 << 20
MAX_INPUT_BYTES = 64 << 20
"""Up to how much input is cut into records again, to find the one that a line was made of."""

MOVING_S, MOVING_TRIES = 0.05, 40
"""How often to look again at a file that is being put in another one's place."""

COMPRESSED = (".zst", ".gz", ".bz2", ".xz", ".parquet")

FramingOf = Callable[[Past], Framing | None]


class Explanation(Struct, frozen=True):
    """Where a line comes from. `begin` to `until` is the one record's bytes if `is_exact`, else the batch's.

    `nth` of `records` is its place among the records of these bytes. `why` says why there is no input, or why it is
    not exact.
    """

    record: bytes
    sink: SinkFile
    source: SourceRow | None
    source_path: Path | None
    begin: int
    until: int
    nth: int
    records: int
    is_exact: bool
    input: bytes | None
    why: str | None
    plugin: str
    generation: int
    past: Past | None
    committed: str


class _Line(Struct, frozen=True):
    start: int
    end: int
    device: int
    inode: int


def explain(output: Path, number: int, ledger: Reader, framing_of: FramingOf) -> Explanation:
    """Explain line `number`, counted from 1, of a sink's file. Raises HostdError when that cannot be told."""
    where = f"{output}:{number}"
    fd, sink = _open(output, ledger)
    try:
        line = _find_line(fd, number, output)
        place = place_at(ledger.db, sink.id, line.start)
        if place is None:
            raise unknown(where, line.start, sink, ledger, ledger.committed_length(line.device, line.inode))
        nth = _check(fd, place, line, where)
        record = os.pread(fd, line.end - line.start, line.start)
    finally:
        os.close(fd)
    return explain_record(ledger, sink, place, nth, record, framing_of)


def _open(output: Path, ledger: Reader) -> tuple[int, SinkFile]:
    """Open a sink's file; once more, if a reparse is just putting another one in its place."""
    tries = 0
    while True:
        try:
            fd = os.open(output, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostdError(
                str(output), f"cannot be read: {error.strerror}", "name a sink's file and a line"
            ) from error
        status = os.fstat(fd)
        if (sink := file_at(ledger.db, status.st_dev, status.st_ino)) is not None:
            return fd, sink
        os.close(fd)
        is_moving = (status.st_dev, status.st_ino) != identity(output) or is_coming(
            ledger.db, status.st_dev, status.st_ino
        )
        if not is_moving or tries == MOVING_TRIES:
            raise HostdError(
                str(output),
                "no sink of this state folder has written it",
                "it is compressed: where its records come from is known only of files that are as they were written"
                if output.suffix in COMPRESSED
                else "give the file itself: one that was renamed is known, a copy, or what an editor has saved, is not",
            )
        tries += 1
        time.sleep(MOVING_S)


def _find_line(fd: int, number: int, output: Path) -> _Line:
    status = os.fstat(fd)
    start, left = 0, number - 1
    while left:
        chunk = os.pread(fd, CHUNK_BYTES, start)
        found = chunk.count(b"\n")
        if found < left and len(chunk) == CHUNK_BYTES:
            left -= found
            start += len(chunk)
            continue
        if found < left:
            raise _too_far(output, number, number - 1 - left + found)
        position = 0
        for _ in range(left):
            position = chunk.index(b"\n", position) + 1
        start, left = start + position, 0
    end = start
    while chunk := os.pread(fd, CHUNK_BYTES, end):
        found = chunk.find(b"\n")
        if found >= 0:
            return _Line(start, end + found + 1, status.st_dev, status.st_ino)
        end += len(chunk)
    raise _too_far(output, number, number - 1)


def _too_far(output: Path, number: int, lines: int) -> HostdError:
    return HostdError(str(output), f"has {lines} whole lines, and no line {number}", "count from 1")


def unknown(where: str, start: int, sink: SinkFile, ledger: Reader, committed: int | None) -> HostdError:
    """Return why nothing is known of what begins at `start`; `committed` is how far the sink's present file goes."""
    if committed is not None and start >= committed:
        return HostdError(where, "is not committed yet", "ask again in a moment")
    if start < sink.base:
        return HostdError(where, "was in the file before hostd wrote to it", "nothing is known of it")
    since = reaches_back_to(ledger.db)
    back = f"to {clock.timestamp_of(since)}" if since is not None else "to nothing"
    return HostdError(
        where,
        f"is not known any more, or was not written by hostd: what is kept reaches back {back}",
        "raise [provenance] keep_mib or keep_days for what comes",
    )


def _check(fd: int, place: Place, line: _Line, where: str) -> int:
    """Return which of its batch's records a line is, from 0, if the file still holds these records."""
    region = os.pread(fd, place.end - place.start, place.start)
    before = os.pread(fd, 1, place.start - 1) if place.start else b"\n"
    if (
        before != b"\n"
        or region.count(b"\n") != place.records
        or samples(region) != (place.head, place.tail)
        or line.end > place.end
    ):
        raise HostdError(
            where,
            "its part of the file is not what hostd has written: it was edited by hand",
            "nothing can be told of it",
        )
    return region.count(b"\n", 0, line.start - place.start)


def explain_record(
    ledger: Reader, sink: SinkFile, place: Place, nth: int, record: bytes, framing_of: FramingOf
) -> Explanation:
    """Explain the record that is the `nth`, from 0, of those that lie at a place."""
    past = ledger.generation(sink.processor, place.generation)
    source = ledger.source(place.source)
    begin, until, is_exact, data, path = place.begin, place.until, place.records == 1, None, None
    why: str | None = None
    original = find_original(source) if source is not None else "its source is not known any more"
    if isinstance(original, str):
        why = original
    elif until - begin > MAX_INPUT_BYTES:
        os.close(original.fd)
        path, why = original.path, f"its batch is of more than {MAX_INPUT_BYTES >> 20} MiB"
    else:
        path = original.path
        try:
            header = original.content.read(0, MAX_HEADER_BYTES) if begin < MAX_HEADER_BYTES else b""
            data = original.content.read(begin, until - begin)
        finally:
            os.close(original.fd)
        framing = framing_of(past) if past is not None else None
        dead = ledger.dead_offsets(place.source, sink.processor, begin, until)
        frame = _frame(framing, data, header, begin, dead, place.records, nth) if framing else None
        if frame is not None:
            data, begin, until, is_exact = data[frame[0] : frame[1]], begin + frame[0], begin + frame[1], True
        elif framing is None:
            why = "the bytes of that version are not kept any more, so that its framing is not known"
        else:
            why = "the batch does not yield one record for each record of the input"
    return Explanation(
        record,
        sink,
        source,
        path,
        begin,
        until,
        nth,
        place.records,
        is_exact,
        data,
        None if is_exact and data is not None else why,
        sink.processor,
        place.generation,
        past,
        clock.timestamp_of(place.at),
    )


def _frame(
    framing: Framing, data: bytes, head: bytes, begin: int, dead: list[int], records: int, nth: int
) -> tuple[int, int] | None:
    """Return the `nth` record's bytes in a batch, or None where there is not one frame for each record.

    What was rejected, and what is blank, made none.
    """
    skip = 0
    if framing.has_header and begin < len(head):
        skip = max(0, (framing.header_end(head, final=True) or 0) - begin)
    starts = [skip + start for start in framing.starts(data[skip:])]
    frames = list(zip(starts, [*starts[1:], len(data)], strict=True))
    rejected = {offset - begin for offset in dead}
    accepted = [frame for frame in frames if not any(frame[0] <= at < frame[1] for at in rejected)]
    filled = [frame for frame in accepted if data[frame[0] : frame[1]].strip()]
    return next((which[nth] for which in (accepted, filled) if len(which) == records), None)
