"""Modules that plugins share and that take long to import: a zygote has them once a plugin that names them is known.

Loaded there, every worker has them for nothing; loaded for nobody, they are most of what a zygote costs to start, and a
part of what each fork costs. Making a first model costs pydantic most, so it comes with a module that makes some.
"""

import gc
from collections.abc import Iterable

_BY_WORD = {
    b"pydantic": "contract.options",
    b"contract.options": "contract.options",
    b"csv": "csv",
    b"decimal": "decimal",
    b"xml.etree": "xml.etree.ElementTree",
}
DECLARED = ("contract.declared.processor",)
"""What formats without code are made by: half of the time of their swap."""
ANY = tuple(dict.fromkeys(_BY_WORD.values()))
"""What a plugin may need whose source was not looked at."""


def named_in(source: bytes) -> tuple[str, ...]:
    """Return the modules that a source seems to import: one too many costs time, one too few too."""
    return tuple(dict.fromkeys(module for word, module in _BY_WORD.items() if word in source))


def preload(names: Iterable[str]) -> None:
    """Import modules of hostd's own environment, for all that is forked from now on."""
    for name in names:
        __import__(name)
    # What is imported now is never garbage: keep the collector from touching, and so copying, shared pages.
    gc.collect()
    gc.freeze()
