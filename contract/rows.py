"""Records that have the same keys: the keys once, and a row of values for each record."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from contract.record import JsonValue


class Rows(Iterable[dict[str, JsonValue]]):
    """Many records with the same keys: `names` are the keys, and each of `rows` holds the values of one record.

    `parse` and `feed` may return one, or yield it among records, and `at_once` may return one: where an expression or a
    library gives tuples, to make dicts of them costs about as much as to find them. A row may be a tuple or a list, its
    values in the order of the names. Of the names in `optional` a record has only those whose value is not None.
    Iterated over, it yields the records as dicts, and what is stored is the same as of these.

    A row with more or fewer values than there are names, and a name that comes twice, raise ValueError when they are
    come to.
    """

    __slots__ = ("names", "optional", "rows")

    def __init__(
        self, names: Sequence[str], rows: Iterable[Sequence[JsonValue]], *, optional: Collection[str] = ()
    ) -> None:
        self.names = tuple(names)
        self.rows = rows
        self.optional = frozenset(optional)

    def __iter__(self) -> Iterator[dict[str, JsonValue]]:
        """Yield the records."""
        self.check_names()
        for number, row in enumerate(self.rows):
            if len(row) != len(self.names):
                raise ValueError(f"row {number}: {len(row)} values for {len(self.names)} names")
            record = dict(zip(self.names, row, strict=True))
            for name in self.optional:
                if record[name] is None:
                    del record[name]
            yield record

    def check_names(self) -> None:
        """Raise ValueError when a name comes twice, or one of `optional` is none of the names."""
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise ValueError(f"field {name[:100]!r}: a name comes twice")
            seen.add(name)
        for name in self.optional.difference(self.names):
            raise ValueError(f"field {name[:100]!r}: is optional, and none of the names")
