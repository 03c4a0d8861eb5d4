"""A generation's life: the table says which steps there are, and there are no others."""

import asyncio
from itertools import product
from pathlib import Path

import pytest

from hostd.plugins.environment import Environments
from hostd.plugins.generation import TRANSITIONS, Generation, State, TransitionError, generation_key
from hostd.plugins.proof import make
from hostd.workers.pool import Pool
from tests.build import artifact

ALLOWED = {
    ("checked", "prepared"),
    ("checked", "refused"),
    ("prepared", "started"),
    ("prepared", "refused"),
    ("started", "tried"),
    ("started", "warm"),
    ("started", "keeping"),
    ("keeping", "draining"),
    ("started", "refused"),
    ("tried", "current"),
    ("current", "permanent"),
    ("current", "rolled back"),
    ("current", "draining"),
    ("permanent", "warm"),
    ("permanent", "draining"),
    ("warm", "permanent"),
    ("warm", "draining"),
    ("rolled back", "draining"),
    ("draining", "retired"),
}


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """A generation that was checked."""

    async def build() -> Generation:
        return make(3, artifact(tmp_path), {"b": 1, "a": 2}, "", Pool(1, 1.0), Environments(tmp_path))

    return asyncio.run(build())


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_every_pair_of_states_is_a_transition_or_an_error(generation: Generation, before: State, after: State) -> None:
    """A step that is not in the table changes nothing and is a bug of ours, named."""
    generation.state = before
    if (before.value, after.value) in ALLOWED:
        generation.advance(after)
        assert generation.state is after
    else:
        with pytest.raises(TransitionError) as caught:
            generation.advance(after)
        assert str(caught.value) == f"demo generation 3: {before} -> {after}"
        assert generation.state is before


def test_every_state_is_in_the_table() -> None:
    """No state is without an answer; two are ends."""
    assert set(TRANSITIONS) == set(State)
    assert {state for state, after in TRANSITIONS.items() if not after} == {State.RETIRED, State.REFUSED}


def test_a_generation_begins_checked_and_knows_its_plugin(generation: Generation) -> None:
    """Name and version are its manifest's."""
    assert generation.state is State.CHECKED
    assert (generation.plugin, generation.version, generation.number) == ("demo", "1.0.0", 3)


def test_key_is_bytes_and_options(generation: Generation, tmp_path: Path) -> None:
    """Other bytes or other options are another generation; the order of the options is not."""
    found = generation.artifact
    assert generation.key == generation_key(found, {"a": 2, "b": 1})
    assert generation.key != generation_key(found, {"a": 2, "b": 2})
    assert generation_key(found, None) == generation_key(found, {})
    assert generation.key != generation_key(artifact(tmp_path, version="1.0.1"), {"a": 2, "b": 1})
