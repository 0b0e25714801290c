"""What may look at a run from outside: health, metrics, endpoints. The run knows no more of them."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.service.connection import Connection
from engine.service.consumer import Consumer
from engine.service.processor import Processor
from engine.service.publisher import Publisher
from engine.service.settings import Settings

if TYPE_CHECKING:
    from engine.service.run import RunReport


class CheckpointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How the checkpoints of a run stand."""

    committed: int
    """How many were written by this run."""
    committed_at: float | None
    """When the last one was, or the one restored from: epoch seconds. None before the first."""
    bytes: int
    """Written by the last one."""
    seconds: float
    """The last one took, from its cut to its end."""
    failures: int
    """Attempts to write one that failed."""
    problem: str | None
    """Why none can be written at present, in one sentence; None when all is well."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A run and its parts, to be looked at, not changed; only ``stop`` may be set."""

    settings: Settings
    processor: Processor
    connection: Connection
    consumer: Consumer
    publisher: Publisher
    stop: asyncio.Event
    """Set it to have the run finish what is queued and end."""
    report: "Callable[[], RunReport]"
    checkpoint: Callable[[], CheckpointFacts | None]
    """None for a run that keeps no state."""
    filling: Callable[[], str]
    """While rules are filled with the past, how far that is, as a sentence; else empty."""


class Observer(Protocol):
    """Looks at one run."""

    async def begin(self, running: Running) -> None:
        """The run begins and will connect now. Raises `ServiceError` if the run cannot be observed."""
        ...

    async def reading(self) -> None:
        """The input is being read."""
        ...

    async def end(self) -> None:
        """The run has ended, or could not begin."""
        ...
