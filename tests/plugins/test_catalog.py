"""Which generation is current: one pointer, moved by two verbs, and everybody told."""

import asyncio
from pathlib import Path

import pytest

from hostd.errors import Refusal, Stage
from hostd.plugins.catalog import Catalog
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation, State, TransitionError
from hostd.plugins.proof import make
from hostd.workers.pool import Pool
from tests.build import artifact, manifest


def started(tmp_path: Path, number: int) -> Generation:
    """Return a generation that has proven itself."""

    async def build() -> Generation:
        return make(number, artifact(tmp_path), None, "", Pool(1, 1.0), Environments(tmp_path))

    generation = asyncio.run(build())
    generation.state = State.STARTED
    return generation


def test_switch_moves_the_pointer_and_drains_what_it_takes_over_from(tmp_path: Path) -> None:
    """Listeners are told after the change, once for each."""
    catalog, first, second = Catalog(), started(tmp_path, 1), started(tmp_path, 2)
    told: list[tuple[int, int]] = []
    catalog.on_change(lambda: told.append((catalog.epoch, catalog.current["demo"].number)))
    assert catalog.switch(first) is None
    assert catalog.switch(second) is first
    assert (first.state, second.state) == (State.DRAINING, State.CURRENT)
    assert told == [(1, 1), (2, 2)]


def test_switch_to_what_has_not_proven_itself_changes_nothing(tmp_path: Path) -> None:
    """A candidate that was refused cannot displace what serves."""
    catalog, first, second = Catalog(), started(tmp_path, 1), started(tmp_path, 2)
    catalog.switch(first)
    second.state = State.REFUSED
    with pytest.raises(TransitionError):
        catalog.switch(second)
    assert catalog.current == {"demo": first}
    assert first.state is State.CURRENT
    assert catalog.epoch == 1


def test_withdraw_takes_out_of_service_once(tmp_path: Path) -> None:
    """A second call finds nothing and tells nobody."""
    catalog, first = Catalog(), started(tmp_path, 1)
    catalog.switch(first)
    assert catalog.withdraw("demo") is first
    assert first.state is State.DRAINING
    assert catalog.withdraw("demo") is None
    assert catalog.current == {}
    assert catalog.epoch == 2


def test_what_is_expected_is_no_longer_once_it_serves_or_will_not_come(tmp_path: Path) -> None:
    """Sources that wait for it are told when it does not come."""
    catalog = Catalog()
    catalog.expect(manifest())
    catalog.expect(manifest("other"))
    assert set(catalog.coming) == {"demo", "other"}
    assert catalog.epoch == 0
    catalog.switch(started(tmp_path, 1))
    assert set(catalog.coming) == {"other"}
    catalog.unexpect("other")
    assert catalog.coming == {}
    assert catalog.epoch == 2
    catalog.unexpect("other")
    assert catalog.epoch == 2


def test_refusal_is_kept_by_path_with_its_words(tmp_path: Path) -> None:
    """The last one counts."""
    catalog = Catalog()
    path = tmp_path / "x.py"
    catalog.refuse(path, None, None, Refusal(Stage.FOUND, "x.py", "first", "do"))
    catalog.refuse(path, "demo", "abc", Refusal(Stage.STARTED, "x.py:3", "raises", "mend it"))
    [refused] = catalog.refused.values()
    assert (refused.plugin, refused.digest, refused.stage) == ("demo", "abc", Stage.STARTED)
    assert refused.reason == "x.py:3: raises; mend it"
    assert refused.since.endswith("Z")
