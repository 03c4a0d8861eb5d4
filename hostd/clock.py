"""The clocks: one for durations, one for what people and the ledger read, and the one of files' times."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path


def monotonic() -> float:
    """Return seconds from a fixed but arbitrary point; never jumps."""
    return time.monotonic()


def timestamp() -> str:
    """Return the present as RFC 3339 in UTC, to the millisecond."""
    return written(datetime.now(UTC))


def written(when: datetime) -> str:
    """Return a time of UTC as `timestamp` writes it: as text, earlier ones are less."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_ago(days: float) -> str:
    """Return what `timestamp` returned that many days ago; the start of time for more than there are."""
    try:
        return written(datetime.now(UTC) - timedelta(days=days))
    except OverflowError:
        return written(datetime.min.replace(tzinfo=UTC))


def epoch_ms() -> int:
    """Return the present as milliseconds since 1970, for what is kept in great numbers."""
    return time.time_ns() // 1_000_000


def timestamp_of(ms: int) -> str:
    """Return what `epoch_ms` gave as `timestamp` would have."""
    return written(datetime.fromtimestamp(ms / 1000, UTC))


def age_s(path: Path) -> float:
    """Return how long ago a file was written; negative when a clock is wrong, ours or a server's. Raises OSError."""
    return time.time() - path.stat().st_mtime


def milliseconds_since(start: float) -> float:
    """Return milliseconds since `start`, a value of `monotonic`, to two decimals."""
    return round((monotonic() - start) * 1000, 2)
