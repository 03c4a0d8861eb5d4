"""Files with their truth, made by others; the environment variable `HOSTD_CORPUS` names the folder that holds them."""

import bz2
import csv
import gzip
import json
import lzma
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CORPUS = Path(os.environ.get("HOSTD_CORPUS") or "/nonexistent")
NO_CORPUS = "HOSTD_CORPUS does not name a folder of logs with their truth"

_UNPACK = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\0": lzma.decompress}
_NOT_LITERAL = {"message", "program", "custom", "data_type", "raw_msg"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the corpus' manifest."""

    path: str
    kind: str

    def content(self) -> bytes:
        """Return the file as a processor is handed it: unpacked, and UTF-16 with its mark as UTF-8."""
        file = CORPUS / self.path
        data = file.read_bytes()
        for magic, unpack in _UNPACK.items():
            if data.startswith(magic):
                data = unpack(data)
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            data = data.decode("utf-16", "replace").encode()
        return data

    def truth(self) -> dict[str, Any]:
        """Return the truth beside the file, empty without one."""
        plain, packed = CORPUS / f"{self.path}.truth.json", CORPUS / f"{self.path}.truth.json.gz"
        if plain.exists():
            return dict(json.loads(plain.read_bytes()))
        return dict(json.loads(gzip.decompress(packed.read_bytes()))) if packed.exists() else {}


def entries() -> list[Entry]:
    """Return every file of the corpus; none without one."""
    if not CORPUS.is_dir():
        return []
    with (CORPUS / "MANIFEST.tsv").open(newline="", encoding="utf-8") as file:
        return [Entry(row["path"], row["format"]) for row in csv.DictReader(file, delimiter="\t")]


def values(value: Any) -> Iterator[str]:
    """Yield every value below as text that compares: numbers, times and booleans in one form, no nulls."""
    if isinstance(value, dict):
        for each in value.values():
            yield from values(each)
    elif isinstance(value, list):
        for each in value:
            yield from values(each)
    elif value is not None:
        yield normal(value)


def normal(value: Any) -> str:
    """Return a value as text that compares."""
    text = str(value).strip().strip('"')
    if isinstance(value, bool) or text in {"T", "F", "true", "false"}:
        return "T" if text in {"True", "T", "true"} else "F"
    try:
        return repr(float(text))
    except ValueError:
        pass
    if len(text) >= 19 and text[4:5] == "-":
        try:
            time = datetime.fromisoformat(text.replace(" UTC", "Z").replace("Z Z", "Z").replace(" +", "+"))
        except ValueError:
            return text
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return text.lower()


def expected_values(item: dict[str, Any]) -> list[str]:
    """Return the values that the truth of one record names literally."""
    fields = item.get("fields") or {}
    literal = {name: value for name, value in fields.items() if name not in _NOT_LITERAL}
    return [value for value in values(literal) if value not in {"-", "", "(empty)", "unset"}]
