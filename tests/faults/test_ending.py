"""The stop of the service does not hang on a task that has lost a cancellation."""

import asyncio
import contextlib

from engine.service.ending import end


async def _deaf(times: int) -> None:
    """Loses the first cancellations, as a request through nats-py does while it flushes."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    await asyncio.sleep(3600)


async def _raising() -> None:
    raise ValueError("nobody wants to know")


def test_a_task_that_loses_cancellations_is_ended_all_the_same() -> None:
    async def scenario() -> list[bool]:
        tasks = [asyncio.ensure_future(_deaf(times)) for times in (0, 1, 3)]
        tasks.append(asyncio.ensure_future(_raising()))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await end(*tasks)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(scenario()) == [True, True, True, False]


def test_nothing_to_end_is_no_error() -> None:
    asyncio.run(end())
