"""Ending a task for certain.

A cancellation can be lost: nats-py catches it while it flushes, and before Python 3.12 `asyncio.wait_for` did
when what it waits for was done at that moment. A task that loops would then never end, nor would whoever
waits for it.
"""

import asyncio
import contextlib
from typing import Any

_AGAIN_SECONDS = 0.1


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel them, as often as it takes, and return when all have ended. What they raise is dropped."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
        for task in done:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                # One that nobody looks at would be logged as a bug.
                task.exception()
