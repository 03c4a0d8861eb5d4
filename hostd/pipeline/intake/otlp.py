"""OTLP's logs (https://opentelemetry.io/docs/specs/otlp/): requests to lines, each the JSON of one log record.

A line is a request in OTLP's JSON encoding that holds one record alone, with its resource and its scope. So whatever
parses what the collector's file exporter writes parses it too. What the values mean is left to that.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import msgspec
from aiohttp import web

from hostd.pipeline.intake.bodies import BodyError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
Json = dict[str, Any]


def to_lines(content_type: str, body: bytes) -> bytes:
    """Return the log records of a request, one a line. Raises BodyError."""
    if content_type == PROTOBUF:
        request = _from_protobuf(body)
    elif content_type == JSON:
        request = _from_json(body)
    else:
        raise BodyError(415, f"Content-Type {content_type!r} is not OTLP's; send {PROTOBUF} or {JSON}")
    encode = msgspec.json.encode
    try:
        return b"".join(encode(line) + b"\n" for line in _records(request))
    except (AttributeError, TypeError) as error:
        raise BodyError(
            400, "the body is no ExportLogsServiceRequest: a list or an object is something else"
        ) from error


def success(content_type: str) -> web.Response:
    """Return the answer to a request whose records are all committed."""
    body = b"" if content_type == PROTOBUF else b"{}"
    return web.Response(body=body, content_type=content_type)


def refusal(content_type: str, error: BodyError) -> web.Response:
    """Return the answer to a request that is not taken: a Status, as the protocol says."""
    if content_type == PROTOBUF:
        message = error.reason.encode()
        body = b"\x12" + _varint(len(message)) + message  # field 2, `message`, of google.rpc.Status
    else:
        body = msgspec.json.encode({"message": error.reason})
    kind = content_type if body[:1] == b"\x12" else JSON
    return web.Response(status=error.status, body=body, content_type=kind, headers=error.headers)


def _records(request: Json) -> Iterator[Json]:
    """Yield each record as a request of its own."""
    for resource in request.get("resourceLogs") or ():
        around = {key: value for key, value in resource.items() if key != "scopeLogs"}
        for scope in resource.get("scopeLogs") or ():
            within = {key: value for key, value in scope.items() if key != "logRecords"}
            for record in scope.get("logRecords") or ():
                yield {"resourceLogs": [{**around, "scopeLogs": [{**within, "logRecords": [record]}]}]}


def _from_json(body: bytes) -> Json:
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise BodyError(400, "the body is no ExportLogsServiceRequest, but another JSON value")
    return request


def _from_protobuf(body: bytes) -> Json:
    service = importlib.import_module("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    request = service.ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except importlib.import_module("google.protobuf.message").DecodeError as error:
        raise BodyError(400, f"the body is no ExportLogsServiceRequest: {error}") from error
    return {"resourceLogs": [_resource_logs(each) for each in request.resource_logs]}


def _resource_logs(logs: Any) -> Json:
    found: Json = {"resource": {"attributes": _attributes(logs.resource.attributes)}}
    if logs.schema_url:
        found["schemaUrl"] = logs.schema_url
    return {**found, "scopeLogs": [_scope_logs(each) for each in logs.scope_logs]}


def _scope_logs(logs: Any) -> Json:
    scope: Json = {"name": logs.scope.name}
    if logs.scope.version:
        scope["version"] = logs.scope.version
    if logs.scope.attributes:
        scope["attributes"] = _attributes(logs.scope.attributes)
    found: Json = {"scope": scope}
    if logs.schema_url:
        found["schemaUrl"] = logs.schema_url
    return {**found, "logRecords": [_record(each) for each in logs.log_records]}


def _record(record: Any) -> Json:
    """Return a record in OTLP's JSON: 64-bit integers are strings, ids are hexadecimal, defaults are left out."""
    found: Json = {}
    if record.time_unix_nano:
        found["timeUnixNano"] = str(record.time_unix_nano)
    if record.observed_time_unix_nano:
        found["observedTimeUnixNano"] = str(record.observed_time_unix_nano)
    if record.severity_number:
        found["severityNumber"] = record.severity_number
    if record.severity_text:
        found["severityText"] = record.severity_text
    if record.HasField("body"):
        found["body"] = _value(record.body)
    if record.attributes:
        found["attributes"] = _attributes(record.attributes)
    if record.dropped_attributes_count:
        found["droppedAttributesCount"] = record.dropped_attributes_count
    if record.flags:
        found["flags"] = record.flags
    for name, id_ in (("traceId", record.trace_id), ("spanId", record.span_id)):
        if id_:
            found[name] = id_.hex()
    if event_name := getattr(record, "event_name", ""):  # newer than the oldest package that this works with
        found["eventName"] = event_name
    return found


def _attributes(attributes: Any) -> list[Json]:
    return [{"key": each.key, "value": _value(each.value)} for each in attributes]


def _value(value: Any) -> Json:
    kind = value.WhichOneof("value")
    if kind is None:
        return {}
    if kind == "array_value":
        return {"arrayValue": {"values": [_value(each) for each in value.array_value.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": _attributes(value.kvlist_value.values)}}
    if kind == "int_value":
        return {"intValue": str(value.int_value)}
    if kind == "bytes_value":
        return {"bytesValue": value.bytes_value}  # base64, as msgspec writes bytes
    if kind == "double_value":
        return {"doubleValue": _double(value.double_value)}
    head, _, tail = kind.partition("_")
    return {f"{head}{tail.capitalize()}": getattr(value, kind)}


def _double(value: float) -> float | str:
    """Return a number as the JSON of protobuf has it: JSON itself has none that are not finite."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
