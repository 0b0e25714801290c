"""Ending a task for certain, and letting one come to its end.

A cancellation can be lost: nats-py catches it while it flushes, and before Python 3.12 `asyncio.wait_for` did
when what it waits for was done at that moment. A task that loops would then never end, nor would whoever
waits for it.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
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


async def complete(work: Coroutine[Any, Any, None]) -> None:
    """Have work done to its end, as closing has to be: who is cancelled meanwhile is cancelled after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
