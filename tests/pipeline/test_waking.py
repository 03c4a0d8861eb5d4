"""All sources are woken a slice at a time, each once for each time that all are."""

import asyncio
from typing import cast

import pytest

from hostd.pipeline import waking
from hostd.pipeline.flow import Flow
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.waking import Waking

DEADLINE_S = 30.0


class Woken(list[Flow]):
    """What was woken of some flows, in its order."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.flows = [Flow(cast("FileSource", object())) for _ in range(count)]
        self.waking = Waking(self.append)

    def start(self) -> None:
        self.waking.start(self.flows)

    async def end(self) -> None:
        await asyncio.wait_for(self.waking.ended(), DEADLINE_S)


@pytest.mark.parametrize("slice_s", [0.0, 60.0])
def test_each_is_woken_once_and_in_order(slice_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "SLICE_S", slice_s)

    async def test() -> None:
        woken = Woken(5)
        woken.start()
        assert woken == (woken.flows if slice_s else woken.flows[:1])
        await woken.end()
        assert woken == woken.flows

    asyncio.run(test())


def test_what_is_under_way_goes_on_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "SLICE_S", 0.0)

    async def test() -> None:
        woken = Woken(5)
        woken.start()
        for count in (1, 2, 3):
            assert len(woken) == count
            await asyncio.sleep(0)
        await woken.end()
        assert woken == woken.flows

    asyncio.run(test())


def test_who_waits_still_comes_first_however_often_all_are_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swaps that come faster than all can be woken leave nobody out."""
    monkeypatch.setattr(waking, "SLICE_S", 0.0)

    async def test() -> None:
        woken = Woken(4)
        for _ in range(4):
            woken.start()
            await asyncio.sleep(0)
        assert woken[:4] == woken.flows
        await woken.end()
        assert all(woken.count(flow) >= 2 for flow in woken.flows)

    asyncio.run(test())


def test_none_is_woken_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "SLICE_S", 0.0)

    async def test() -> None:
        woken = Woken(3)
        woken.start()
        woken.waking.stop()
        await woken.end()
        assert woken == woken.flows[:1]

    asyncio.run(test())
