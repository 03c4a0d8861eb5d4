"""Where records lie, in few bytes: what comes out is what went in."""

from hypothesis import given
from hypothesis import strategies as st

from hostd.pipeline.ledger.packing import Place, joined, pack, samples, unpack

numbers = st.integers(0, 2**40)
checks = st.integers(0, 2**16 - 1)
places = st.builds(Place, *[numbers] * 8, checks, checks)


@given(st.lists(places, min_size=1, max_size=40))
def test_unpacking_gives_what_was_packed(rows: list[Place]) -> None:
    """Whatever the numbers are."""
    assert unpack(pack(rows)) == rows


def test_batches_of_one_source_take_few_bytes() -> None:
    """What a gibibyte of input costs follows from it."""
    rows = [
        Place(n * 500_000, (n + 1) * 500_000, 999 + n % 7, 1, n << 18, (n + 1) << 18, 3, 2 * n, 7919 * n % 65536, 5)
        for n in range(256)
    ]
    assert len(pack(rows)) < 10 * len(rows)


lines = st.lists(st.binary(min_size=0, max_size=80).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=3)


@given(st.lists(st.tuples(st.integers(1, 2), lines, st.integers(1, 2)), min_size=1, max_size=20))
def test_joining_says_less_and_nothing_wrong(batches: list[tuple[int, list[bytes], int]]) -> None:
    """Each row is still about its part of the file, of the source, and of one generation; samples match."""
    file, rows, reached = b"", list[Place](), {1: 0, 2: 0}
    for source, records, generation in batches:
        content = b"".join(records)
        begin, start = reached[source], len(file)
        reached[source] += len(content) + 1
        file += content
        rows.append(
            Place(
                start,
                len(file),
                len(records),
                source,
                begin,
                reached[source],
                generation,
                7,
                *samples(content),
            )
        )
    result = joined(rows)
    assert [(row.start, row.end) for row in result if row.end > row.start] == sorted(
        (row.start, row.end) for row in result if row.end > row.start
    )
    for row in result:
        inside = [r for r in rows if r.source == row.source and row.begin <= r.begin and r.until <= row.until]
        assert sum(r.records for r in inside) == row.records
        assert {r.generation for r in inside} == {row.generation}
        assert min(r.start for r in inside) == row.start
        assert file[row.start : row.end].count(b"\n") == row.records
        assert samples(file[row.start : row.end]) == (row.head, row.tail)
    assert sum(row.until - row.begin for row in result) == sum(reached.values())
