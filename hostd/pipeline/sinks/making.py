"""The settings of a sink to the sink."""

from hostd import sink_settings as settings
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.sinks import Sink
from hostd.pipeline.sinks.ndjson import NdjsonSink
from hostd.pipeline.sinks.rotation import Rotation
from hostd.pipeline.sinks.sqlite import SqliteSink
from hostd.pipeline.sinks.stdout import StdoutSink


def make_sink(sink: settings.Sink, ledger: Ledger) -> Sink:
    """Return the sink that the settings describe; nothing is opened yet."""
    match sink:
        case settings.NdjsonSink():
            rotation = Rotation(int(sink.rotate_mib * (1 << 20)), sink.rotate_hours, sink.keep, sink.compress)
            return NdjsonSink(sink.folder, sink.processors, ledger, rotation)
        case settings.SqliteSink():
            return SqliteSink(sink.path, sink.processors, ledger)
        case settings.StdoutSink():
            return StdoutSink(sink.processors)
