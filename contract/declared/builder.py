"""Captured texts to a record, by a function that is written for their fields: a loop over them takes longer.

What is written are names of our own and the keys as literals, as `dataclasses` does it; none of it is the user's code.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from contract.declared.fields import Convert

Groups = tuple[str | None, ...]
Build = Callable[[Groups], dict[str, Any]]


def builder(keys: tuple[str, ...], optional: Collection[int], converts: Mapping[str, Convert]) -> Build:
    """Return what makes a record of texts, each with its key; `optional` are the places of texts that may be None.

    What is None is left out, and of two texts with one key the first counts. It raises what a converter does.
    """
    names = [f"v{number}" for number in range(len(keys))]
    called = [f"c{number}(v{number})" for number in range(len(keys))]
    values = [call if key in converts else name for name, call, key in zip(names, called, keys, strict=True)]
    certain = 0
    while certain < len(keys) and certain not in optional and keys[certain] not in keys[:certain]:
        certain += 1
    literal = ", ".join(f"{key!r}: {value}" for key, value in zip(keys[:certain], values[:certain], strict=True))
    lines = ["def build(found):", f"    ({', '.join([*names, ''])}) = found", f"    record = {{{literal}}}"]
    for number in range(certain, len(keys)):
        key, is_repeated = repr(keys[number]), keys[number] in keys[:number]
        conditions = [f"{names[number]} is not None"] if number in optional else []
        conditions += [f"{key} not in record"] if is_repeated else []
        indent = f"    if {' and '.join(conditions)}:\n        " if conditions else "    "
        lines.append(f"{indent}record[{key}] = {values[number]}")
    namespace: dict[str, Any] = {f"c{number}": converts[key] for number, key in enumerate(keys) if key in converts}
    exec("\n".join([*lines, "    return record"]), namespace)  # noqa: S102 - see above
    build: Build = namespace["build"]
    return build


def blame(keys: tuple[str, ...], converts: Mapping[str, Convert], found: Groups) -> str:
    """Return which text cannot be converted, and why."""
    for key, text in zip(keys, found, strict=True):
        try:
            if text is not None and key in converts:
                converts[key](text)
        except ValueError as error:
            return f"field {key!r}: {error}"
    return "no field"  # a converter that changes its mind; ours do not
