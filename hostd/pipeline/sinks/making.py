"""The settings of a sink to the sink."""

import hashlib
from pathlib import Path

from hostd import sink_settings as settings
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks import Sink
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.rotation import Rotation
from hostd.pipeline.sinks.sqlite import SqliteSink
from hostd.pipeline.sinks.staged import Stage, StagedSink
from hostd.pipeline.sinks.stdout import StdoutSink

STAGES = "sinks"
MOST_STAGED_BYTES = 256 << 20
"""From how many bytes on staged records become a Parquet file, however few they are: it is made in memory."""


def make_sink(sink: settings.Sink, ledger: Ledger) -> Sink:
    """Return the sink that the settings describe; nothing is opened yet."""
    match sink:
        case settings.NdjsonSink():
            rotation = Rotation(int(sink.rotate_mib * (1 << 20)), sink.rotate_hours, sink.keep, sink.compress)
            return NdjsonSink(sink.folder, sink.processors, ledger, rotation, direct=sink.direct)
        case settings.SqliteSink():
            return SqliteSink(sink.path, sink.processors, ledger)
        case settings.ParquetSink():
            return _parquet(sink, ledger)
        case settings.HttpSink():
            return _http(sink, ledger)
        case settings.StdoutSink():
            return StdoutSink(sink.processors)


def _parquet(sink: settings.ParquetSink, ledger: Ledger) -> Sink:
    from hostd.pipeline.sinks.parquet import ParquetCarrier  # its library is an extra, and heavy

    folder = stage_folder("parquet", sink.place, ledger.path.parent)
    stage = Stage(folder, sink.flush_records, MOST_STAGED_BYTES, sink.flush_s, sink.backlog_mib << 20)
    return StagedSink("parquet", sink.place, sink.processors, ledger, stage, ParquetCarrier(sink.folder, folder))


def _http(sink: settings.HttpSink, ledger: Ledger) -> Sink:
    from hostd.pipeline.sinks.http import HttpCarrier, Trust  # a client of HTTP, which a daemon can do without

    folder, batch_bytes = stage_folder("http", sink.place, ledger.path.parent), sink.batch_kib << 10
    stage = Stage(folder, 1 << 62, batch_bytes, sink.linger_s, sink.backlog_mib << 20)
    trust = Trust(sink.ca, sink.certificate, sink.key)
    carrier = HttpCarrier(
        sink.url, sink.headers, batch_bytes=batch_bytes, timeout_s=sink.timeout_s, stage=folder, trust=trust
    )
    return StagedSink("http", sink.place, sink.processors, ledger, stage, carrier)


def stage_folder(kind: str, place: str, state: Path) -> Path:
    """Return where records for a place are staged: in the state folder, under a name that is the place's alone."""
    digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return state / STAGES / f"{kind}-{digest}"
