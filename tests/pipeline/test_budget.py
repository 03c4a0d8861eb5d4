"""What bounds the daemon's memory: given in the order of asking, and all of it given back."""

import asyncio

from hostd.pipeline.budget import Budget


async def turns() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_no_more_is_held_than_the_limit_and_nobody_overtakes() -> None:
    """A small claim behind a large one waits too."""

    async def scenario() -> None:
        budget, order = Budget(20, 2), list[int]()

        async def claim(size: int, plugin: str) -> None:
            await budget.take(size, plugin)
            order.append(size)

        assert budget.try_take(8, "a")
        assert not budget.try_take(3, "a")
        tasks = [asyncio.create_task(claim(size, "a")) for size in (7, 1, 2)]
        await turns()
        assert order == []
        assert not budget.try_take(1, "a"), "others are in line"
        budget.give(8, "a")
        await asyncio.gather(*tasks)
        assert order == [7, 1, 2]
        assert budget._held == {"a": 10}

    asyncio.run(scenario())


def test_one_claim_over_the_limit_is_met_alone() -> None:
    """A record larger than all of it is not stuck."""

    async def scenario() -> None:
        budget = Budget(10, 2)
        assert budget.try_take(1, "a")
        claim = asyncio.create_task(budget.take(99, "a"))
        await turns()
        assert not claim.done()
        budget.give(1, "a")
        await claim
        assert not budget.try_take(1, "a")
        budget.give(99, "a")
        assert budget.try_take(5, "a")

    asyncio.run(scenario())


def test_cancelled_claims_hold_nothing() -> None:
    """While waiting, and in the moment of being met."""

    async def scenario() -> None:
        budget = Budget(10, 2)
        assert budget.try_take(10, "a")
        waiting, met, last = (asyncio.create_task(budget.take(10, "a")) for _ in range(3))
        await turns()
        waiting.cancel()
        budget.give(10, "a")
        met.cancel()
        await asyncio.wait([waiting, met])
        async with asyncio.timeout(1):
            await last
        budget.give(10, "a")
        assert not budget._held
        assert budget.try_take(10, "a")

    asyncio.run(scenario())


def test_one_plugin_leaves_room_for_the_others() -> None:
    """One that holds its half waits alone; another gets its first claim at once, and goes on."""

    async def scenario() -> None:
        budget = Budget(20, 2)
        assert budget.try_take(10, "hangs")
        waiting = asyncio.create_task(budget.take(1, "hangs"))
        await turns()
        assert not waiting.done()
        assert budget.try_take(5, "good")
        assert budget.try_take(5, "good")
        assert not budget.try_take(1, "good")
        assert budget.try_take(5, "another"), "the first claim of a plugin is always met"
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(scenario())


def test_a_charge_takes_from_its_plugin_and_from_no_other() -> None:
    """What a plugin yields beyond reason is held against it: others have the other half still."""

    async def scenario() -> None:
        budget = Budget(20, 2)
        assert budget.try_take(4, "a")
        async with budget.turn("a"):
            budget.charge(100, "a")
        assert not budget.try_take(1, "a")
        assert budget.try_take(5, "b")
        assert budget.try_take(5, "b")
        budget.give(4, "a")
        budget.discharge(100, "a")
        assert budget.try_take(10, "a")
        budget.charge(0, "c")
        assert budget._held == {"a": 10, "b": 10}

    asyncio.run(scenario())


def test_turns_come_in_order_a_few_at_once_and_not_before_the_excess_is_out() -> None:
    """Those of one plugin; what is cancelled meanwhile takes no turn with it."""

    async def scenario() -> None:
        budget, order, go_on = Budget(16, 2), list[int](), asyncio.Event()

        async def parse(number: int, plugin: str, excess: int) -> None:
            async with budget.turn(plugin):
                order.append(number)
                await go_on.wait()
                budget.charge(excess, plugin)

        tasks = [asyncio.create_task(parse(number, "a", 5)) for number in range(6)]
        await turns()
        assert order == [0, 1]
        other = asyncio.create_task(parse(9, "b", 0))
        tasks[2].cancel()
        await turns()
        assert order == [0, 1, 9]
        go_on.set()
        await turns()
        assert order == [0, 1, 9], "two have charged more than an eighth"
        tasks[3].cancel()
        budget.discharge(5, "a")
        await turns()
        assert order == [0, 1, 9]
        budget.discharge(5, "a")
        await turns()
        assert order[3] == 4
        budget.discharge(5, "a")
        await asyncio.wait([*tasks, other], timeout=5)
        assert order[:5] == [0, 1, 9, 4, 5]
        assert all(task.done() for task in tasks)

    asyncio.run(scenario())
