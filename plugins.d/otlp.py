# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "otlp"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "OpenTelemetry logs: OTLP's JSON, one request a line, as hostd and the collector's file exporter write it."
# framing = "lines"
#
# [tool.hostd.accepts]
# head = '\A\s*\{\s*"resourceLogs"\s*:'
# priority = -5
#
# [[tool.hostd.samples]]
# input = '''
# {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1715940303250000000", "severityNumber": 9}]}]}]}
# {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"doubleValue": 1.5}}, {"traceId": "5b8efff7"}]}]}]}
# {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [{"scope": {"name": "a"}, "logRecords": [{}]}]}]}
# {"resourceLogs": [
# {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "soon"}]}]}]}
# '''
# rejected = 2
# records = [
#   { timestamp = "2024-05-17T10:05:03.25Z", severity_number = 9 },
#   { body = 1.5 },
#   { trace_id = "5b8efff7" },
#   { scope = { name = "a" } },
# ]
# ///
"""OpenTelemetry logs: OTLP's JSON, one request a line, to records of the logs data model.

Keys: `timestamp`, `observed_timestamp`, `severity_number`, `severity_text`, `body`, `attributes`, `resource`, `scope`,
`trace_id`, `span_id`, `trace_flags`, `event_name`, of those that a record has. Attributes become objects.
https://opentelemetry.io/docs/specs/otel/logs/data-model/ says what they mean.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from contract import Context, JsonValue, Record


class OtlpProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterable[Record]:
        for raw in data.split(b"\n"):
            if not raw.strip():
                continue
            try:
                records = list(_records(json.loads(raw)))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                ctx.reject(raw, f"not OTLP's JSON: {type(error).__name__}: {error}")
                continue
            yield from records
            if not records:
                self._account_for(raw, ctx)

    def _account_for(self, raw: bytes, ctx: Context) -> None:
        """Reject what has no record: it may be misspelt. `{"resourceLogs": []}` asks whether someone is there."""
        if json.loads(raw) != {"resourceLogs": []}:
            ctx.reject(raw, "no log record in it: expected resourceLogs with scopeLogs with logRecords")


def _records(request: Any) -> Iterator[Record]:
    for resource_logs in request["resourceLogs"]:
        resource = _attributes(resource_logs.get("resource", {}).get("attributes"))
        for scope_logs in resource_logs.get("scopeLogs") or ():
            scope = _scope(scope_logs.get("scope") or {})
            for each in scope_logs.get("logRecords") or ():
                yield _record(each, resource, scope)


def _record(given: dict[str, Any], resource: dict[str, JsonValue], scope: dict[str, JsonValue]) -> Record:
    record: dict[str, JsonValue] = {}
    for name, key in (("timestamp", "timeUnixNano"), ("observed_timestamp", "observedTimeUnixNano")):
        if nanoseconds := int(given.get(key) or 0):
            record[name] = _time(nanoseconds)
    for name, key in _AS_THEY_ARE:
        if given.get(key):
            record[name] = given[key]
    if "body" in given:
        record["body"] = _value(given["body"])
    if attributes := _attributes(given.get("attributes")):
        record["attributes"] = attributes
    if resource:
        record["resource"] = resource
    if scope:
        record["scope"] = scope
    return record


_AS_THEY_ARE = (
    ("severity_number", "severityNumber"),
    ("severity_text", "severityText"),
    ("trace_id", "traceId"),
    ("span_id", "spanId"),
    ("trace_flags", "flags"),
    ("event_name", "eventName"),
)


def _scope(given: dict[str, Any]) -> dict[str, JsonValue]:
    scope: dict[str, JsonValue] = {key: given[key] for key in ("name", "version") if given.get(key)}
    if attributes := _attributes(given.get("attributes")):
        scope["attributes"] = attributes
    return scope


def _attributes(given: list[dict[str, Any]] | None) -> dict[str, JsonValue]:
    return {each["key"]: _value(each.get("value") or {}) for each in given or ()}


def _value(given: dict[str, Any]) -> JsonValue:
    for kind, value in given.items():
        if kind == "intValue":
            return int(value)
        if kind == "arrayValue":
            return [_value(each) for each in value.get("values") or ()]
        if kind == "kvlistValue":
            return {each["key"]: _value(each.get("value") or {}) for each in value.get("values") or ()}
        found: JsonValue = value
        return found
    return None


def _time(nanoseconds: int) -> str:
    """Return RFC 3339 in UTC, to the nanosecond as far as it is known."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def new_processor() -> OtlpProcessor:
    return OtlpProcessor()
