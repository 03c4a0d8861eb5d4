"""Where a record comes from: for every line of every output, whatever happened on the way."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.framing import Framing
from hostd.errors import HostdError
from hostd.pipeline.explain import explain
from hostd.pipeline.ledger import places
from hostd.pipeline.ledger.reader import reading
from tests.pipeline.world import World

kinds = st.text(alphabet="aoe_", min_size=1, max_size=8)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), kinds),
        st.tuples(st.just("commit"), st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=4)),
        st.sampled_from([("swap",), ("rotate",), ("restart",)]),
    ),
    max_size=25,
)


def take(world: World, step: tuple[Any, ...]) -> None:
    """Take one step in the world."""
    match step:
        case "append", source, letters:
            world.append(source, letters)
        case "commit", batches:
            world.commit([r for s, n in batches if s < len(world.sources) for r in world.results(s, n)])
        case ("swap",):
            world.serve(world.generation + 1)
        case ("replay",):
            world.replay()
        case ("rotate",):
            world.rotate()
        case ("restart",):
            world.close()
            world.open()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack soon."""
    monkeypatch.setattr(places, "FINE_ROWS", 3)
    monkeypatch.setattr(places, "PACK_ROWS", 4)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_every_line_is_explained(steps: list[tuple[Any, ...]]) -> None:
    """Batches, swaps, rotations, restarts and packing in any order: each line's source, bytes and generation."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for step in steps:
            take(world, step)
        world.check()
        world.close()


def failure(world: World, path: Path, number: int) -> str:
    with pytest.raises(HostdError) as caught:
        world.explain(path, number)
    return str(caught.value)


def test_one_record_for_each_line_is_explained_to_its_line(world: World) -> None:
    """What was rejected and what is blank is told from what made a record."""
    world.append(0, "aao_a")
    world.commit(world.results(0, 5))
    explained = world.explain(world.output, 3)
    assert (explained.is_exact, explained.nth, explained.records) == (True, 2, 3)
    assert explained.input == b"a0.5\n"
    assert explained.why is None


def test_what_is_not_one_record_for_each_line_is_explained_to_its_batch(world: World) -> None:
    """And says so."""
    world.append(0, "tat")
    world.commit(world.results(0, 3))
    explained = world.explain(world.output, 4)
    assert (explained.begin, explained.until, explained.is_exact) == (0, 15, False)
    assert (explained.nth, explained.records) == (3, 5)
    assert explained.why == "the batch does not yield one record for each record of the input"


def test_a_version_whose_bytes_are_gone_is_explained_to_its_batch(world: World) -> None:
    """Its framing is not known; the rest is."""
    world.append(0, "aa")
    world.commit(world.results(0, 2))
    with reading(world.ledger.path) as reader:
        explained = explain(world.output, 1, reader, lambda past: None)
    assert (explained.begin, explained.until, explained.is_exact) == (0, 10, False)
    assert explained.why == "the bytes of that version are not kept any more, so that its framing is not known"


def test_a_header_is_not_the_first_record(world: World) -> None:
    """The bytes of the first batch begin with it; those of its first record do not."""
    world.append(0, "_aa")
    world.commit(world.results(0, 3))
    with reading(world.ledger.path) as reader:
        explained = explain(world.output, 1, reader, lambda past: Framing(kind="lines", header_lines=1))
    assert (explained.begin, explained.until) == (1, 6)


def test_a_source_that_is_gone_or_rewritten_leaves_the_batch(world: World) -> None:
    """No bytes are shown that are not the ones that were read."""
    world.append(0, "aa")
    world.append(1, "aa")
    world.commit([*world.results(0, 2), *world.results(1, 2)])
    gone, rewritten = (Path(source.path) for source in world.sources)
    gone.unlink()
    rewritten.write_text("other\n" * 5)
    for number, why in ((1, f"{gone} is gone"), (3, f"{rewritten} was rewritten, or cut")):
        explained = world.explain(world.output, number)
        assert (explained.is_exact, explained.input, explained.why) == (False, None, why)
        assert (explained.begin, explained.until) == (0, 10)


def test_a_source_that_was_renamed_is_found(world: World) -> None:
    """By its identity, in its folder."""
    world.append(0, "aa")
    world.commit(world.results(0, 2))
    moved = Path(world.sources[0].path).rename(world.folder / "logs" / "0.log.1")
    explained = world.explain(world.output, 2)
    assert explained.source_path == moved
    assert explained.input == b"a0.2\n"


def test_a_source_that_was_copied_and_cut_is_found_in_the_copy(world: World) -> None:
    """As copytruncate leaves it."""
    world.append(0, "a" * 100)
    world.commit(world.results(0, 100))
    path = Path(world.sources[0].path)
    copy = path.with_name("0.log.1")
    copy.write_bytes(path.read_bytes())
    path.write_bytes(b"")
    explained = world.explain(world.output, 100)
    assert explained.source_path == copy
    assert explained.input == b"a0.100\n"


def test_a_line_that_is_not_there_says_how_many_there_are(world: World) -> None:
    """Whole ones: half a line is none."""
    world.append(0, "aa")
    world.commit(world.results(0, 2))
    assert failure(world, world.output, 3) == f"{world.output}: has 2 whole lines, and no line 3; count from 1"
    with world.output.open("ab") as file:
        file.write(b"half")
    assert failure(world, world.output, 3) == f"{world.output}: has 2 whole lines, and no line 3; count from 1"


def test_what_is_beyond_the_ledger_is_not_committed_yet(world: World) -> None:
    """It may still be cut off."""
    world.append(0, "aa")
    world.commit(world.results(0, 2))
    with world.output.open("ab") as file:
        file.write(b"more\n")
    assert failure(world, world.output, 3) == f"{world.output}:3: is not committed yet; ask again in a moment"


def test_a_file_that_no_sink_wrote_is_said(world: World) -> None:
    """A copy of one is none, as what an editor saves is."""
    world.append(0, "aa")
    world.commit(world.results(0, 2))
    copy = world.folder / "copy"
    copy.write_bytes(world.output.read_bytes())
    assert failure(world, copy, 1) == (
        f"{copy}: no sink of this state folder has written it; give the file itself: one that was renamed is known, a"
        " copy, or what an editor has saved, is not"
    )


def test_a_file_edited_in_place_is_said(world: World) -> None:
    """Where lines were added, removed, or changed at the ends of a batch."""
    world.append(0, "aaaa")
    world.commit(world.results(0, 2))
    world.commit(world.results(0, 2))
    content = world.output.read_bytes()
    line = content.splitlines(keepends=True)[0]
    for edited in (b"x\n" + content, content.replace(line, b"", 1), content.replace(b"a0.1", b"b0.1")):
        world.output.write_bytes(edited)
        assert failure(world, world.output, 1) == (
            f"{world.output}:1: its part of the file is not what hostd has written: it was edited by hand; nothing can"
            " be told of it"
        )
    world.output.write_bytes(content)
    assert world.explain(world.output, 1).input == b"a0.1\n"


def test_what_was_in_the_file_before_is_said(world: World) -> None:
    """A sink appends to what it finds."""
    world.out.mkdir()
    world.output.write_text("theirs\n")
    world.append(0, "a")
    world.commit(world.results(0, 1))
    assert failure(world, world.output, 1) == (
        f"{world.output}:1: was in the file before hostd wrote to it; nothing is known of it"
    )
    assert world.explain(world.output, 2).input == b"a0.1\n"


def test_what_is_kept_is_bounded_and_says_how_far_back_it_reaches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes first, the last stays, and the account of who parsed what stays whole."""
    monkeypatch.setattr(world.ledger.places, "keep", places.Keep(most_bytes=1500))
    world.append(0, "a" * 50)
    world.append(1, "a" * 50)
    for _ in range(50):
        world.commit(world.results(0, 1))
        world.commit(world.results(1, 1))
    (size,) = world.ledger._db.execute(
        "SELECT (SELECT count(*) FROM places) * 80 + (SELECT sum(length(body) + 64) FROM packs)"
    ).fetchone()
    assert size <= 1500
    assert "is not known any more, or was not written by hostd: what is kept reaches back to 20" in failure(
        world, world.output, 1
    )
    assert world.explain(world.output, 100).input == b"a1.100\n"
    assert world.ledger._db.execute("SELECT count(*), sum(end - start) FROM provenance").fetchone()[0] == 2


def test_a_file_that_is_cut_loses_the_account_of_what_was_cut(world: World) -> None:
    """What comes in its place is explained, not what was there before."""
    world.append(0, "aaaaaaaaaaaa")
    for _ in range(10):
        world.commit(world.results(0, 1))
    truncate(world.output, len(b"".join(world.output.read_bytes().splitlines(keepends=True)[:6])))
    world.serve(2)
    world.commit(world.results(0, 1))
    assert world.explain(world.output, 7).generation == 2
    assert world.explain(world.output, 7).input == b"a0.11\n"
    assert world.explain(world.output, 6).generation == 1
    assert world.explain(world.output, 1).generation == 1


def truncate(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)
