"""What is logged of a batch that was parsed: what its plugin said, and what it rejected."""

from hostd import events
from hostd.pipeline.serving import Generation
from hostd.workers.batch import Yield


def log_yield(source: str, generation: Generation, result: Yield) -> None:
    """Log what a generation said of a batch, and the first record that it rejected."""
    who = {"plugin": generation.plugin, "generation": generation.number, "source": source}
    for level, message in result.said:
        events.emit_at(level, events.PLUGIN_LOGGED, **who, said=level, message=message)
    if result.dead:
        first = result.dead[0]
        events.emit(
            events.RECORD_REJECTED,
            **who,
            offset=first.offset,
            count=len(result.dead) - 1,
            reason=first.reason,
            preview=first.raw[:120].decode("utf-8", "backslashreplace"),
        )
