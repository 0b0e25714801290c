"""Changes of what events mean, such as a list's entries or the rules: each at one place of the input.

A change is applied between two messages, while the input is held, and the state is stored right after it. So
a restart finds it at the same place again: before the checkpoint nothing has been processed under the new
meaning, and after it the new meaning is in the state. After a start, changes wait until everything has been
read again that a run before can have read, since that must mean what it meant then.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, overload

Result = TypeVar("Result")


class Change(Protocol):
    """Applies a change at a recorded place."""

    @overload
    async def __call__(self, apply: Callable[[int], Awaitable[Result]]) -> Result: ...

    @overload
    async def __call__(self, apply: Callable[[int], Result]) -> Result: ...

    async def __call__(self, apply: Callable[[int], Any]) -> Any:
        """Call ``apply`` between two messages, with the stream sequence after which the change holds.

        Returns its result when the state is stored with the change in it. ``apply`` must be quick: the
        input stands still, and nothing else of the service runs meanwhile. Where its result is awaitable it
        is awaited, and only the input stands still. If it raises, so does this, and nothing may have
        changed. Cancelled when the service stops first.
        """
        ...


Companion = Callable[[Change], Coroutine[Any, Any, None]]
"""Runs beside the service while it works, and is cancelled when it stops."""


async def at_once(apply: Callable[[int], Any]) -> Any:
    """A `Change` for who keeps no record."""
    result = apply(0)
    return await result if inspect.isawaitable(result) else result
