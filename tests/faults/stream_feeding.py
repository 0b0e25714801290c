"""Publishes a workload in real time, each message with its id, until it is stored."""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import Random
from typing import Any, Final

import nats
from workload import Message, Workload

_IN_FLIGHT: Final = 64
_QUIET_MS: Final = (2_000, 6_000)
"""The second is longer than the service's ``tick_after``."""


async def connect(url: str, **options: Any) -> Any:
    """A client that comes back by itself; waits until the server is there."""
    while True:
        with contextlib.suppress(nats.errors.Error, OSError):
            return await nats.connect(
                url, error_cb=_ignore, reconnect_time_wait=0.1, max_reconnect_attempts=-1, **options
            )
        await asyncio.sleep(0.05)


async def _ignore(_: Exception) -> None:
    pass


class Feeder:
    """See the head of this file."""

    def __init__(self, client: Any, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.again = 0
        """Attempts after the first."""
        self._client = client
        self._random = Random(seed + 2)
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self) -> None:
        """Until `stop`. Now and then nothing comes for some seconds, so that only ticks move the time."""
        base = int(time.time() * 1000)
        quiet_at = 6_000
        while not self._stopping:
            elapsed = int(time.time() * 1000) - base
            if elapsed > quiet_at:
                pause = self._random.choice(_QUIET_MS)
                await asyncio.sleep(pause / 1000)
                base += pause
                quiet_at = elapsed + self._random.randrange(6_000, 12_000)
            for message in self.workload.due(elapsed, base):
                await self._send(message)
            await asyncio.sleep(0.02)
        for message in self.workload.rest(base, int(time.time() * 1000) - base):
            await self._send(message)
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        """`run` returns soon: when all that it had begun is stored."""
        self._stopping = True

    async def _send(self, message: Message) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(self._surely(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _surely(self, message: Message) -> None:
        headers = {"Nats-Msg-Id": message.message_id}
        if message.content_type is not None:
            headers["Content-Type"] = message.content_type
        jetstream = self._client.jetstream()
        try:
            while True:
                try:
                    await jetstream.publish(message.subject, message.payload, timeout=1.0, headers=headers)
                    return
                except (nats.errors.Error, TimeoutError):
                    self.again += 1
                    await asyncio.sleep(0.05)
        finally:
            self._slots.release()
