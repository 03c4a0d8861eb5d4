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

from tests.processors.corpus import Entry, expected_values, normal, values

_YEARLESS = re.compile(r"000[01]-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SURROGATE = re.compile("[\ud800-\udfff]")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """How many records and values are as the truth says, of how many; None where it says nothing."""

    records: int
    expected_records: int | None
    right: int
    expected: int
    missing: tuple[str, ...]
    """The first few values that are not there."""


def compare(entry: Entry, records: list[Record], rejected: list[bytes]) -> Score:
    """Compare what came of a file, and the lines that were rejected, with the file's truth."""
    truth = entry.truth()
    items: list[dict[str, Any]] = truth.get("items") or []
    wanted = list(_wanted(entry, truth, items))
    right, missing = _found(wanted, records)
    if items and "raw" in items[0] and "fields" not in items[0]:
        wanted = [[item["raw"]] for item in items if "unparsable" not in item]
        right, missing = _raw_found([raw for (raw,) in wanted], records, rejected)
    bad = sum("unparsable" in item or item.get("json_ok") is False for item in items)
    expected = _expected_records(entry, truth)
    if items and "raw" in items[0]:
        bad = len(rejected)  # a line that is reported whole is not lost
    found = len(records) + min(len(rejected), bad)
    counted = found if expected is None else max(0, expected - abs(expected - found))
    return Score(counted, expected, right, sum(map(len, wanted)), tuple(missing[:8]))


def _expected_records(entry: Entry, truth: dict[str, Any]) -> int | None:
    if truth.get("match") == "value containment":  # of these it is known that each line is a record
        return sum(bool(line.strip()) for line in entry.content().splitlines())
    records: int | None = truth.get("records")
    return records


def _wanted(entry: Entry, truth: dict[str, Any], items: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield for each item of the truth the values that its record must have."""
    is_json = any("canon_sha1" in item for item in items)
    lines = entry.content().split(b"\n") if is_json else []
    for item in items:
        if "unparsable" in item:
            continue
        if item.get("json_ok"):
            yield list(values(_replaced(json.loads(lines[item["line"] - 1]))))
        elif "sha1" in item:
            yield [normal(item["caplen"]), normal(item["len"]), item["sha1"]]
        elif "messages" in item:
            yield [normal(item["sequence"]), f"{item['messages']} messages"]
        elif "text" in item:
            yield [normal(str(item["text"]).strip())]
        elif "values" in item:
            yield [value for value in values(item["values"]) if value]
        elif "value" in item:
            yield list(values(item["value"]))
        elif "fields" in item and truth.get("match") != "raw":
            fields = {k: v for k, v in (item["fields"] or {}).items() if k not in item.get("not_literal", ())}
            yield expected_values({"fields": fields})


def _replaced(value: Any) -> Any:
    """Return JSON without the halves of surrogate pairs, which are no text."""
    return json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))


def _found(wanted: list[list[str]], records: list[Record]) -> tuple[int, list[str]]:
    """Count the wanted values that are in the record that has most of them; tell some that are not."""
    where: dict[str, set[int]] = defaultdict(set)
    for number, record in enumerate(records):
        for value in _values_of(record):
            where[value].add(number)
    right, missing = 0, []
    for order, each in enumerate(wanted):
        hits = Counter(number for value in each for number in _having(value, where))
        best = max(hits, key=lambda number: (hits[number], number == order), default=None)
        for value in each:
            if best is not None and best in _having(value, where):
                right += 1
            else:
                missing.append(value)
    return right, missing


def _having(value: str, where: dict[str, set[int]]) -> set[int]:
    if value in where:
        return where[value]
    if found := _YEARLESS.match(value):  # a log without years
        month, day, time, _ = found.groups()
        name = _MONTHS[int(month) - 1]
        return where.get(f"{name} {int(day):>2} {time}", set()) | where.get(f"{name} {day} {time}", set())
    return set()


def _values_of(record: Record) -> Iterator[str]:
    for value in values({name: each for name, each in record.items() if name != "@source"}):
        yield value
        if value.startswith(_MONTHS):
            yield re.sub(r"(:\d\d)\.\d+$", r"\1", value)
    if isinstance(data := record.get("data"), str) and "captured" in record:
        yield hashlib.sha1(base64.b64decode(data)).hexdigest()[:16]
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
