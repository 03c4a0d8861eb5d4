"""The durable account: one database, one module for each thing that it accounts for."""

from hostd.pipeline.ledger.dead import MAX_DEAD_BYTES, dead_counts
from hostd.pipeline.ledger.ledger import Ledger
from hostd.pipeline.ledger.rows import Checkpoint, Result, SinkMark, SourceRow
from hostd.pipeline.ledger.schema import SCHEMA_VERSION

__all__ = ["MAX_DEAD_BYTES", "SCHEMA_VERSION", "Checkpoint", "Ledger", "Result", "SinkMark", "SourceRow", "dead_counts"]
