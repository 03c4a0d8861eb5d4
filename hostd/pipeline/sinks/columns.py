"""Records to rows: a column for each top-level key that holds text, numbers or booleans, by the types that are seen.

What is known of the columns is compiled into a decoder that refuses whatever does not fit. So a chunk of ordinary
records is decoded and checked in C; one that is refused is looked at record by record, and the columns grow. Pure.
"""

import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Union

import msgspec
from msgspec import Struct, field

ID, RECORD = "_id", "_record"
INTEGER, REAL, TEXT, ANY = "INTEGER", "REAL", "TEXT", ""
"""Declared types. What a column of another type would change, makes it one of no type, which keeps every value as it
is: the columns of SQLite are typed by what is in them, and a declared type merely converts."""

MOST_COLUMNS = 256
"""More keys than this have no column of their own: records whose keys are data would make thousands."""
MOST_KEY_LENGTH = 128
ROW_IDS = {"rowid", "oid", "_rowid_"}
"""What SQLite calls a row's number: since 3.54 it adds no column of such a name."""

_INT64 = 1 << 63
_EXACT = 1 << 53
"""Integers beyond this are changed by a column of type REAL."""

_Int64 = Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64 - 1)]
_ExactInt = Annotated[int, msgspec.Meta(ge=-_EXACT, le=_EXACT)]
_FIELDS: dict[str, Any] = {
    INTEGER: Union[bool, _Int64, float, None],  # noqa: UP007
    REAL: Union[float, _ExactInt, None],  # noqa: UP007
    TEXT: str | None,
    ANY: Union[bool, _Int64, float, str, None],  # noqa: UP007
}
_NESTED: Any = dict | list | None

Row = tuple[Any, ...]
_Value = None | bool | int | float | str | list[Any] | dict[str, Any]

_generic = msgspec.json.Decoder()
_as_tuple = msgspec.structs.astuple


class Changed(Exception):
    """A chunk does not fit the columns. They are to be changed first: these added, and these made to have no type."""

    def __init__(self, added: dict[str, str], loosened: list[str]) -> None:
        super().__init__("the columns have to change first")
        self.added = added
        self.loosened = loosened


class Columns(Struct):
    """The columns of one table by name, each with its declared type, without `_id` and `_record`."""

    types: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=lambda: set(ROW_IDS))
    _others: dict[str, Any] = field(default_factory=dict)
    _decoder: msgspec.json.Decoder[Any] | None = None
    _is_odd: bool = False

    @property
    def names(self) -> list[str]:
        """The columns that a row has values for, in its order."""
        return [ID, *self.types, RECORD]

    @property
    def is_full(self) -> bool:
        """Whether no key gets a column any more."""
        return len(self.types) >= MOST_COLUMNS or len(self._others) >= MOST_COLUMNS

    def become(self, types: dict[str, str], taken: Iterable[str] = ()) -> None:
        """Have these columns from now on; `taken` are names of others, that no key can have."""
        self.types = types
        self._taken = {folded(name) for name in (*types, *taken, ID, RECORD)} | ROW_IDS
        self._others = {name: kind for name, kind in self._others.items() if name not in types}
        self._decoder = None

    def rows(self, chunk: bytes | bytearray, first: int) -> list[Row]:
        """Return the rows of a chunk of JSON lines, numbered from `first`. Raises Changed."""
        lines = chunk.decode().split("\n")
        lines.pop()
        values = self._fast(chunk)
        if values is None:
            values = self._slow(lines)
        return [(number, *row, line) for number, (row, line) in enumerate(zip(values, lines, strict=True), start=first)]

    def _fast(self, chunk: bytes | bytearray) -> Iterable[Row] | None:
        """Return the values of ordinary records; None when a record is not ordinary."""
        if self._is_odd and not self.is_full:
            return None
        if self._decoder is None:
            self._decoder = self._compile()
        try:
            records = self._decoder.decode_lines(chunk)
        except (ValueError, RecursionError):
            return None
        if not self._others:
            return map(_as_tuple, records)
        count = len(self.types)
        return (_as_tuple(record)[:count] for record in records)

    def _compile(self) -> msgspec.json.Decoder[Any]:
        fields = [(name, _FIELDS[declared]) for name, declared in self.types.items()] + list(self._others.items())
        row = msgspec.defstruct(
            "Row",
            [
                (f"f{number}", kind, msgspec.field(default=None, name=name))
                for number, (name, kind) in enumerate(fields)
            ],
            # Once no key gets a column any more, a new one makes no difference.
            forbid_unknown_fields=not self.is_full,
            gc=False,
        )
        return msgspec.json.Decoder(row)

    def _slow(self, lines: Sequence[str]) -> Iterable[Row]:
        records = [_decode(line) for line in lines]
        self._learn(records)
        return (tuple(as_stored(record.get(name)) for name in self.types) for record in records)

    def _learn(self, records: Iterable[dict[str, Any]]) -> None:
        """Raise Changed when the records need other columns than there are."""
        added: dict[str, str] = {}
        loosened: dict[str, None] = {}
        taken = set(self._taken)
        for record in records:
            for key, value in record.items():
                if key in added:
                    if not fits(added[key], value):
                        added[key] = ANY
                elif key in self.types:
                    if not fits(self.types[key], value):
                        loosened[key] = None
                elif (kind := kind_of(value)) is None or not self._may_have_column(key, taken, len(added)):
                    self._note_other(key, _NESTED if kind is None else Any)
                else:
                    added[key] = kind
                    taken.add(folded(key))
        if added or loosened:
            raise Changed(added, list(loosened))

    def _may_have_column(self, key: str, taken: set[str], coming: int) -> bool:
        return len(self.types) + coming < MOST_COLUMNS and is_ordinary(key) and folded(key) not in taken

    def _note_other(self, key: str, kind: Any) -> None:
        """Take note of a key without a column: nothing but what is nested came of it so far, or it can have none."""
        if not is_ordinary(key):
            self._is_odd = True
        elif self._others.get(key) is not kind and not self.is_full:
            self._others[key] = kind
            self._decoder = None


def _decode(line: str) -> dict[str, Any]:
    """Return a record; an empty one for what is none, or nests too deeply: its JSON is kept, without columns."""
    try:
        record = _generic.decode(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(key: str) -> str:
    """Return what SQLite takes for the same name: it knows the upper and lower case of ASCII."""
    return key.translate(_FOLD)


def is_ordinary(key: str) -> bool:
    """Tell whether a key can be a column: the others are in the record alone."""
    return 0 < len(key) <= MOST_KEY_LENGTH and key.isprintable() and '"' not in key and "\\" not in key


def kind_of(value: _Value) -> str | None:
    """Return the type of a column for a value; None for none, and for what is nested."""
    if isinstance(value, bool):
        return INTEGER
    if isinstance(value, int):
        return INTEGER if -_INT64 <= value < _INT64 else ANY
    if isinstance(value, float):
        return REAL
    return TEXT if isinstance(value, str) else None


def fits(declared: str, value: _Value) -> bool:
    """Tell whether a column of a type holds a value as it is."""
    if value is None or declared == ANY:
        return True
    if isinstance(value, str):
        return declared == TEXT
    if isinstance(value, int):  # booleans are 0 and 1
        return -_INT64 <= value < _INT64 if declared == INTEGER else declared == REAL and abs(value) <= _EXACT
    return isinstance(value, float) and declared in (INTEGER, REAL)


def as_stored(value: _Value) -> None | int | float | str:
    """Return a value as SQLite can hold it: what is nested as JSON, integers of more than 64 bits as text."""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)
    return value


def chunked(chunks: Iterable[bytes | bytearray], most_bytes: int) -> Iterator[bytes | bytearray]:
    """Yield whole lines in pieces of about `most_bytes`: to decode one holds up the threads beside."""
    for chunk in chunks:
        start = 0
        while len(chunk) - start > most_bytes:
            end = chunk.rfind(b"\n", start, start + most_bytes) + 1 or chunk.find(b"\n", start) + 1
            yield chunk[start:end]
            start = end
        if start < len(chunk):
            yield chunk[start:] if start else chunk
