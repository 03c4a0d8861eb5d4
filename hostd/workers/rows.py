"""Rows to JSON lines, inside the worker: without a dict for each record.

A struct of msgspec is made for each set of names, and one call makes a list of its instances of the rows. What is
stored is what `contract.rows.Rows` says, to the byte what its dicts would be.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from contract.rows import Rows

MOST_CLASSES = 256
"""For how many sets of names a class is kept: each is a few KiB."""

Make = Callable[..., Any]
_Key = tuple[tuple[str, ...], frozenset[str]]


class StructsOfRows:
    """Makes structs of rows, each with the name of its source if `source_field` is not empty."""

    def __init__(self, source_field: str) -> None:
        self._field = source_field
        self._classes: dict[_Key, Make | None] = {}
        self._for_last: tuple[str, dict[_Key, Make]] = "", {}
        """The source of the last rows, and the classes whose instances have its name from the start."""

    def make(self, like: Rows, rows: Sequence[Any], source: str) -> list[Any] | None:
        """Return a struct for each of `rows`, with the names of `like`; None where only dicts will do, or must fail."""
        key = like.names, like.optional
        if key not in self._classes:
            if len(self._classes) >= MOST_CLASSES:
                self._classes.clear()
            self._classes[key] = self._class_for(like, msgspec.UNSET)
        make = self._classes[key]
        if make is None:
            return None
        named = self._class_for_last(like, source)
        try:
            structs = list(itertools.starmap(named or make, rows))
        except TypeError:  # one of another width, or one that is none
            return None
        if self._field and named is None:
            for struct in structs:
                struct.source = source
        return structs

    def _class_for_last(self, like: Rows, source: str) -> Make | None:
        """Return a class with the source's name as its default, where rows of one source follow each other.

        It saves a third of the time that structs take, and takes itself that of a thousand of them to be made.
        """
        last, classes = self._for_last
        if source != last or len(classes) >= MOST_CLASSES:
            self._for_last = source, {}
            return None
        if not self._field or like.optional:  # what is a default is left out of these
            return None
        key = like.names, like.optional
        if key not in classes and (made := self._class_for(like, source)) is not None:
            classes[key] = made
        return classes.get(key)

    def _class_for(self, rows: Rows, source: object) -> Make | None:
        rows.check_names()
        if self._field in rows.names:  # which the source wins: let it be the last one all the same
            return None
        # A name need be no identifier, so each field has another in Python. Where some are optional all have a default,
        # since these may come in any order: one that is no value, and so is never left out.
        never = object()
        defaults = [(None if name in rows.optional else never,) if rows.optional else () for name in rows.names]
        fields = [(f"f{number}", Any, *default) for number, default in enumerate(defaults)]
        renamed = {f"f{number}": name for number, name in enumerate(rows.names)}
        try:
            made: Make = msgspec.defstruct(
                *("Row", fields), bases=self._bases(source), rename=renamed, omit_defaults=bool(rows.optional), gc=False
            )
        except (TypeError, ValueError):  # names that it does not take, such as with a quote in them
            return None
        return made

    def _bases(self, source: object) -> tuple[type[msgspec.Struct], ...]:
        """Return what has the one field that comes last, and that no value of a row can be taken for."""
        if not self._field:
            return ()
        field = ("source", Any, source)
        return (msgspec.defstruct("Sourced", [field], rename={"source": self._field}, kw_only=True, gc=False),)
