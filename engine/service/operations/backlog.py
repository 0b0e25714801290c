"""What the service has to ask for: how much waits in the stream, when list files changed, how the loop does.

A task asks every few seconds, so a request for the status never waits for a server or a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Sequence

from nats.errors import Error as NatsError

from dsl.model import NamedList
from engine.service.observer import Running
from engine.service.pull import tokens_after_time

_log = logging.getLogger("thenwire.service")
ASK_SECONDS = 5.0
_BEAT_SECONDS = 0.1
_BEATS = 600
"""Of the loop's delays those of the last minute are kept."""
_NANOSECONDS = 1e-9


class Backlog:
    """See the head of this file.

    Attributes:
        changed: by list, when its file was last changed, in epoch seconds; without those that have no file.
    """

    def __init__(self, running: Running, lists: Sequence[NamedList]) -> None:
        self.changed: dict[str, float] = {}
        self._running = running
        self._lists = lists
        self._waiting: int | None = None
        self._delivered = 0
        self._delays: deque[float] = deque(maxlen=_BEATS)

    @property
    def loop_delay(self) -> float:
        """The longest that the loop was held in the last minute, in seconds."""
        return max(self._delays, default=0.0)

    def messages(self, position: int) -> int | None:
        """How many messages wait, in the stream or in this process; None before the server was asked."""
        if self._waiting is None:
            return None
        return max(0, self._waiting + self._delivered - position)

    def seconds(self, position: int, now: float) -> float | None:
        """How old the last processed message is while others wait; 0 while none do."""
        waiting = self.messages(position)
        if not waiting:
            return None if waiting is None else 0.0
        stored = _stored_at(self._running.consumer.last_reply)
        return None if stored is None else max(0.0, now - stored)

    async def watch(self) -> None:
        """Ask again and again, until cancelled."""
        beating = asyncio.ensure_future(self._beat())
        try:
            while True:
                await self.ask()
                await asyncio.sleep(ASK_SECONDS)
        finally:
            beating.cancel()

    async def ask(self) -> None:
        """Ask once. What cannot be had stays as it was."""
        await asyncio.to_thread(self._look_at_lists)
        running = self._running
        if not running.connection.client.is_connected:
            return
        settings = running.settings
        with contextlib.suppress(NatsError, TimeoutError):
            info = await running.connection.jetstream().consumer_info(
                settings.input_stream, settings.consumer
            )
            self._delivered = info.delivered.stream_seq if info.delivered else 0
            self._waiting = int(info.num_pending or 0)

    def _look_at_lists(self) -> None:
        for found in self._lists:
            try:
                self.changed[found.name] = os.stat(str(found.path)).st_mtime
            except (OSError, ValueError):
                self.changed.pop(found.name, None)

    async def _beat(self) -> None:
        """A sleep that takes longer than asked for was held up by whatever held the loop."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            self._delays.append(max(0.0, time.monotonic() - began - _BEAT_SECONDS))


def _stored_at(reply: str) -> float | None:
    """When JetStream stored the message that an acknowledgement subject belongs to, in epoch seconds."""
    try:
        tokens = reply.rsplit(".", tokens_after_time(reply) + 3)
        return int(tokens[3]) * _NANOSECONDS
    except (ValueError, IndexError):
        return None
