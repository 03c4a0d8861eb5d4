"""Which plugin takes a source: every rule, without a file."""

from typing import Any

import pytest

from hostd.pipeline.detection import Memory
from hostd.pipeline.routing import Route
from hostd.pipeline.routing import route as route_named
from tests.build import manifest

DROP = "drop one into the plugins folder, or set processor for its source"
NOBODY = f"no plugin accepts it; {DROP}"


def route(name: str, head: bytes, processor: str | None, present: str | None, manifests: list[Any]) -> Route:
    """Route with these manifests."""
    return route_named(name, head, processor, present, {each.name: each for each in manifests})


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
    assert route("x", b"", "csv", "high", [HIGH]) == Route(
        None,
        "its configured processor 'csv' is not in service; "
        "drop it into the plugins folder, or name one that hostd status shows",
    )


SOME_LINES = "sampled is near, but only some of its lines look like the samples"
BINARY = b"\x89\0\1\2\3" * 20
BY_LINES = accepting("by_lines", lines="^GET")
REST = accepting("rest", names=["*", "!*.*", "*.log"], fallback=True)
SAMPLED = manifest("sampled", samples=[{"input": "17.05.2024 10:05:03 no disk\n", "records": [{"body": "x"}]}])


@pytest.mark.parametrize(
    ("manifests", "source", "head", "plugin", "why"),
    [
        ([BY_LINES, REST], "a.log", b"GET\n" * 9, "by_lines", "lines"),
        ([BY_LINES, REST], "a.log", b"GET\n" + b"x\n" * 30, "rest", "name"),
        ([BY_LINES], "a.log", b"GET\n" + b"x\n" * 30, "by_lines", "lines"),
        ([BY_LINES, REST], "a.log", b"GET\n" + b" at x\n" * 30, "by_lines", "lines"),
        ([accepting("one", lines="^a", priority=9), accepting("b", lines="^[ab]")], "x", b"a\nb\nb\n", "b", "lines"),
        ([accepting("one", lines="^a", priority=9), accepting("b", lines="^[ab]")], "x", b"a\na\nb\n", "one", "lines"),
        ([accepting("c", lines="^a"), accepting("b", lines="^[ab]")], "x", b"a\na\na\nb\n", "b", "lines"),
        ([REST], "messages", b"x\n", "rest", "name"),
        ([REST], "messages.1", b"x\n", "rest", "name"),
        ([REST], "photo", BINARY, None, f"no plugin accepts it; rest is near, but this is not text; {DROP}"),
        ([SAMPLED], "a", b"18.05.2024 11:00:00 full\n" * 3, "sampled", "samples"),
        ([SAMPLED, REST], "a.log", b"18.05.2024 11:00:00 full\n" * 3, "sampled", "samples"),
        ([SAMPLED, BY_NAME], "a.log", b"18.05.2024 11:00:00 full\n" * 3, "by_name", "name"),
        ([SAMPLED], "a", b"only words here\n" * 3, None, NOBODY),
        (
            [BY_BOTH],
            "a.txt",
            b"GET",
            None,
            f"no plugin accepts it; by_both is near, but its name does not fit; {DROP}",
        ),
        (
            [BY_BOTH, SAMPLED],
            "a.log",
            b"1.2.3 4:5:6 a\nb\n",
            None,
            f"no plugin accepts it; by_both is near, but its head does not fit; {SOME_LINES}; {DROP}",
        ),
    ],
)
def test_what_is_in_the_lines_decides(
    manifests: list[Any], source: str, head: bytes, plugin: str | None, why: str
) -> None:
    """A pattern that many lines have, then samples, then what takes the rest, then a pattern that few lines have."""
    for order in (manifests, manifests[::-1]):
        assert route(source, head, None, None, order) == Route(plugin, why)


@pytest.mark.parametrize(
    "name",
    ["a.csv", "A.CSV", "a.csv.1", "a.csv-20240517", "a.csv.2024-05-17", "a.csv.2024-05-17-10", "a.csv.old", "x/a.csv~"],
)
def test_a_name_counts_without_what_rotation_adds_and_in_either_case(name: str) -> None:
    """A rotated file has the format that it had."""
    assert route(name, b"x", None, None, [accepting("csv", names=["*.csv"])]) == Route("csv", "name")


def test_samples_break_a_tie() -> None:
    """Of two that say the same of themselves, the one whose samples look like the source."""
    other = manifest("other", accepts={"names": ["*.log"]}, samples=[{"input": "[7] x: y\n", "records": [{"a": 1}]}])
    dated = manifest(
        "dated", accepts={"names": ["*.log"]}, samples=[{"input": "1.2.3 4:5:6 x\n", "records": [{"a": 1}]}]
    )
    head = b"17.05.2024 10:05:03 no disk\n" * 2
    assert route("a.log", head, None, None, [other, dated]) == Route("dated", "name")
    assert route("a.log", head, None, "other", [other, dated]) == Route("other", "name"), "what serves goes on"
    assert route("a.log", b"just words\n", None, None, [other, dated]).why == (
        "dated and other accept it equally; set processor, or give one a higher priority"
    )


def test_lines_that_end_in_carriage_returns_are_not_taken_for_one_header() -> None:
    """All of the file would be the header, and none of it a record."""
    csv = manifest("csv", accepts={"names": ["*.csv"]}, header=1)
    why = (
        f"no plugin accepts it; csv is near, but its lines end in carriage returns, and all would be one header; {DROP}"
    )
    assert route("a.csv", b"a,b\r1,2\r3,4\r", None, None, [csv]) == Route(None, why)
    assert route("a.csv", b"a,b\r\n1,2\r\n3,4\r\n", None, None, [csv]) == Route("csv", "name")


def test_a_declared_media_type_stands_for_a_name() -> None:
    """It is one more reason, never one against: who gives other criteria is compared by those."""
    both = accepting("both", names=["*.csv"], media_types=["text/CSV"])
    lines = accepting("lines", lines="^a", media_types=["text/x-a"])
    manifests = {each.name: each for each in (both, lines)}

    def routed(name: str, head: bytes, media_type: str, memory: Memory | None = None) -> Route:
        return route_named(name, head, None, None, manifests, memory, media_type)

    assert routed("http:app", b"x\n", "text/csv") == Route("both", "media type")
    assert routed("a.csv", b"x\n", "text/csv") == Route("both", "name and media type")
    assert routed("a.csv", b"x\n", "text/html") == Route("both", "name")
    assert routed("http:app", b"x\n", "text/html").plugin is None
    assert routed("http:app", b"a\n", "text/html") == Route("lines", "lines")
    assert routed("http:app", b"a\n", "text/x-a") == Route("lines", "media type and lines")
    assert routed("http:app", b"b\n", "text/x-a").plugin is None
    memory = Memory()
    assert [routed("http:app", b"x\n", each, memory).plugin for each in ("", "text/csv", "")] == [None, "both", None]


def test_a_name_of_many_dates_is_compared_soon() -> None:
    """Whoever may make a file in a folder of logs chooses its name."""
    name = "a" + "-12345678.12.12" * 16 + "x"
    assert route(name, b"x", None, None, [accepting("any", names=["a-*x"])]).plugin == "any"
    assert route("b.log-20260301.1.old", b"x", None, None, [BY_NAME]).plugin == "by_name"
