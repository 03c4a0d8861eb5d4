"""Which plugin takes a source: every rule, without a file."""

from typing import Any

import pytest

from hostd.pipeline.routing import Route, describe, route
from tests.build import manifest

NOBODY = "no plugin accepts it; drop one into the plugins folder, or set processor for its source"


def accepting(name: str, **accepts: Any) -> Any:
    """Return the manifest of a plugin that accepts this."""
    return manifest(name, accepts=accepts)


BY_NAME = accepting("by_name", names=["*.log"])
BY_HEAD = accepting("by_head", head="^GET")
BY_BOTH = accepting("by_both", names=["*.log"], head="^GET")
HIGH = accepting("high", names=["*"], priority=1)
LOW = accepting("low", names=["*"], priority=-1)
NOTHING = accepting("nothing")


@pytest.mark.parametrize(
    ("manifests", "source", "head", "plugin", "why"),
    [
        ([BY_NAME], "x/a.log", b"", "by_name", "name"),
        ([BY_NAME], "a.txt", b"", None, NOBODY),
        ([BY_HEAD], "a", b"POST\nGET /", "by_head", "head"),
        ([BY_HEAD], "a", b"x GET", None, NOBODY),
        ([BY_BOTH], "a.log", b"POST", None, NOBODY),
        ([BY_BOTH], "a.txt", b"GET", None, NOBODY),
        ([NOTHING], "a", b"GET", None, NOBODY),
        ([], "a", b"GET", None, NOBODY),
        ([BY_NAME, BY_HEAD], "a.log", b"GET", "by_head", "head"),
        ([BY_NAME, BY_HEAD, BY_BOTH], "a.log", b"GET", "by_both", "name and head"),
        ([LOW, BY_NAME, BY_BOTH, HIGH], "a.log", b"GET", "high", "name"),
        ([LOW, BY_NAME], "a.log", b"", "by_name", "name"),
        ([accepting("deep", names=["logs/*/x"])], "logs/a/x", b"", "deep", "name"),
    ],
)
def test_a_source_goes_to_the_best_that_accepts_it(
    manifests: list[Any], source: str, head: bytes, plugin: str | None, why: str
) -> None:
    """Priority, then the number of criteria, then head over name; the order of the plugins is nothing."""
    for order in (manifests, manifests[::-1]):
        assert route(source, head, None, None, order) == Route(plugin, why)


@pytest.mark.parametrize("present", [None, "other"])
def test_of_equals_none_is_guessed(present: str | None) -> None:
    """The wrong parser is worse than none."""
    twins = [accepting("b", names=["*.log"]), accepting("a", names=["a*"])]
    assert route("a.log", b"", None, present, twins) == Route(
        None, "a and b accept it equally; set processor, or give one a higher priority"
    )


def test_of_equals_the_one_that_serves_goes_on() -> None:
    """A newcomer does not take a source away, unless it is better."""
    twins = [accepting("b", names=["*.log"]), accepting("a", names=["a*"])]
    assert route("a.log", b"", None, "b", twins) == Route("b", "name")
    assert route("a.log", b"", None, "b", [*twins, HIGH]) == Route("high", "name")


def test_configured_wins_and_is_waited_for() -> None:
    """What the operator says is never second-guessed."""
    assert route("x", b"", "nothing", None, [NOTHING, HIGH]) == Route("nothing", "configured")
    assert route("x", b"", "csv", "high", [HIGH]) == Route(None, "its configured processor 'csv' is not in service")


@pytest.mark.parametrize(
    ("accepts", "text"), [(BY_BOTH, "name and head"), (BY_NAME, "name"), (BY_HEAD, "head"), (NOTHING, "nothing")]
)
def test_describe_says_by_what(accepts: Any, text: str) -> None:
    """In the operator's words."""
    assert describe(accepts.accepts) == text
