"""What holds for a processor that ships whatever the bytes: records or rejects that account for all of them.

Nothing is raised, but by a stream that is damaged; each rejected part is found in the input, in its order; what a
record yields does not depend on its neighbours, or on where a stream is cut.
"""

import json
from itertools import pairwise

from contract.testing import Outcome
from tests.processors.support import MODULES, parse, plainly

MAY_BE_DAMAGED = frozenset(
    ("asl", "bsm", "btsnoop", "evt", "journal", "journal_export", "msgpack", "mysql_binlog", "pcap", "xml"),
)
"""Binary streams and such, of which what follows a damaged part cannot be told apart any more."""


def check(name: str, data: bytes, cut: int = 0) -> None:
    """Parse `data` whole and in parts. Raises AssertionError that says what does not hold."""
    if MODULES[name][0].framing.kind == "stream":
        _check_stream(name, data, cut)
    else:
        _check_records(name, data)


def _check_stream(name: str, data: bytes, cut: int) -> None:
    whole = _stream_outcome(name, data, ())
    with plainly(name):
        assert _stream_outcome(name, data, ()) == whole, "it comes out otherwise when each line is parsed by itself"
    if 0 < cut < len(data):
        assert _stream_outcome(name, data, (cut,)) == whole, f"cut at {cut} it comes out otherwise"
    if whole is not None:
        _check_rejected(data, whole)


def _stream_outcome(name: str, data: bytes, cuts: tuple[int, ...]) -> Outcome | None:
    try:
        return parse(name, data, cuts=cuts)
    except ValueError:
        if name not in MAY_BE_DAMAGED:
            raise
        return None


def _check_records(name: str, data: bytes) -> None:
    manifest = MODULES[name][0]
    header = manifest.samples[0].header.encode()
    framing = manifest.compiled_framing()
    whole = parse(name, data, header=header)
    _check_rejected(data, whole)
    with plainly(name):
        assert parse(name, data, header=header) == whole, "it comes out otherwise when each record is parsed by itself"
    starts = [*framing.starts(data), len(data)]
    parts = [(data[start:end], parse(name, data[start:end], header=header)) for start, end in pairwise(starts)]
    quote = framing.quote
    if quote and any(quote in raw for outcome in (whole, *(part for _, part in parts)) for raw, _ in outcome.rejected):
        return  # what a quote costs that never closes depends on what follows it
    assert whole.records == [record for _, part in parts for record in part.records], "records depend on each other"
    assert len(whole.rejected) == sum(len(part.rejected) for _, part in parts), "rejections depend on each other"
    for raw, part in parts:
        assert part.records or part.rejected or is_blank(name, raw), f"{raw!r} is lost"


def _check_rejected(data: bytes, outcome: Outcome) -> None:
    """Streams of lines tell of a line when they are past it, so that order is all there is to check."""
    position = 0
    for raw, _ in outcome.rejected:
        found = data.find(raw, position)
        assert raw, "an empty rejection"
        assert found >= 0 or data.find(raw) >= 0, f"rejects {raw!r}, which is not in the input"
        position = max(position, found)


def is_blank(name: str, raw: bytes) -> bool:
    """Tell whether a record's bytes hold nothing that could be lost."""
    text = raw.decode("utf-8", "replace").strip("\ufeff \t\r\n\f\v\x1c\x1d\x1e\x1f\x85\xa0")
    if name == "otlp" and text.strip():
        return bool(json.loads(text) == {"resourceLogs": []})
    return not text.strip() or (name == "logcat" and raw.startswith(b"---------"))
