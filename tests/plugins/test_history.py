"""Which generations are remembered: the last few, and the last one that was proven."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from hostd.past import Past
from hostd.plugins.history import KEPT_GENERATIONS, History


def past(number: int, *, permanent: bool = False, plugin: str = "demo", kept: str = "nowhere") -> Past:
    return Past(plugin, number, f"{number}.0", f"d{number}", f"d{number}:{{}}", "p", kept, "then", permanent=permanent)


def numbers(history: History) -> list[int]:
    return [number for number in range(30) if history.get("demo", number)]


def test_the_last_few_are_kept() -> None:
    """In whatever order they come, as a ledger gives them."""
    for order in (range(1, 10), range(9, 0, -1)):
        assert numbers(History(past(number) for number in order)) == list(range(10 - KEPT_GENERATIONS, 10))


def test_the_last_proven_one_is_kept_however_many_came_after_it() -> None:
    """And only the last."""
    history = History([past(1, permanent=True), past(2, permanent=True)])
    for number in range(3, 20):
        history.add(past(number))
    assert numbers(history) == [2, 15, 16, 17, 18, 19]
    assert history.proven("demo") == past(2, permanent=True)
    history.add(past(17, permanent=True))
    assert numbers(history) == [15, 16, 17, 18, 19]


def test_one_that_goes_live_again_takes_the_place_it_had() -> None:
    """A generation is in there once."""
    history = History([past(1), past(2), past(3)])
    again = replace(past(1), since="now", permanent=True)
    history.add(again)
    assert numbers(history) == [1, 2, 3]
    assert history.get("demo", 1) == again
    last = history.last("demo")
    assert last is not None
    assert last.number == 3


@pytest.mark.parametrize(
    ("permanent", "number", "expected"), [((), 4, 3), ((1, 2), 4, 2), ((1,), 1, None), ((3,), 3, 2)]
)
def test_before_is_a_proven_one_if_there_is_any(permanent: tuple[int, ...], number: int, expected: int | None) -> None:
    """Going back goes to what is known to be good."""
    history = History([past(each, permanent=each in permanent) for each in range(1, 5)])
    before = history.before("demo", number)
    assert (before and before.number) == expected


def test_counts_are_those_of_the_generation_that_they_name() -> None:
    history = History([past(1), past(2)])
    history.count("demo", 1, 7, 3)
    history.count("demo", 9, 7, 3)
    first, second = history.get("demo", 1), history.get("demo", 2)
    assert first is not None
    assert second is not None
    assert (first.records, first.rejected, second.records) == (7, 3, 0)


def test_copies_stay_of_the_plugins_that_are_named(tmp_path: Path) -> None:
    """Of the others, what can be gone back to is only what has not been removed yet."""
    there = tmp_path / "copy.py"
    there.touch()
    history = History([past(1), past(2, kept=str(there)), past(1, plugin="other")])
    assert history.digests({"demo"}) == {"d1", "d2"}
    assert [each.number for each in history.kept("demo")] == [2]
    assert history.digests({"unknown"}) == set()
    assert history.plugins() == ["demo", "other"]


def test_of_a_plugin_that_never_served_nothing_is_known() -> None:
    history = History()
    assert (history.last("demo"), history.proven("demo"), history.before("demo", 2)) == (None, None, None)
    assert history.kept("demo") == []
