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
        budget, order = Budget(20), list[int]()

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
        budget = Budget(10)
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
        budget = Budget(10)
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
        budget = Budget(20)
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
