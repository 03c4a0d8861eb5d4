"""Windows event logs (.evtx).

Keys: `timestamp`, `severity_text`, `severity_number`, `record_id`, `system`, `event_data`, `user_data`; attributes and
children of an element are its fields.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import evtx  # type: ignore[import-not-found, import-untyped, unused-ignore]

from contract import Context, JsonValue, Record, timestamps

_LEVELS = {
    0: ("LogAlways", 9),
    1: ("Critical", 21),
    2: ("Error", 17),
    3: ("Warning", 13),
    4: ("Information", 9),
    5: ("Verbose", 5),
}


class EvtxProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterator[Record]:
        records = iter(evtx.PyEvtxParser(io.BytesIO(data)).records_json())
        while True:
            try:
                found = next(records)
            except StopIteration:
                return
            except RuntimeError as error:  # what the library raises for one record; the next one may be sound
                ctx.log.warning(f"a record cannot be read: {error}")
                continue
            yield _record(found["event_record_id"], json.loads(found["data"]).get("Event", {}))


def _record(number: int, event: dict[str, Any]) -> Record:
    system = _fields(event.get("System") or {})
    record: dict[str, JsonValue] = {}
    created = system.get("TimeCreated")
    if isinstance(created, dict) and created.get("SystemTime"):
        record["timestamp"] = timestamps("%Y-%m-%dT%H:%M:%S%z")[str(created["SystemTime"])]
    level = system.get("Level")
    text, severity = _LEVELS.get(level if isinstance(level, int) else 0, (str(level), None))
    record |= {"severity_text": text, "severity_number": severity, "record_id": number, "system": system}
    for name, key in (("EventData", "event_data"), ("UserData", "user_data")):
        if name in event:
            record[key] = _fields(event[name] or {})
    return record


def _fields(element: dict[str, Any]) -> dict[str, JsonValue]:
    """Return an element's attributes and children as its fields, and its text as `text`."""
    fields: dict[str, JsonValue] = {
        name: value for name, value in (element.get("#attributes") or {}).items() if name != "xmlns"
    }
    for name, value in element.items():
        if name == "#text":
            fields["text"] = value
        elif name != "#attributes":
            fields[name] = _fields(value) if isinstance(value, dict) else value
    return fields


def new_processor() -> EvtxProcessor:
    return EvtxProcessor()
