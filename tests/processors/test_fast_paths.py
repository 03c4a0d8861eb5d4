"""What makes a processor faster where all records are ordinary changes nothing of what comes out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contract.together
from benchmarks.logs import HEADERS, MAKERS, block
from tests.processors.support import parse, plainly

LINES = {name: block(name).splitlines(keepends=True)[:400] for name in MAKERS}
ODD = (
    b"\n",
    b"\r\n",
    b"\xff\n",
    b"  \n",
    b"\tat a.b(C.java:5)\n",
    b'"\n',
    b"#Fields: a\n",
    b"{}\n",
    b"[1]\n",
    b'{"a":1} {"b":2}\n',
)


def outcomes(name: str, data: bytes) -> tuple[object, object]:
    """Parse both ways."""
    header = HEADERS.get(name, "").encode()
    given_header = {} if name != "csv" else {"header": header}
    data = data if name == "csv" else header + data
    contract.together._said.clear()  # it says once what this test wants to hear every time
    with plainly(name):
        one_by_one = parse(name, data, **given_header)
    return parse(name, data, **given_header), one_by_one


@pytest.mark.parametrize("name", MAKERS)
def test_ordinary_lines_come_out_as_one_by_one(name: str) -> None:
    together, one_by_one = outcomes(name, b"".join(LINES[name]))
    assert together == one_by_one
    assert len(together.records) > 100  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_lines_that_are_damaged_or_odd_come_out_as_one_by_one(name: str, seed: int) -> None:
    chosen = random.Random(seed)
    lines = chosen.choices(LINES[name], k=chosen.randint(1, 70))
    for _ in range(chosen.randint(0, 3)):
        at = chosen.randrange(len(lines))
        line = lines[at]
        place = chosen.randrange(max(1, len(line)))  # damage before may have left nothing of it
        lines[at] = chosen.choice(
            (
                line[:place] + line[place + 1 :],
                line[:place]
                + chosen.choice(
                    (b" ", b'"', b"\\", b"\t", b"-", b"[", b"]", b"=", b"0", b":", b"\n", b"\r", b"}", b",")
                )
                + line[place:],
                chosen.choice(ODD),
                line[:place] + b"\n",
            )
        )
    data = b"".join(lines)
    together, one_by_one = outcomes(name, data if chosen.random() < 0.8 else data[:-1])
    assert together == one_by_one
