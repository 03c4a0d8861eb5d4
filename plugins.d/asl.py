# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "asl"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Apple's system log (*.asl), of macOS before 10.12."
# framing = "stream"
# accepts = { head = '\AASL DB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02', priority = -10 }
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# name = "a.asl"
# encoding = "base64"
# input = """\
#   QVNMIERCAAAAAAAAAAAAAgAAAAAAAABQAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ\
#   AAAARwYzEAAAEAAAAKbG9jYXRpb25kAAABAAAACG5vIGRpc2sAAAEAAAAHVGhyZWFkAAAAAAAAhAAAAAAAAAAAAAAAAAAAAAcAAAAAZkcrzwAA\
#   AI8AAwABAAAARQAAAfUAAAAUAAAB9f////8AAAAAAAAAAgAAAAAAAABQAAAAAAAAAFqEdXNlcgAAAAAAAAAAAABqAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAB4hDEwMDcAAAAAAAAAAAAAAAAAAAAABHRvcm4="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.000000143Z", "severity_text": "err", "severity_number": 17, "body":
#    "no disk", "message_id": 7, "host": "pc1", "sender": "locationd", "facility": "user", "pid": 69, "uid": 501,
#    "gid": 20, "read_uid": 501, "read_gid": -1, "extra": {"Thread": "1007"}}''',
# ]
# rejected = 1
# ///
"""Apple's system log, version 2: texts, and messages that name them by their places.

Keys: `timestamp`, `severity_text` (syslog's), `severity_number`, `body`, `message_id`, `host`, `sender`, `facility`,
`pid`, `uid`, `gid`, `read_uid`, `read_gid` (-1: everybody), `reference_pid`, `reference_process` and `session` if there
are such, and in `extra` what the sender has added. A text that is not in the file before its message is null.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

from contract import SYSLOG_SEVERITIES, ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC: Final = b"ASL DB" + bytes(6)
_HEADER_BYTES: Final = 80
_OBJECT: Final = struct.Struct(">HI")
_MESSAGE: Final = struct.Struct(">QQQIHHIIIiiII6Q")
_MOST_BYTES: Final = 4 << 20
_MOST_KEPT_CHARACTERS: Final = 2 << 20
_INLINE: Final = 0x80


class AslStream(ByteStream):
    """`kept`: where we are `at`, the `texts` so far by their places, and how many characters they `held` have."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < _HEADER_BYTES:
                return
            version = struct.unpack_from(">I", data, 12)[0]
            if not data.startswith(_MAGIC) or version != 2:
                raise ValueError(f"begins with {data[:16].hex(' ')}, which is no log of ASL, version 2")
            self.kept, self.used = {"at": _HEADER_BYTES, "texts": {}, "held": 0}, _HEADER_BYTES
        while self.used + _OBJECT.size <= len(data):
            kind, size = _OBJECT.unpack_from(data, self.used)
            if kind > 1 or size > _MOST_BYTES:
                raise ValueError(f"an object of kind {kind} and {size} bytes: the log is damaged here")
            start, end = self.used + _OBJECT.size, self.used + _OBJECT.size + size
            if end > len(data):
                return
            raw, at = data[self.used : end], self.kept["at"]
            self.used, self.kept["at"] = end, at + len(raw)
            if kind == 1:
                self._keep(at, data[start:end])
                continue
            try:
                record = self._message(data[start:end])
            except (struct.error, ValueError) as error:
                self.ctx.reject(raw, f"a message that is damaged: {error}")
                continue
            yield record

    def _keep(self, at: int, raw: bytes) -> None:
        texts: dict[str, str] = self.kept["texts"]
        texts[str(at)] = raw.rstrip(b"\x00").decode("utf-8", "backslashreplace")
        self.kept["held"] += len(texts[str(at)])
        while self.kept["held"] > _MOST_KEPT_CHARACTERS:
            self.kept["held"] -= len(texts.pop(next(iter(texts))))

    def _message(self, raw: bytes) -> Record:
        _, number, seconds, nanoseconds, level, _, pid, uid, gid, read_uid, read_gid, reference, count, *places = (
            _MESSAGE.unpack_from(raw)
        )
        host, sender, facility, body, process, session = map(self._text, places)
        named = struct.unpack_from(f">{count}Q", raw, _MESSAGE.size) if count * 8 <= len(raw) else ()
        texts = [self._text(place) for place in named]
        extra: dict[str, JsonValue] = {
            str(name): value for name, value in zip(texts[::2], texts[1::2], strict=False) if name is not None
        }
        severity: dict[str, Any] = {"severity_text": str(level)}
        if level < len(SYSLOG_SEVERITIES):
            severity["severity_text"], severity["severity_number"] = SYSLOG_SEVERITIES[level]
        return {
            "timestamp": from_epoch(seconds * 10**9 + nanoseconds, 10**9),
            **severity,
            "body": body,
            "message_id": number,
            "host": host,
            "sender": sender,
            "facility": facility,
            "pid": pid,
            "uid": uid,
            "gid": gid,
            "read_uid": read_uid,
            "read_gid": read_gid,
            **({"reference_pid": reference} if reference else {}),
            **({"reference_process": process} if process else {}),
            **({"session": session} if session else {}),
            **({"extra": extra} if extra else {}),
        }

    def _text(self, place: int) -> str | None:
        """Return the text at a place; one of up to seven bytes is written where the place would be."""
        raw = place.to_bytes(8, "big")
        if raw[0] & _INLINE:
            return raw[1 : 1 + (raw[0] & 0x7F)].rstrip(b"\x00").decode("utf-8", "backslashreplace")
        text: str | None = self.kept["texts"].get(str(place))
        return text


def new_processor() -> StreamProcessor:
    return each_stream(AslStream)
