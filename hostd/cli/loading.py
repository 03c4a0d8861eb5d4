"""Modules that a command loads, and that live as long as its process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Load modules in the block, without the collector, which need not look at them now or ever."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
