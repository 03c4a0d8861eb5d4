"""What sinks keep beside the files that the ledger has marks of: rotated, staged, set aside, and Parquet files.

Archives and Parquet files are looked at where a cut shows, at their ends: to read them whole could take hours.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hostd.config import Config
from hostd.doctor.finding import Finding, note, ok, problem
from hostd.pipeline.sinks import rotation
from hostd.pipeline.sinks.making import STAGES, stage_folder
from hostd.pipeline.sinks.staged import SEALED
from hostd.sink_settings import HttpSink, NdjsonSink, ParquetSink
from hostd.state import StateFolder

REFUSED = "refused"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC = b"PAR1"
PARQUET_TEMPORARY = ".hostd-new"
CUT = "restore it if you need what was in it; hostd never writes to it again"


def check_kept(settings: Config, state: StateFolder) -> Iterator[Finding]:
    """Yield what is to be said of each sink's files that no mark is of."""
    staged = {}
    for sink in settings.sinks:
        if isinstance(sink, NdjsonSink) and sink.folder.is_dir():
            yield from _check_rotated(sink.folder)
        elif isinstance(sink, ParquetSink) and sink.folder.is_dir():
            yield from _check_parquet(sink.folder)
        if isinstance(sink, ParquetSink | HttpSink):
            staged[stage_folder(sink.kind, sink.place, state.path)] = sink.place
    for folder in sorted((state.path / STAGES).glob("*-*")):
        yield from _check_stage(folder, staged.get(folder))


def _check_rotated(folder: Path) -> Iterator[Finding]:
    found = rotation.rotated_files(folder, "*")
    packed = [path for path in found if path.suffix == rotation.PACKED]
    for path in packed:
        if _head(path, len(ZSTD_MAGIC)) != ZSTD_MAGIC:
            yield problem("sinks", path, "it is no zstd archive: somebody cut or overwrote it", CUT)
    if found:
        yield ok("sinks", folder, f"{_files(found)} rotated, {len(packed)} of them compressed")
    yield from _left(folder.glob(f".*{rotation.TEMPORARY}"), "an archive")


def _check_parquet(folder: Path) -> Iterator[Finding]:
    found = sorted(folder.glob("processor=*/date=*/part-*.parquet"))
    for path in found:
        if _head(path, len(PARQUET_MAGIC)) != PARQUET_MAGIC or _tail(path, len(PARQUET_MAGIC)) != PARQUET_MAGIC:
            yield problem("sinks", path, "it is no whole Parquet file: somebody cut or overwrote it", CUT)
    if found:
        yield ok("sinks", folder, f"{_files(found)} of Parquet")
    yield from _left(folder.glob(f"processor=*/date=*/.*{PARQUET_TEMPORARY}"), "a Parquet file")


def _check_stage(folder: Path, place: str | None) -> Iterator[Finding]:
    waiting = [path for path in folder.glob("*") if path.suffix in (".ndjson", SEALED) and path.stat().st_size]
    if waiting and place is None:
        yield problem(
            "sinks",
            folder,
            f"{_files(waiting)} wait to be delivered, and no sink of the settings is theirs",
            "put that sink back, with the same folder or URL, and they are delivered; or remove them",
        )
    elif waiting:
        yield note(
            "sinks", folder, f"{_files(waiting)} wait to be delivered to {place}", "nothing: the next start does it"
        )
    refused = list((folder / REFUSED).glob("*.ndjson"))
    if refused:
        yield note(
            "sinks",
            folder / REFUSED,
            f"{_files(refused)} of records that the server refused (sink.batch_refused in the log says why)",
            "send them once it takes them, or remove them",
        )


def _left(paths: Iterable[Path], what: str) -> Iterator[Finding]:
    for path in sorted(paths):
        yield note("sinks", path, f"half of {what}, left by a kill", "nothing: it is removed, and made again")


def _files(paths: list[Path]) -> str:
    size = sum(path.stat().st_size for path in paths)
    return f"{len(paths)} file{'s' if len(paths) != 1 else ''} ({size} bytes)"


def _head(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


def _tail(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - length))
        return file.read(length)
