"""What a source was given of the budget, and what becomes of it."""

import asyncio
from pathlib import Path

import pytest

from hostd.pipeline.admission import Admission
from hostd.pipeline.flow import Flow
from tests.pipeline.build import open_source


@pytest.mark.parametrize(
    ("held", "cost", "kept"),
    [
        ((10, "demo"), 10, True),
        ((10, "demo"), 4, True),
        ((10, "demo"), 11, False),
        ((10, "other"), 4, False),
        ((0, "demo"), 0, True),
        ((0, ""), 0, False),
        ((0, ""), 4, False),
    ],
)
def test_what_was_given_is_kept_where_it_is_enough_and_the_rest_goes_back(
    tmp_path: Path, held: tuple[int, str], cost: int, kept: bool
) -> None:
    """Also a claim of nothing, as for the end of a stream, is one that was met."""

    async def scenario() -> None:
        path = tmp_path / "log"
        path.touch()
        flow, admission = Flow(open_source(path)), Admission(100, 1)
        size, plugin = held
        if plugin:
            await admission.budget.take(size, plugin)
        flow.held = held
        assert admission.keep(flow, cost, "demo") is kept
        assert flow.held == (0, "")
        rest = 100 - (cost if kept else 0)
        assert admission.budget.try_take(rest, "last")
        assert not admission.budget.try_take(1, "last")
        flow.source.close()

    asyncio.run(scenario())
