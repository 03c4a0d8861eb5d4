"""The one limit of busy workers: first come, first served; one that takes long gives its slot away."""

import asyncio

import pytest

from hostd.workers.slots import Slots


async def turns() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Holders:
    """Tasks that hold a slot until they are told to let go."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[int] = []
        self.let_go: dict[int, asyncio.Event] = {}
        self.entered: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.let_go[number], self.entered[number] = asyncio.Event(), asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._hold(number))

    async def _hold(self, number: int) -> None:
        async with self.slots.take(str(number)):
            self.inside.append(number)
            self.entered[number].set()
            await self.let_go[number].wait()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self.let_go[number].set()
        await asyncio.gather(*(self.tasks[number] for number in numbers))
        await turns()


def test_no_more_than_capacity_hold_and_the_rest_come_in_order() -> None:
    """Nobody overtakes."""

    async def scenario() -> None:
        holders = Holders(Slots(2, 60.0))
        holders.start(1, 2, 3, 4)
        await turns()
        assert holders.inside == [1, 2]
        await holders.end(2)
        holders.start(5)
        await turns()
        assert holders.inside == [1, 2, 3]
        await holders.end(1, 3)
        assert holders.inside == [1, 2, 3, 4, 5]
        await holders.end(4, 5)
        holders.start(6, 7, 8)
        await turns()
        assert holders.inside[5:] == [6, 7], "every slot came back, and no more than that"
        await holders.end(6, 7, 8)

    asyncio.run(scenario())


def test_one_that_takes_long_gives_its_slot_to_the_next() -> None:
    """And gives it away once: when it ends, nothing is given a second time."""

    async def scenario() -> None:
        holders = Holders(Slots(1, 0.01))
        holders.start(1)
        await turns()
        holders.slots._handoff_s = 60.0
        holders.start(2, 3)
        async with asyncio.timeout(5):
            await holders.entered[2].wait()
        assert holders.inside == [1, 2]
        assert not holders.tasks[1].done()
        await holders.end(1)
        assert holders.inside == [1, 2], "ending without a slot frees none"
        await holders.end(2)
        assert holders.inside == [1, 2, 3]
        await holders.end(3)

    asyncio.run(scenario())


def test_one_timer_serves_all_that_take_long() -> None:
    """However many hang, one after the other, and let in who waits."""

    async def scenario() -> None:
        loop, holders = asyncio.get_running_loop(), Holders(Slots(1, 0.005))
        holders.start(*range(10))
        async with asyncio.timeout(5):
            await holders.entered[9].wait()
        timers = [each for each in loop._scheduled if each._callback == holders.slots._hand_off]  # type: ignore[attr-defined]
        assert len(timers) <= 1
        await holders.end(*range(10))

    asyncio.run(scenario())


def test_cancelling_one_that_waits_loses_no_slot() -> None:
    """The next in line gets what it would have got."""

    async def scenario() -> None:
        holders = Holders(Slots(1, 60.0))
        holders.start(1, 2, 3)
        await turns()
        holders.tasks[2].cancel()
        await asyncio.wait([holders.tasks[2]])
        await holders.end(1)
        assert holders.inside == [1, 3]
        await holders.end(3)

    asyncio.run(scenario())


@pytest.mark.parametrize("order", ["given then cancelled", "cancelled then given"])
def test_cancelling_at_the_moment_of_being_given_a_slot_passes_it_on(order: str) -> None:
    """Between being given the slot and taking it, and the other way round."""

    async def scenario() -> None:
        slots = Slots(1, 60.0)
        first = slots.take()
        await first.__aenter__()
        second, third = (asyncio.create_task(slots.take().__aenter__()) for _ in range(2))
        await turns()
        for step in (lambda: slots.give_back(first), second.cancel)[:: 1 if order.startswith("given") else -1]:
            step()
        await asyncio.wait([second])
        assert second.cancelled()
        async with asyncio.timeout(1):
            await third
        assert slots._free == 0
        assert not slots.is_waited_for

    asyncio.run(scenario())


def test_an_exception_gives_the_slot_back() -> None:
    """Whatever ends the work."""

    async def scenario() -> None:
        slots = Slots(1, 60.0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with slots.take():
                    _ = 1 / 0
        async with asyncio.timeout(1), slots.take():
            pass

    asyncio.run(scenario())


def test_who_is_in_a_hurry_is_next() -> None:
    """Whoever is not waiting is not in a hurry, and the others keep their order."""

    async def scenario() -> None:
        holders = Holders(Slots(1, 60.0))
        holders.start(1, 2, 3, 4)
        await turns()
        holders.slots.hurry("4")
        holders.slots.hurry("nobody")
        await holders.end(1)
        assert holders.inside == [1, 4]
        await holders.end(4, 2, 3)
        assert holders.inside == [1, 4, 2, 3]

    asyncio.run(scenario())
