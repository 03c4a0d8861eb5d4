"""Records against the truth of their file, by value: names are whoever's made the truth, values are the log's.

Each thing that the truth tells is looked for in the one record that has most of it, wherever that record is, so that a
record too many does not spoil the rest.
"""

import base64
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract import timestamps
from tests.processors.corpus import Entry, normal, values

NOT_LITERAL = frozenset({"message", "program", "custom", "data_type", "raw_msg"})
"""What the truth names that is not said in the record: the corpus' README tells these."""
PIECES = frozenset({"day", "month", "year", "hour", "minute", "second", "tz", "epoch", "epoch_utc", "xmlns"})
PIECES |= {f"haproxy_{name}" for name in ("monthday", "month", "year", "hour", "minute", "second", "time")}
PIECES |= {"haproxy_milliseconds", *(f"exim_{name}" for name in ("day", "month", "year", "time"))}
PIECES |= {"sec", "usec", "addr_hex"}
"""Pieces of a time or an address that the truth has whole as well, and the names of XML's own namespaces."""
NOTATIONS = (
    "%d/%b/%Y:%H:%M:%S%z",
    "%a %b %d %H:%M:%S %Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%Z",
    "%Y-%m-%dT%H:%M:%S%z",
)
_YEARLESS = re.compile(r"000[01]-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SURROGATE = re.compile("[\ud800-\udfff]")
Record = dict[str, Any]
Wanted = tuple[str, str]
"""A value as it compares, and as it is written."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many records and values are as the truth says, of how many; None where it says nothing."""

    records: int
    expected_records: int | None
    right: int
    in_part: int
    """How many of those are a word of a longer value, such as the port in `client`; words of a message do not count."""
    expected: int
    missing: tuple[str, ...]
    """The first few values that are not there."""


def compare(entry: Entry, records: list[Record], rejected: list[bytes]) -> Score:
    """Compare what came of a file, and the lines that were rejected, with the file's truth."""
    truth = entry.truth()
    items: list[dict[str, Any]] = truth.get("items") or []
    wanted = list(_wanted(entry, truth, items))
    if truth.get("match") == "value containment":  # a few are not in the line, but of whoever read it
        text = entry.content().decode("utf-8", "replace").lower()
        wanted = [[each for each in values if each[1] in text] for values in wanted]
    expected_values = sum(map(len, wanted))
    right, in_part, missing = _found(wanted, records)
    if items and "raw" in items[0] and "fields" not in items[0]:
        raws = [item["raw"] for item in items if "unparsable" not in item]
        expected_values = len(raws)
        right, missing = _raw_found(raws, records, rejected)
    bad = sum("unparsable" in item or item.get("json_ok") is False for item in items)
    expected = _expected_records(entry, truth)
    if items and "raw" in items[0]:
        bad = len(rejected)  # a line that is reported whole is not lost
    found = _counted(records, items) + min(len(rejected), bad)
    counted = found if expected is None else max(0, expected - abs(expected - found))
    return Score(counted, expected, right + in_part, in_part, expected_values, tuple(missing[:8]))


def _counted(records: list[Record], items: list[dict[str, Any]]) -> int:
    """Return how many records there are; of events that are joined of lines the lines, where the truth counts those."""
    if items and "messages" in items[0]:
        return len(records)
    return sum(len(parts) if isinstance(parts := each.get("records"), list) else 1 for each in records)


def _expected_records(entry: Entry, truth: dict[str, Any]) -> int | None:
    if truth.get("match") == "value containment":  # of these it is known that each line is a record
        return sum(bool(line.strip()) for line in entry.content().splitlines())
    records: int | None = truth.get("records")
    return records


def _wanted(entry: Entry, truth: dict[str, Any], items: list[dict[str, Any]]) -> Iterator[list[Wanted]]:
    """Yield for each item of the truth the values that its record must have."""
    is_json = any("canon_sha1" in item for item in items)
    lines = entry.content().split(b"\n") if is_json else []
    for item in items:
        if "unparsable" in item:
            continue
        if item.get("json_ok"):
            yield _leaves(_replaced(json.loads(lines[item["line"] - 1])))
        elif "sha1" in item:
            yield _leaves([item["caplen"], item["len"], item["sha1"]])
        elif "messages" in item:
            yield _leaves([item["sequence"], f"{item['messages']} messages"])
        elif "text" in item:
            yield _leaves([str(item["text"]).strip()])
        elif found := [item[name] for name in ("values", "value") if name in item]:
            yield _leaves(found)
        elif "fields" in item and truth.get("match") != "raw":
            apart = {*NOT_LITERAL, *PIECES, *item.get("not_literal", ())}
            yield _leaves({name: value for name, value in (item["fields"] or {}).items() if name not in apart})


def _leaves(value: Any) -> list[Wanted]:
    if isinstance(value, dict):
        return [leaf for name, each in value.items() if name not in PIECES for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    if value is None or str(value).strip() in {"", "-", "(empty)", "unset"}:
        return []
    return [(normal(value), str(value).strip().lower())]


def _replaced(value: Any) -> Any:
    """Return JSON without the halves of surrogate pairs, which are no text."""
    return json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))


def _found(wanted: list[list[Wanted]], records: list[Record]) -> tuple[int, int, list[str]]:
    """Count the wanted values that are in the record that has most of them, whole and as a part; tell what is not."""
    where: dict[str, set[int]] = defaultdict(set)
    for number, record in enumerate(records):
        for value in _values_of(record):
            where[value].add(number)
    right, in_part, missing = 0, 0, []
    for order, each in enumerate(wanted):
        hits = Counter(number for value, _ in each for number in _having(value, where))
        best = max(hits, key=lambda number: (hits[number], number == order), default=None)
        longer = "\n".join(_structured(records[best])) if best is not None else ""
        for value, text in each:
            if best is not None and best in _having(value, where):
                right += 1
            elif _is_part(text, longer):
                in_part += 1
            else:
                missing.append(text)
    return right, in_part, missing


def _is_part(text: str, longer: str) -> bool:
    """Tell whether a value is a part of longer ones, and does not begin or end within a word of it."""
    begin, end = r"(?<![\w.])" if text[0].isalnum() else "", r"(?!\w)" if text[-1].isalnum() else ""
    return re.search(f"{begin}{re.escape(text)}{end}", longer) is not None


def _is_part(text: str, longer: str) -> bool:
    """Tell whether a value is a part of longer ones, and does not begin or end within a word of it."""
    begin, end = r"(?<![\w.])" if text[0].isalnum() else "", r"(?!\w)" if text[-1].isalnum() else ""
    return re.search(f"{begin}{re.escape(text)}{end}", longer) is not None


def _structured(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts of a record that are no free text, in which anything may be found."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _structured(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _structured(each, name)
    elif isinstance(value, str) and name not in {"body", "message", "msg", "@source"}:
        yield value.lower()


def _having(value: str, where: dict[str, set[int]]) -> set[int]:
    if value in where:
        return where[value]
    if found := _YEARLESS.match(value):  # a log without years
        month, day, time, _ = found.groups()
        name = _MONTHS[int(month) - 1]
        return where.get(f"{name} {int(day):>2} {time}", set()) | where.get(f"{name} {day} {time}", set())
    for notation in NOTATIONS:
        try:
            text = value.upper() if notation.endswith("%Z") else value.title()
            return where.get(normal(timestamps(notation)[text]), set())
        except ValueError:
            continue
    return set()


def _values_of(record: Record) -> Iterator[str]:
    for value in values({name: each for name, each in record.items() if name != "@source"}):
        yield value
        if value.startswith(_MONTHS):
            yield re.sub(r"(:\d\d)\.\d+$", r"\1", value)
    if "method" in record and "path" in record:  # a request as it was written
        yield normal(" ".join(str(record.get(name)) for name in ("method", "path", "protocol") if record.get(name)))
    for value in record.values():
        if isinstance(value, list):  # a list as it was written
            yield ",".join(str(each) for each in value).lower()
    if isinstance(data := record.get("data"), str) and "captured" in record:
        yield normal(hashlib.sha1(base64.b64decode(data)).hexdigest()[:16])
    if isinstance(parts := record.get("records"), list):
        yield f"{len(parts)} messages"


def _raw_found(wanted: list[str], records: list[Record], rejected: list[bytes]) -> tuple[int, list[str]]:
    """Count the lines whose body is that of a record of its own, or that were rejected as they are."""
    left = Counter(str(record.get("body", "")).strip() for record in records)
    thrown = Counter(line.decode("utf-8", "replace").strip() for line in rejected)
    right, missing = 0, []
    for raw in wanted:
        body = max((each for each, count in left.items() if count and each in raw), key=len, default=None)
        if thrown[raw.strip()]:
            thrown[raw.strip()] -= 1
        elif body:
            left[body] -= 1
        else:
            missing.append(raw)
            continue
        right += 1
    return right, missing
