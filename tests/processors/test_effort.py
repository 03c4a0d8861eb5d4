"""Time and memory: lines that are made to take long take no longer than their length allows."""

import tracemalloc
from itertools import islice

import pytest

from tests.processors.adversarial import growth, header_of, slow_inputs
from tests.processors.support import MODULES, SHIPPED, parse

SIZE_BYTES = 8192
BUDGET_S = 0.08
MOST_GROWTH = 3.0
"""Of twice the input: 2 is linear and 4 quadratic; between them is what a busy machine adds."""
MOST_CHECKED = 5
BATCH_BYTES = 256 << 10
MOST_TIMES = 120
"""A line of five bytes is a dictionary of some hundred, of which the test makes two."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
def test_what_takes_long_grows_with_its_length_alone(name: str) -> None:
    for beginning, filler in islice(slow_inputs(name, SIZE_BYTES, BUDGET_S), MOST_CHECKED):
        found = growth(
            name,
            lambda size, b=beginning, f=filler: b + f * (size // len(f)),  # type: ignore[misc]
            SIZE_BYTES,
            MOST_GROWTH,
        )
        assert found < MOST_GROWTH, f"{beginning!r} and {filler!r} again and again: twice of it takes {found:.1f} times"


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
def test_a_batch_takes_memory_of_a_small_multiple_of_its_size(name: str) -> None:
    header = header_of(name)
    for sample in MODULES[name][0].samples:
        content = sample.content().lstrip(b"\n") if sample.encoding == "utf-8" else sample.content()
        data = content * (BATCH_BYTES // len(content))
        parse(name, content, header=header)  # what is made once is none of the batch's
        tracemalloc.start()
        try:
            parse(name, data, header=header)
        except ValueError:  # a binary stream has one beginning
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST_TIMES * len(data), f"{peak / len(data):.0f} times its {len(data)} bytes"
