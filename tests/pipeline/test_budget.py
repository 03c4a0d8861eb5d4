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
        budget, order = Budget(10), list[int]()

        async def claim(size: int) -> None:
            await budget.take(size)
            order.append(size)

        assert budget.try_take(8)
        assert not budget.try_take(3)
        tasks = [asyncio.create_task(claim(size)) for size in (7, 1, 2)]
        await turns()
        assert order == []
        assert not budget.try_take(1), "others are in line"
        budget.give(8)
        await asyncio.gather(*tasks)
        assert order == [7, 1, 2]
        assert budget._held == 10

    asyncio.run(scenario())


def test_one_claim_over_the_limit_is_met_alone() -> None:
    """A record larger than all of it is not stuck."""

    async def scenario() -> None:
        budget = Budget(10)
        assert budget.try_take(1)
        claim = asyncio.create_task(budget.take(99))
        await turns()
        assert not claim.done()
        budget.give(1)
        await claim
        assert not budget.try_take(1)
        budget.give(99)
        assert budget.try_take(10)

    asyncio.run(scenario())


def test_cancelled_claims_hold_nothing() -> None:
    """While waiting, and in the moment of being met."""

    async def scenario() -> None:
        budget = Budget(10)
        assert budget.try_take(10)
        waiting, met, last = (asyncio.create_task(budget.take(10)) for _ in range(3))
        await turns()
        waiting.cancel()
        budget.give(10)
        met.cancel()
        await asyncio.wait([waiting, met])
        async with asyncio.timeout(1):
            await last
        budget.give(10)
        assert budget._held == 0
        assert budget.try_take(10)

    asyncio.run(scenario())
