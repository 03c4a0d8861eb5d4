"""What is logged of a batch that was parsed: what its plugin said, and what it rejected."""

from contract.together import BROKEN
from hostd import events
from hostd.pipeline.serving import Generation
from hostd.workers.batch import Yield


def log_yield(source: str, generation: Generation, result: Yield) -> None:
    """Log what a generation said of a batch, and the first record that it rejected."""
    log_said(source, generation, result)
    if result.dead:
        first = result.dead[0]
        events.emit(
            events.RECORD_REJECTED,
            plugin=generation.plugin,
            generation=generation.number,
            source=source,
            offset=first.offset,
            count=len(result.dead) - 1,
            reason=first.reason,
            preview=first.raw[:120].decode("utf-8", "backslashreplace"),
        )


def log_said(source: str, generation: Generation, result: Yield) -> None:
    """Log what a generation said of a batch; that its shortcut is broken, which each of its workers says, once."""
    for level, message in result.said:
        if message.startswith(BROKEN):
            if generation.is_told_of:
                continue
            generation.is_told_of = True
        events.emit_at(
            level,
            events.PLUGIN_LOGGED,
            plugin=generation.plugin,
            generation=generation.number,
            source=source,
            said=level,
            message=message,
        )
