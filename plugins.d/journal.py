# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "journal"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The systemd journal's files as they are on the disk (*.journal), once they are archived."
# framing = "stream"
# accepts = { head = '\ALPKSHHRH', priority = -10 }
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# name = "system.journal"
# encoding = "base64"
# input = """\
#   TFBLU0hIUkgAAAAABAAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAECAwQFBgcICQ\
#   oLDA0OD9AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAUAAAAAAAAAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAABXAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAACAAAAAAAAAF9TWVNURU1EX1VOSVQ9YS5zZXJ2aWNlAAEAAAAAAAAATwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAABNRVNTQUdFPW5vIGRpc2sAAQAAAAAAAABKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAFBSSU9SSVRZPTMAAAAAAAADAAAAAAAAAHAAAAAAAAAAAQAAAAAAAABYgDl8oxgGAOgDAAAAAAAAAA\
#   ECAwQFBgcICQoLDA0OD6sAAAAAAAAAeAEAAAAAAAAAAAAAAAAAAMgBAAAAAAAAAAAAAAAAAAAgAQAAAAAAAAAAAAAAAAAAAQAAAAAAAABKAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAE1FU1NBR0U9/wAAAAAAAAADAAAAAAAAAGAAAAAAAA\
#   AAAgAAAAAAAABZgDl8oxgGAOgDAAAAAAAAAAECAwQFBgcICQoLDA0OD6sAAAAAAAAAiAIAAAAAAAAAAAAAAAAAACABAAAAAAAAAAAAAAAAAAA="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143000Z", "severity_text": "err", "severity_number": 17, "body": "no disk",
#    "__CURSOR":
#    "s=000102030405060708090a0b0c0d0e0f;i=1;b=000102030405060708090a0b0c0d0e0f;m=3e8;t=618a37c398058;x=ab",
#    "__REALTIME_TIMESTAMP": "1715940303143000", "__MONOTONIC_TIMESTAMP": "1000", "_BOOT_ID":
#    "000102030405060708090a0b0c0d0e0f", "PRIORITY": "3", "_SYSTEMD_UNIT": "a.service"}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143001Z", "body": [255, 0], "__CURSOR":
#    "s=000102030405060708090a0b0c0d0e0f;i=2;b=000102030405060708090a0b0c0d0e0f;m=3e8;t=618a37c398059;x=ab",
#    "__REALTIME_TIMESTAMP": "1715940303143001", "__MONOTONIC_TIMESTAMP": "1000", "_BOOT_ID":
#    "000102030405060708090a0b0c0d0e0f", "_SYSTEMD_UNIT": "a.service"}''',
# ]
# ///
"""The files of the systemd journal, read as its documented format says (https://systemd.io/JOURNAL_FILE_FORMAT).

Keys: as of `journalctl -o json`: `timestamp`, `severity_text`, `severity_number` and `body` of the entry's time,
`PRIORITY` and `MESSAGE`; `__CURSOR`, `__REALTIME_TIMESTAMP`, `__MONOTONIC_TIMESTAMP`, and the entry's own fields but
`MESSAGE`. A field that occurs again makes a list, and a value that is not UTF-8 is an array of bytes. Compressed fields
are read where they can be: xz and lz4 always, zstd with the extra `hostd[zstd]`; else `unreadable` says what is
missing. A file is read from its beginning to its end, once: that journald still writes to is better followed with
`journalctl -o export -f`, and the processor `journal_export`.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from contract import SYSLOG_SEVERITIES, ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC: Final = b"LPKSHHRH"
_KNOWN: Final = {"xz": 1, "lz4": 2, "keyed hashes": 4, "zstd": 8, "compact": 16}
_COMPACT: Final = 16
_DATA, _ENTRY = 1, 3
_MOST_TYPE: Final = 7
_OBJECT: Final = struct.Struct("<BB6xQ")
_ENTRY_HEAD: Final = struct.Struct("<QQQ16sQ")
_MOST_BYTES: Final = 4 << 20
_MOST_KEPT_BYTES: Final = 6 << 20
_MOST_FIELD_BYTES: Final = 16 << 20
_MOST_MEMORY_BYTES: Final = 64 << 20
_COMPRESSIONS: Final = {1: "xz", 2: "lz4", 4: "zstd"}


class JournalStream(ByteStream):
    """`kept`: how the file is laid out, the `data` objects that later entries may name, and how far to `skip`.

    A data object says how many entries name it; after the last it is forgotten, so what is kept stays small, and of
    more than 6 MiB the oldest are forgotten too. Each is `[times left, compression, payload in base64]`, `held` their
    bytes.
    """

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept and not self._header(data):
            return
        while True:
            self._skip(data)
            if self.kept["ended"]:
                self._unwritten(data)
            if self.kept["skip"] or self.used + _OBJECT.size > len(data):
                break
            kind, flags, size = _OBJECT.unpack_from(data, self.used)
            if not kind and not size:
                self.kept["ended"] = True
                continue
            if not 0 < kind <= _MOST_TYPE or size < _OBJECT.size:
                raise ValueError(f"an object of type {kind} and {size} bytes: the journal is damaged here")
            if kind not in (_DATA, _ENTRY):
                self.kept["skip"] = size + -size % 8
                continue
            if size > _MOST_BYTES:
                raise ValueError(f"an object of {size} bytes, over {_MOST_BYTES}: the journal is damaged here")
            if self.used + size > len(data):
                break
            record = self._object(kind, flags, data[self.used : self.used + size])
            if record is not None:
                yield record
        if final and not any(data[self.used : self.used + _OBJECT.size]) and len(data) - self.used < _OBJECT.size:
            self.used = len(data)  # less room than an object needs

    def _object(self, kind: int, flags: int, raw: bytes) -> Record | None:
        offset = self.kept["at"]
        self.used += len(raw)
        self.kept["at"] += len(raw)
        self.kept["skip"] = -len(raw) % 8
        if kind == _ENTRY:
            return self._entry(raw)
        self._keep(offset, flags, raw[_OBJECT.size :])
        return None

    def _header(self, data: bytes) -> bool:
        if len(data) < 96:
            return False
        if not data.startswith(_MAGIC):
            raise ValueError(f"begins with {data[:8].hex(' ')}, which is no journal of systemd")
        incompatible, size = struct.unpack_from("<I", data, 12)[0], struct.unpack_from("<Q", data, 88)[0]
        if incompatible & ~sum(_KNOWN.values()):
            raise ValueError(f"the journal needs features {incompatible:#x}, of which not all are known")
        if not 96 <= size <= 4096:
            raise ValueError(f"a header of {size} bytes: the journal is damaged")
        compact = bool(incompatible & _COMPACT)
        sequence = str(UUID(bytes=data[72:88])).replace("-", "")
        self.kept = {"compact": compact, "sequence": sequence, "data": {}, "held": 0, "at": 0, "skip": size + -size % 8}
        self.kept["ended"] = False
        return True

    def _skip(self, data: bytes) -> None:
        skipped = min(self.kept["skip"], len(data) - self.used)
        self.kept["skip"] -= skipped
        self.kept["at"] += skipped
        self.used += skipped

    def _unwritten(self, data: bytes) -> None:
        """The room that journald has made for what it would write next."""
        if data.count(0, self.used) != len(data) - self.used:
            raise ValueError("something follows the end of the journal's objects: it is damaged here")
        self.used = len(data)

    def _keep(self, offset: int, flags: int, rest: bytes) -> None:
        head = 56 if self.kept["compact"] else 48
        if len(rest) < head:
            raise ValueError(f"a data object of {len(rest)} bytes: the journal is damaged here")
        entries = struct.unpack_from("<Q", rest, 40)[0]
        kept: dict[str, Any] = self.kept["data"]
        kept[str(offset)] = [max(1, entries), flags & 7, b64encode(rest[head:]).decode()]
        self.kept["held"] += len(kept[str(offset)][2])
        while self.kept["held"] > _MOST_KEPT_BYTES:
            self._forget(next(iter(kept)))

    def _forget(self, place: str) -> None:
        self.kept["held"] -= len(self.kept["data"].pop(place)[2])

    def _entry(self, raw: bytes) -> Record | None:
        width = 4 if self.kept["compact"] else 16
        start = _OBJECT.size + _ENTRY_HEAD.size
        if len(raw) < start or (len(raw) - start) % width:
            raise ValueError(f"an entry of {len(raw)} bytes: the journal is damaged here")
        number, realtime, monotonic, boot, checked = _ENTRY_HEAD.unpack_from(raw, _OBJECT.size)
        cursor = f"s={self.kept['sequence']};i={number:x};b={boot.hex()};m={monotonic:x};t={realtime:x};x={checked:x}"
        fields: dict[str, JsonValue] = {"_BOOT_ID": boot.hex()}
        unreadable: list[JsonValue] = []
        for at in range(start, len(raw), width):
            place = int.from_bytes(raw[at : at + min(width, 8)], "little")
            if not place:
                continue  # compact entries are padded
            try:
                name, value = self._field(place)
            except ValueError as error:
                unreadable.append(str(error))
                continue
            if name != "_BOOT_ID" or value != fields["_BOOT_ID"]:
                _add(fields, name, value)
        try:
            record: dict[str, JsonValue] = {"timestamp": from_epoch(realtime, 1_000_000)}
        except ValueError as error:
            self.ctx.reject(raw, str(error))
            return None
        priority = fields.get("PRIORITY")
        if isinstance(priority, str) and priority in set("01234567"):
            record["severity_text"], record["severity_number"] = SYSLOG_SEVERITIES[int(priority)]
        record["body"] = fields.pop("MESSAGE", None)
        record |= {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(realtime), "__MONOTONIC_TIMESTAMP": str(monotonic)}
        return {**record, **fields, **({"unreadable": unreadable} if unreadable else {})}

    def _field(self, place: int) -> tuple[str, JsonValue]:
        kept: dict[str, Any] = self.kept["data"]
        found = kept.get(str(place))
        if found is None:
            raise ValueError(f"no field at {place}")
        found[0] -= 1
        if not found[0]:
            self._forget(str(place))
        name, equals, value = _unpacked(found[1], b64decode(found[2])).partition(b"=")
        if not equals:
            raise ValueError(f"the field at {place} is not NAME=VALUE")
        try:
            return name.decode("utf-8", "backslashreplace"), value.decode()
        except UnicodeDecodeError:
            return name.decode("utf-8", "backslashreplace"), list(value)


def _unpacked(compression: int, payload: bytes) -> bytes:
    """Return a payload as it was before it was compressed. Raises ValueError when that cannot be done."""
    if not compression:
        return payload
    name = _COMPRESSIONS.get(compression, f"compression {compression}")
    try:
        if name == "xz":
            import lzma  # few journals need it

            return _whole(lzma.LZMADecompressor(memlimit=_MOST_MEMORY_BYTES), payload)
        if name == "lz4":
            return _lz4(payload)
        if name == "zstd":
            return _whole(_zstd().ZstdDecompressor(), payload)
    except ImportError:
        raise ValueError(f"a field of {len(payload)} bytes in zstd; install hostd[zstd] to read it") from None
    except Exception as error:  # each library has errors of its own
        raise ValueError(f"a field of {len(payload)} bytes in {name} that is damaged: {error}") from error
    raise ValueError(f"a field of {len(payload)} bytes in {name}, which is not known")


def _whole(decompressor: Any, payload: bytes) -> bytes:
    unpacked: bytes = decompressor.decompress(payload, _MOST_FIELD_BYTES)
    if not decompressor.eof:
        raise ValueError(f"it does not end, or is over {_MOST_FIELD_BYTES} bytes when unpacked")
    return unpacked


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports import zstd
    return zstd


def _lz4(payload: bytes) -> bytes:
    """Return what a block of LZ4 (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md) after its size holds."""
    size = int.from_bytes(payload[:8], "little")
    if size > _MOST_FIELD_BYTES:
        raise ValueError(f"{size} bytes when unpacked, over {_MOST_FIELD_BYTES}")
    out, at = bytearray(), 8
    while at < len(payload):
        token = payload[at]
        literals, at = _lz4_length(payload, at + 1, token >> 4)
        out += payload[at : at + literals]
        at += literals
        if at >= len(payload):
            break
        back = int.from_bytes(payload[at : at + 2], "little")
        length, at = _lz4_length(payload, at + 2, token & 15)
        length += 4
        if not 0 < back <= len(out) or len(out) + length > size:
            raise ValueError(f"a match of {length} bytes, {back} back, after {len(out)}")
        begin = len(out) - back
        while length > 0:  # a match may overlap what it makes
            part = out[begin : begin + length]
            out += part
            length -= len(part)
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes, where {size} are expected")
    return bytes(out)


def _lz4_length(payload: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while True:
            length += payload[at]
            at += 1
            if payload[at - 1] != 255:
                break
    return length, at


def _add(fields: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    if name not in fields:
        fields[name] = value
        return
    known = fields[name]
    several = isinstance(known, list) and not all(isinstance(each, int) for each in known)
    fields[name] = [*known, value] if isinstance(known, list) and several else [known, value]


def new_processor() -> StreamProcessor:
    return each_stream(JournalStream)
