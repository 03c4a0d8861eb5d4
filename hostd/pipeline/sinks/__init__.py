"""Where records go. One protocol, one file a kind."""

from collections.abc import Sequence
from typing import Literal, Protocol

from hostd.pipeline.ledger import SinkMark

Unit = Literal["bytes", "records"]


class Sink(Protocol):
    """Takes encoded records in order. All methods block but `interrupt`, and come from one thread at a time.

    A commit is `write` … `sync`, then the ledger, then `accept`. A `write` after one that was not accepted takes
    its place: a commit that failed half way can be tried again.
    """

    name: str
    takes_blocks: bool
    """Whether what is written may have blocks of columns among its JSON lines (`hostd.workers.block`)."""

    @property
    def unit(self) -> Unit:
        """What lengths and places are counted in: the bytes of a file, or the records of a table."""
        ...

    def recover(self) -> None:
        """Undo what was written after the last commit. Raises OSError."""
        ...

    def takes(self, processor: str) -> bool:
        """Tell whether this processor's records go here."""
        ...

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        """Write JSON lines, and blocks if it takes them. Raises OSError."""
        ...

    def place(self, processor: str) -> SinkMark | None:
        """Return which file holds what was last accepted of a processor, and where that ends.

        What is being written follows there. A file of inode 0 stands for none yet, None for a sink without places.
        """
        ...

    def sync(self) -> list[SinkMark]:
        """Make what was written durable; return the marks for the ledger. Raises OSError."""
        ...

    def abandon(self) -> None:
        """A commit has failed, and is tried again from its first write on: hold nothing that others wait for."""
        ...

    def accept(self) -> None:
        """The ledger has the marks: what was written stays."""
        ...

    def interrupt(self) -> None:
        """Have a write that waits for somebody, and every later one, raise OSError. Comes from another thread."""
        ...

    def leave(self) -> bool:
        """Close the files, nothing more is written; tell whether something is delivered yet, which `close` waits for.

        May be called again, to be told that.
        """
        ...

    def close(self) -> None:
        """Close the files. May be called twice."""
        ...
