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


def tried(tmp_path: Path, number: int) -> Generation:
    """Return a generation that may be switched to."""

    async def build() -> Generation:
        return make(number, artifact(tmp_path), None, "", Pool(1, 1.0), Environments(tmp_path))

    generation = asyncio.run(build())
    generation.state = State.TRIED
    return generation


def proven(tmp_path: Path, catalog: Catalog, number: int) -> Generation:
    """Return a generation that is in service and permanent."""
    generation = tried(tmp_path, number)
    catalog.switch(generation)
    catalog.confirm("demo")
    return generation


def test_switch_moves_the_pointer_and_keeps_the_proven_one_warm(tmp_path: Path) -> None:
    """Listeners are told after the change, once for each; confirming changes no pointer."""
    catalog, first, second = Catalog(), tried(tmp_path, 1), tried(tmp_path, 2)
    told: list[tuple[int, int]] = []
    catalog.on_change(lambda: told.append((catalog.epoch, catalog.current["demo"].number)))
    assert catalog.switch(first) is None
    assert catalog.confirm("demo") is None
    assert catalog.switch(second) is None
    assert (first.state, second.state) == (State.WARM, State.CURRENT)
    assert catalog.warm == {"demo": first}
    assert told == [(1, 1), (2, 2)]
    assert catalog.confirm("demo") is first
    assert (first.state, second.state) == (State.DRAINING, State.PERMANENT)
    assert catalog.warm == {}
    assert told == [(1, 1), (2, 2)]


def test_a_third_takes_over_from_one_on_probation_and_the_proven_one_stays_warm(tmp_path: Path) -> None:
    """What never proved itself is not what to go back to."""
    catalog = Catalog()
    first = proven(tmp_path, catalog, 1)
    second, third = tried(tmp_path, 2), tried(tmp_path, 3)
    catalog.switch(second)
    assert catalog.switch(third) is second
    assert (first.state, second.state, third.state) == (State.WARM, State.DRAINING, State.CURRENT)
    assert catalog.warm == {"demo": first}


def test_going_back_makes_the_warm_one_permanent_again(tmp_path: Path) -> None:
    """Nothing has to be started, and the one that failed leaves."""
    catalog = Catalog()
    first = proven(tmp_path, catalog, 1)
    second = tried(tmp_path, 2)
    catalog.switch(second)
    epoch = catalog.epoch
    assert catalog.go_back("demo") is second
    assert (first.state, second.state) == (State.PERMANENT, State.ROLLED_BACK)
    assert (catalog.current, catalog.warm) == ({"demo": first}, {})
    assert catalog.epoch == epoch + 1


def test_switch_to_what_has_not_proven_itself_changes_nothing(tmp_path: Path) -> None:
    """A candidate that was refused cannot displace what serves."""
    catalog, first, second = Catalog(), tried(tmp_path, 1), tried(tmp_path, 2)
    catalog.switch(first)
    second.state = State.REFUSED
    with pytest.raises(TransitionError):
        catalog.switch(second)
    assert catalog.current == {"demo": first}
    assert first.state is State.CURRENT
    assert catalog.epoch == 1


def test_withdraw_takes_out_of_service_once(tmp_path: Path) -> None:
    """A second call finds nothing and tells nobody."""
    catalog, first = Catalog(), tried(tmp_path, 1)
    catalog.switch(first)
    assert catalog.withdraw("demo") == [first]
    assert first.state is State.DRAINING
    assert catalog.withdraw("demo") == []
    assert catalog.current == {}
    assert catalog.epoch == 2


def test_withdraw_takes_the_warm_one_too(tmp_path: Path) -> None:
    """Nothing of the plugin serves afterwards."""
    catalog = Catalog()
    first = proven(tmp_path, catalog, 1)
    second = tried(tmp_path, 2)
    catalog.switch(second)
    assert catalog.withdraw("demo") == [second, first]
    assert (catalog.current, catalog.warm) == ({}, {})


def test_what_is_expected_is_no_longer_once_it_serves_or_will_not_come(tmp_path: Path) -> None:
    """Sources that wait for it are told when it does not come."""
    catalog = Catalog()
    catalog.expect(manifest())
    catalog.expect(manifest("other"))
    assert set(catalog.coming) == {"demo", "other"}
    assert catalog.epoch == 0
    catalog.switch(tried(tmp_path, 1))
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


def test_all_sources_are_shown_one_mapping_until_it_changes(tmp_path: Path) -> None:
    """What serves comes before what is on its way under the same name."""
    catalog = Catalog()
    catalog.expect(manifest("other"))
    first = tried(tmp_path, 1)
    catalog.switch(first)
    shown = catalog.manifests
    assert {name: each.version for name, each in shown.items()} == {"demo": first.version, "other": "1.0.0"}
    assert catalog.manifests is shown
    catalog.expect(manifest())
    assert catalog.manifests["demo"] is first.manifest
    catalog.switch(second := tried(tmp_path, 2))
    assert catalog.manifests["demo"] is second.manifest
    catalog.withdraw("demo")
    assert set(catalog.manifests) == {"other"}
