"""The durable account: one database, one module for each thing that it accounts for."""

from hostd.pipeline.ledger.dead import MAX_DEAD_BYTES
from hostd.pipeline.ledger.ledger import Ledger
from hostd.pipeline.ledger.letters import dead_counts
from hostd.pipeline.ledger.rows import Checkpoint, Letter, Replay, Result, SinkMark, SourceRow, StreamState
from hostd.pipeline.ledger.schema import SCHEMA_VERSION

__all__ = [
    "MAX_DEAD_BYTES",
    "SCHEMA_VERSION",
    "Checkpoint",
    "Ledger",
    "Letter",
    "Replay",
    "Result",
    "SinkMark",
    "SourceRow",
    "StreamState",
    "dead_counts",
]
