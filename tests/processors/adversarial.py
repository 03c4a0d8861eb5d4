"""Inputs that are made to take long: lines that begin as a format's own do, and go on as no line of it does."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.processors.support import MODULES, parse

FILLERS = (
    *(b"a", b" ", b"0", b'"', b"\\", b"[", b"=", b",", b":", b"/", b"<", b"{"),
    *(b"a ", b"a=", b'a="', b"1.", b'\\"', b"a\n", b"\n\n", b"<a>", b"<!--", b"\xff", b"1/", b" - "),
)
MOST_PLACES = 5
MOST_LINES = 3


def beginnings(name: str) -> Iterator[bytes]:
    """Yield the beginnings of the lines in a processor's samples: of each line some."""
    lines = {
        line: None
        for sample in MODULES[name][0].samples
        for line in sample.content().lstrip(b"\n").split(b"\n")
        if len(line) > 1
    }
    yield b""
    for line in list(lines)[:: max(1, -(-len(lines) // MOST_LINES))]:
        step = max(1, len(line) // MOST_PLACES)
        yield from (line[:end] for end in range(step, len(line) + 1, step))


def seconds(name: str, data: bytes, header: bytes) -> float:
    """Return how much CPU time it takes to parse `data`; a refusal is an answer."""
    began = time.process_time()
    with suppress(ValueError):
        parse(name, data, header=header)
    return time.process_time() - began


def slow_inputs(name: str, size: int, budget_s: float) -> Iterator[tuple[bytes, bytes]]:
    """Yield each beginning and filler of which `size` bytes take a processor more than a budget."""
    header = header_of(name)
    for beginning in beginnings(name):
        for filler in FILLERS:
            if seconds(name, beginning + filler * (size // len(filler)), header) > budget_s:
                yield beginning, filler


def header_of(name: str) -> bytes:
    """Return the header that a processor needs before it takes anything."""
    return b"a,b\n" if MODULES[name][0].header == 1 else b""


def growth(name: str, make: Callable[[int], bytes], size: int, most: float, tries: int = 20) -> float:
    """Return how many times longer twice the input takes: 2 is linear, 4 quadratic.

    Both are timed in turn, up to `tries` times while that looks like more than `most`, and the shortest of each count:
    what else the machine does only ever adds.
    """
    header = header_of(name)
    single = double = math.inf
    for _ in range(tries):
        single = min(single, seconds(name, make(size), header))
        double = min(double, seconds(name, make(2 * size), header))
        if double / max(single, 1e-6) < most:
            break
    return double / max(single, 1e-6)
