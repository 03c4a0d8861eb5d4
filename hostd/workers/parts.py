"""Long batches: of a fast plugin several times as much as `parse` is to be handed goes to a worker at once.

To hand one over costs the daemon as much as it costs a core to parse a tenth of it. The worker cuts a long batch into
parts, so that what `parse` gets is as large as its manifest says, and stays in the cache. It imports what a worker may.
"""

from collections.abc import Iterator

from contract.framing import Framing

MOST_PARTS = 16
LONG_BYTES = 1 << 20
"""How long a batch may be, however large its parts are."""
LONG_S = 0.04
"""For how long a worker is kept busy by a long batch, about: what waits behind it, such as a swap, waits so long."""


class CrowdedError(Exception):
    """The parts of a long batch yield more than one answer may, or a worker holds: it is to be cut anew, and short."""


def parts_of(data: bytes, most: int, framing: Framing) -> Iterator[tuple[int, int]]:
    """Yield from where to where each part of `data` goes: whole records, of `most` bytes where none is longer."""
    start = 0
    while most < (rest := len(data) - start):
        length, size = framing.boundary(data, start=start, most=most), most
        while not length and size < rest:
            size *= 2
            length = framing.first_boundary(data[start : start + size])
        end = start + (length or rest)
        yield start, end
        start = end
    if start < len(data):
        yield start, len(data)


FORBORNE = 256
"""How many batches are short after a long one whose parts were too much together: to try costs it twice."""


class Speed:
    """How fast the workers of a generation are, by what the last few batches took."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._s = 0.0
        self._short_ones = 0

    def note(self, size: int, took_s: float) -> None:
        """Take note that a worker has parsed a batch of `size` bytes."""
        self._bytes = self._bytes * 0.75 + size
        self._s = self._s * 0.75 + took_s
        self._short_ones = max(0, self._short_ones - 1)

    def forbear(self) -> None:
        """Have no long batches for a while: their parts are too much together."""
        self._short_ones = FORBORNE

    def parts(self, part_bytes: int) -> int:
        """Return how many parts of a size are a batch: as many as take `LONG_S`, one at least."""
        if self._short_ones or self._bytes < part_bytes:  # of small ones it cannot be told
            return 1
        most = min(MOST_PARTS, LONG_BYTES // part_bytes)
        return max(1, min(most, int(self._bytes / max(self._s, 1e-9) * LONG_S / part_bytes)))
