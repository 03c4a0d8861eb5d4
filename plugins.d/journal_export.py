# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "journal_export"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The systemd journal as `journalctl -o export` writes it."
# accepts = { head = '^__REALTIME_TIMESTAMP=\d+\n', priority = -10 }
# framing = "stream"
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# encoding = "base64"
# input = """\
#   X19SRUFMVElNRV9USU1FU1RBTVA9MTcxNTk0MDMwMzAwMDAwMQpQUklPUklUWT0zCl9QSUQ9Nwpfa2V5PWEKX2tleT1iCk1FU1NBR0U9bm8gZGlz\
#   awoKX19SRUFMVElNRV9USU1FU1RBTVA9MTcxNTk0MDMwNDAwMDAwMApNRVNTQUdFCgcAAAAAAAAAdHdvCmxuMwoKX19SRUFMVElNRV9USU1FU1RB\
#   TVA9MTcxNTk0MDMwNTAwMDAwMApCQUQKBQAAAAAAAAABAv8DBAo="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.000001Z", "severity_text": "err", "severity_number": 17,
#    "body": "no disk", "__REALTIME_TIMESTAMP": "1715940303000001", "PRIORITY": "3", "_PID": "7",
#    "_key": ["a", "b"]}''',
#   '''{"timestamp": "2024-05-17T10:05:04.000000Z", "body": "two\nln3", "__REALTIME_TIMESTAMP": "1715940304000000"}''',
#   '''{"timestamp": "2024-05-17T10:05:05.000000Z", "body": null, "__REALTIME_TIMESTAMP": "1715940305000000",
#    "BAD": [1, 2, 255, 3, 4]}''',
# ]
# ///
"""The journal export format of systemd: entries of `FIELD=value` lines, or of a length and any bytes.

Keys: `timestamp`, `severity_text`, `severity_number` and `body` of `__REALTIME_TIMESTAMP`, `PRIORITY` and
`MESSAGE`, and the entry's own fields but `MESSAGE`. A field that occurs again makes a list. A value that is not
UTF-8 is an array of bytes, as `journalctl -o json` has it.
"""

from collections.abc import Iterator

from contract import SYSLOG_SEVERITIES, ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MOST_BYTES = 64 << 20


class JournalStream(ByteStream):
    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        start = self.used
        while True:
            entry, end, is_whole = _entry(data, start)
            if not is_whole and not (final and entry and end == len(data)):
                return
            raw, start = data[self.used : end], end
            self.used = end
            if not entry:
                continue
            try:
                yield _record(entry)
            except ValueError as error:
                self.ctx.reject(raw, str(error))


def _entry(data: bytes, start: int) -> tuple[dict[str, JsonValue], int, bool]:
    """Return the entry that begins at `start`, where it ends, and whether an empty line ends it."""
    fields: dict[str, JsonValue] = {}
    position = start
    while (line_end := data.find(b"\n", position)) >= 0:
        line = data[position:line_end]
        if not line:
            return fields, line_end + 1, True
        name, equals, value = line.partition(b"=")
        position = line_end + 1
        if not equals:
            length = int.from_bytes(data[position : position + 8], "little")
            if length > _MOST_BYTES:
                raise ValueError(f"the field {name!r:.100} has {length} bytes, so the export is damaged here")
            value, position = data[position + 8 : position + 8 + length], position + 8 + length + 1
            if position > len(data):
                return fields, len(data) + 1, False
        _add(fields, name.decode("utf-8", "backslashreplace"), value)
    return fields, position, False


def _add(fields: dict[str, JsonValue], name: str, raw: bytes) -> None:
    try:
        value: JsonValue = raw.decode()
    except UnicodeDecodeError:
        value = list(raw)
    if name not in fields:
        fields[name] = value
        return
    known = fields[name]
    several = isinstance(known, list) and not all(isinstance(each, int) for each in known)
    fields[name] = [*known, value] if isinstance(known, list) and several else [known, value]


def _record(entry: dict[str, JsonValue]) -> Record:
    record: dict[str, JsonValue] = {"timestamp": from_epoch(str(entry.get("__REALTIME_TIMESTAMP")), 1_000_000)}
    priority = entry.get("PRIORITY")
    if isinstance(priority, str) and priority in set("01234567"):
        record["severity_text"], record["severity_number"] = SYSLOG_SEVERITIES[int(priority)]
    body = entry.pop("MESSAGE", None)
    return {**record, "body": body, **entry}


def new_processor() -> StreamProcessor:
    return each_stream(JournalStream)
